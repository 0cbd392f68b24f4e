//! Runs a Python script over bytes that we stream to it.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The interpreter with the pinned packages, else the one on the path.
fn interpreter() -> PathBuf {
    let pinned = workspace().join(".venv/bin/python");
    if pinned.exists() { pinned } else { PathBuf::from("python3") }
}

/// Runs `script` with `arguments`, feeds its standard input with `feed`, and gives its standard output. `modules` are the
/// packages it needs beyond the standard library.
pub(crate) fn run(
    modules: &[&str],
    script: &str,
    arguments: &[&str],
    feed: impl FnOnce(&mut dyn Write) + Send,
) -> String {
    for module in modules {
        let found =
            Command::new(interpreter()).args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
        assert!(found.is_ok_and(|status| status.success()), "Python has no module `{module}`; run `make tools`");
    }
    let mut child = Command::new(interpreter())
        .args(["-c", script])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed for this test; run `make tools`");
    let stdin = child.stdin.take().unwrap();
    let output = thread::scope(|scope| {
        // Python may stop early with a message of its own, so a closed pipe is for it to explain.
        scope.spawn(move || feed(&mut BufWriter::with_capacity(1 << 20, stdin)));
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "the script refused our bytes; see its message above");
    String::from_utf8(output.stdout).unwrap()
}
