//! `exportctl bundle`.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use export_client::Client;
use export_contract::Timestamp;
use export_contract::run::Run;
use export_verify::{Policy, PublicKey, Report, VerifyError};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::cli::{BundleCommand, Global};
use crate::exit::{Exit, Failure};
use crate::login::client;
use crate::output;

/// What a download wrote.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DownloadReport {
    run: String,
    folder: PathBuf,
    bundle: PathBuf,
    bytes: u64,
    digest: String,
    files: Vec<String>,
}

/// Downloads a bundle and everything beside it.
pub(crate) async fn online(global: &Global, command: BundleCommand) -> Result<Exit, Failure> {
    let BundleCommand::Download { run, dir } = command else { return offline(global, command) };
    let client = client(global)?;
    let run = client.run(&run).await.map_err(Failure::Client)?;
    let report = download(global, &client, &run, &dir).await?;
    output::document(global, &report, |report| {
        output::facts(&[
            ("run", report.run.clone()),
            ("folder", report.folder.display().to_string()),
            ("bytes", report.bytes.to_string()),
            ("digest", report.digest.clone()),
            ("files", report.files.join(" ")),
        ])
    });
    Ok(Exit::Ok)
}

async fn download(global: &Global, client: &Client, run: &Run, dir: &Path) -> Result<DownloadReport, Failure> {
    let Some(bundle) = &run.bundle else {
        return Err(Failure::NoBundle { run: run.id.to_string(), status: run.status });
    };
    let written = |path: &Path, cause| Failure::File { act: "write", path: path.to_owned(), cause };
    std::fs::create_dir_all(dir).map_err(|cause| written(dir, cause))?;
    let mut files = vec!["bundle.tar".to_owned()];
    for name in bundle.sidecars.keys() {
        // The names come from the server: one that is not a plain file name must not leave the folder.
        if Path::new(name).file_name().is_none_or(|plain| plain != name.as_str()) {
            return Err(Failure::Usage(format!("the server names a file `{name}`, which is not a plain file name")));
        }
        let bytes = client.file(run.id.as_str(), &format!("files/{name}")).await.map_err(Failure::Client)?;
        let path = dir.join(name);
        std::fs::write(&path, &bytes).map_err(|cause| written(&path, cause))?;
        files.push(name.clone());
    }
    let target = if output::bars(global) { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(bundle.bytes), target);
    if let Ok(style) =
        ProgressStyle::with_template("bundle.tar [{bar:32}] {bytes}/{total_bytes}  {bytes_per_sec}  {eta}")
    {
        bar.set_style(style.progress_chars("=> "));
    }
    let path = dir.join("bundle.tar");
    let done = client
        .download(run.id.as_str(), &bundle.digest, bundle.bytes, &path, |bytes| bar.set_position(bytes))
        .await
        .map_err(Failure::Download)?;
    bar.finish_and_clear();
    Ok(DownloadReport {
        run: run.id.to_string(),
        folder: dir.to_owned(),
        bundle: done.path,
        bytes: done.bytes,
        digest: done.digest.to_string(),
        files,
    })
}

/// Verifies or inspects; never touches the network.
pub(crate) fn offline(global: &Global, command: BundleCommand) -> Result<Exit, Failure> {
    match command {
        BundleCommand::Verify { path, key, max_age } => verify(global, &path, &key, max_age.as_deref()),
        BundleCommand::Inspect { path } => {
            let inspection = export_verify::inspect(&path).map_err(failed)?;
            output::document(global, &inspection, |inspection| {
                serde_json::to_string_pretty(inspection).unwrap_or_default()
            });
            Ok(Exit::Ok)
        }
        BundleCommand::Download { .. } => Ok(Exit::Unexpected),
    }
}

fn verify(global: &Global, path: &Path, keys: &[PathBuf], max_age: Option<&str>) -> Result<Exit, Failure> {
    if keys.is_empty() {
        return Err(Failure::Usage(
            "give the public key that must have signed the bundle: --key cosign.pub (not the one that came with it)"
                .to_owned(),
        ));
    }
    let keys = keys.iter().map(|path| read_key(path)).collect::<Result<Vec<PublicKey>, Failure>>()?;
    let max_age_seconds = max_age.map(parse_age).transpose()?;
    let policy = Policy { keys, now: Some(Timestamp::from(SystemTime::now())), max_age_seconds, ..Policy::default() };
    let report = export_verify::verify(path, &policy).map_err(failed)?;
    output::document(global, &report, told);
    Ok(Exit::Ok)
}

fn read_key(path: &Path) -> Result<PublicKey, Failure> {
    let text =
        std::fs::read_to_string(path).map_err(|cause| Failure::File { act: "read", path: path.to_owned(), cause })?;
    PublicKey::from_pem(&text).map_err(|error| Failure::Usage(format!("`{}`: {error}", path.display())))
}

fn failed(cause: VerifyError) -> Failure {
    Failure::Verify { code: cause.exit_code(), cause }
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
    let number: i64 = text.trim_end_matches(unit).parse().map_err(|_| wrong())?;
    number.checked_mul(factor).filter(|seconds| *seconds > 0).ok_or_else(wrong)
}
