//! The programs under test, and those of the system that judge them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

/// Our programs, freshly built.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The server.
    pub exportd: PathBuf,
    /// The client.
    pub exportctl: PathBuf,
}

/// Variables that `cargo test` sets for this package; build scripts of others would see them as a change.
const OF_THIS_PACKAGE: [&str; 14] = [
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_PKG_AUTHORS",
    "CARGO_PKG_DESCRIPTION",
    "CARGO_PKG_HOMEPAGE",
    "CARGO_PKG_LICENSE",
    "CARGO_PKG_LICENSE_FILE",
    "CARGO_PKG_NAME",
    "CARGO_PKG_README",
    "CARGO_PKG_REPOSITORY",
    "CARGO_PKG_RUST_VERSION",
    "CARGO_PKG_VERSION",
    "CARGO_CRATE_NAME",
    "CARGO_PRIMARY_PACKAGE",
];

/// The top of the work tree.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Builds our programs, once a process, in the profile of the test, and says where they are.
///
/// # Errors
/// When they do not build.
pub fn programs() -> anyhow::Result<&'static Programs> {
    static BUILT: OnceLock<Result<Programs, String>> = OnceLock::new();
    match BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}"))) {
        Ok(programs) => Ok(programs),
        Err(error) => bail!("{error}"),
    }
}

fn build() -> anyhow::Result<Programs> {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["build", "--package", "exportd", "--package", "exportctl", "--bins", "--locked"])
        .args(["--message-format", "json-render-diagnostics"])
        .args(["--profile", &profile()?])
        .current_dir(workspace());
    for name in OF_THIS_PACKAGE {
        command.env_remove(name);
    }
    let messages = output(&mut command)?;
    let executable = |name: &str| {
        messages
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|message| message.pointer("/target/name").and_then(Value::as_str) == Some(name))
            .find_map(|message| message.get("executable").and_then(Value::as_str).map(PathBuf::from))
            .with_context(|| format!("cargo built no `{name}`"))
    };
    Ok(Programs { exportd: executable("exportd")?, exportctl: executable("exportctl")? })
}

/// The profile that this test was built in, read from where cargo put it.
fn profile() -> anyhow::Result<String> {
    let test = std::env::current_exe().context("cannot say where this test is")?;
    let folder = test
        .ancestors()
        .find(|folder| folder.file_name().is_some_and(|name| name == "deps"))
        .and_then(Path::parent)
        .and_then(Path::file_name)
        .and_then(|name| name.to_str())
        .with_context(|| format!("`{}` lies in no target folder", test.display()))?;
    Ok(if folder == "debug" { "dev".to_owned() } else { folder.to_owned() })
}

/// Runs a program to its end and gives what it printed.
///
/// # Errors
/// When it cannot be started or fails; the error has what it said.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let done = command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(
        done.status.success(),
        "{command:?} ended with {}:\n{}\n{}",
        done.status,
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).with_context(|| format!("{command:?} printed what is no text"))
}

/// A Python, that of the project's tools if it is there.
pub fn python() -> Command {
    let own = workspace().join(".venv/bin/python");
    let mut command = Command::new(if own.is_file() { own } else { PathBuf::from("python3") });
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// A program of the project's tools, else of the search path.
pub fn tool(name: &str) -> PathBuf {
    let own = workspace().join(".tools/bin").join(name);
    if own.is_file() { own } else { PathBuf::from(name) }
}

/// Whether `EXPORT_TESTS_WITHOUT` names a program.
pub fn is_left_out(program: &str) -> bool {
    #[expect(clippy::disallowed_methods, reason = "tests are configured by the environment alone")]
    let without = std::env::var("EXPORT_TESTS_WITHOUT").unwrap_or_default();
    without.split([',', ' ']).any(|name| name == program)
}

/// The real evidence: `EXPORT_EVIDENCE`, else beside the work tree; `None`, with a note, where it is not.
#[expect(clippy::print_stderr, reason = "whoever reads the test's output must see that it tested nothing")]
pub fn evidence_folder() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "tests are configured by the environment alone")]
    let named = std::env::var_os("EXPORT_EVIDENCE").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| workspace().join("../shared/evidence"));
    if folder.join("MANIFEST.json").is_file() {
        return folder.canonicalize().ok();
    }
    eprintln!("passed over: no evidence in `{}`; set EXPORT_EVIDENCE", folder.display());
    None
}

/// Whether tests of large size run whole (`make soak`).
pub fn soak() -> bool {
    #[expect(clippy::disallowed_methods, reason = "tests are configured by the environment alone")]
    let soak = std::env::var_os("EXPORT_TESTS_SOAK").is_some();
    soak
}
