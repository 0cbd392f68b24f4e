//! `exportctl bundle verify` and `inspect`: no network, whatever happens.

use std::error::Error;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use export_contract::Timestamp;
use export_verify::{Identities, MAX_IDENTITY_FILE, Policy, PublicKey, Report, VerifyError};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::{DecryptArguments, Form, Global, VerifyArguments};
use crate::exit::{Exit, Failure};
use crate::output;

/// What a program reads of a bundle that passed.
#[derive(Serialize)]
struct Passed<'a> {
    verified: bool,
    #[serde(flatten)]
    report: &'a Report,
}

/// What a program reads of a bundle that did not.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refused {
    verified: bool,
    exit_code: u8,
    fault: String,
    because: Vec<String>,
}

/// Verifies.
pub(crate) fn verify(global: &Global, arguments: &VerifyArguments) -> Result<Exit, Failure> {
    let policy = policy(arguments)?;
    let path = arguments.path.as_path();
    let outcome = if path == Path::new("-") {
        if io::stdin().is_terminal() {
            return Err(Failure::Usage("`-` reads a delivery from standard input, and that is a terminal".to_owned()));
        }
        let bar = bar(global, None);
        let outcome = export_verify::verify_stream(io::stdin().lock(), &policy, &|bytes| bar.set_position(bytes));
        bar.finish_and_clear();
        outcome
    } else {
        let bar = bar(global, length(path));
        let outcome = export_verify::verify_watched(path, &policy, &|bytes| bar.set_position(bytes));
        bar.finish_and_clear();
        outcome
    };
    match outcome {
        Ok(report) => {
            output::document(global, &Passed { verified: true, report: &report }, |_| told(&report));
            Ok(Exit::Ok)
        }
        Err(cause) => Err(told_failed(global, cause)),
    }
}

/// Verifies, and writes the plain bundle.
pub(crate) fn decrypt(global: &Global, arguments: &DecryptArguments) -> Result<Exit, Failure> {
    let policy = Policy {
        keys: read_keys(&arguments.key)?,
        identities: Some(read_identities(&arguments.identity)?),
        require_provenance: true,
        ..Policy::default()
    };
    if arguments.out.exists() {
        let out = arguments.out.display();
        return Err(Failure::Usage(format!("--out `{out}` is there already; name a folder that is not")));
    }
    let bar = bar(global, length(&arguments.path));
    let progress = |bytes| bar.set_position(bytes);
    let outcome = export_verify::decrypt(&arguments.path, &policy, &arguments.out, &progress);
    bar.finish_and_clear();
    let report = outcome.map_err(|cause| told_failed(global, cause))?;
    output::document(global, &Passed { verified: true, report: &report }, |_| told(&report));
    Ok(Exit::Ok)
}

fn told_failed(global: &Global, cause: VerifyError) -> Failure {
    if global.output != Form::Table {
        output::document(global, &refused(&cause), |_| String::new());
    }
    failed(cause)
}

/// Shows what a bundle says of itself.
pub(crate) fn inspect(global: &Global, path: &Path) -> Result<Exit, Failure> {
    let inspection = export_verify::inspect(path).map_err(failed)?;
    output::document(global, &inspection, |inspection| serde_json::to_string_pretty(inspection).unwrap_or_default());
    Ok(Exit::Ok)
}

pub(crate) fn policy(arguments: &VerifyArguments) -> Result<Policy, Failure> {
    Ok(Policy {
        keys: read_keys(&arguments.key)?,
        require_provenance: arguments.require_attestation,
        allow_failed_sources: arguments.allow_failed_sources,
        max_plain_bytes: arguments.max_plain_bytes,
        now: Some(Timestamp::from(SystemTime::now())),
        max_age_seconds: arguments.max_age.as_deref().map(parse_age).transpose()?,
        identities: arguments.identity.as_deref().map(read_identities).transpose()?,
        keeper: None,
    })
}

fn read_keys(paths: &[PathBuf]) -> Result<Vec<PublicKey>, Failure> {
    if paths.is_empty() {
        return Err(Failure::Usage(
            "give the public key that must have signed the bundle: --key cosign.pub (not the one that came with it)"
                .to_owned(),
        ));
    }
    paths.iter().map(PathBuf::as_path).map(read_key).collect()
}

/// Faults name the line and never what stands in it.
fn read_identities(path: &Path) -> Result<Identities, Failure> {
    let unread = |cause| Failure::File { act: "read", path: path.to_owned(), cause };
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path).map_err(unread)?;
    file.take(MAX_IDENTITY_FILE as u64).read_to_string(&mut text).map_err(unread)?;
    Identities::parse(&text).map_err(|error| Failure::Usage(format!("--identity `{}`: {error}", path.display())))
}

fn read_key(path: &Path) -> Result<PublicKey, Failure> {
    let text =
        std::fs::read_to_string(path).map_err(|cause| Failure::File { act: "read", path: path.to_owned(), cause })?;
    PublicKey::from_pem(&text).map_err(|error| Failure::Usage(format!("`{}`: {error}", path.display())))
}

/// Bytes of the tar where that is known before it is read.
pub(crate) fn length(path: &Path) -> Option<u64> {
    let tar = if path.is_dir() { path.join("bundle.tar") } else { path.to_owned() };
    let plain = tar.extension().is_some_and(|extension| extension == "tar");
    plain.then(|| std::fs::metadata(&tar).map(|meta| meta.len()).ok()).flatten()
}

pub(crate) fn bar(global: &Global, length: Option<u64>) -> ProgressBar {
    let target = if output::bars(global) { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(length, target);
    let template = if length.is_some() {
        "verifying [{bar:32}] {bytes}/{total_bytes}  {bytes_per_sec}  {eta}"
    } else {
        "verifying {spinner} {bytes}  {bytes_per_sec}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

pub(crate) fn failed(cause: VerifyError) -> Failure {
    Failure::Verify { code: cause.exit_code(), cause }
}

fn refused(fault: &VerifyError) -> Refused {
    let causes = std::iter::successors(fault.source(), |cause| (**cause).source());
    let because = causes.map(ToString::to_string).collect();
    Refused { verified: false, exit_code: fault.exit_code(), fault: fault.to_string(), because }
}

fn told(report: &Report) -> String {
    let mut lines: Vec<String> = report.proven.iter().map(|fact| format!("proven      {fact}")).collect();
    lines.extend(report.not_proven.iter().map(|fact| format!("not proven  {fact}")));
    lines.join("\n")
}

/// Seconds of an age such as `36h`.
fn parse_age(text: &str) -> Result<i64, Failure> {
    let wrong = || Failure::Usage(format!("--max-age `{text}` is not an age such as 90m, 36h, 7d or 2w"));
    let unit = text.chars().last().ok_or_else(wrong)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(wrong()),
    };
    let number = text.strip_suffix(unit).unwrap_or_default();
    let number = Some(number).filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    let number: i64 = number.and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    number.checked_mul(factor).filter(|seconds| *seconds > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::parse_age;

    #[test]
    fn ages_are_whole_numbers_with_one_unit() {
        for (text, seconds) in [("90s", 90), ("90m", 5_400), ("36h", 129_600), ("7d", 604_800), ("2w", 1_209_600)] {
            assert_eq!(parse_age(text).unwrap(), seconds, "{text}");
        }
        for text in ["", "h", "0h", "-1h", "+1h", "1", "1y", "1.5h", "7dd", "7 d", "9999999999999999w", "1é"] {
            assert!(parse_age(text).is_err(), "{text}");
        }
    }
}
