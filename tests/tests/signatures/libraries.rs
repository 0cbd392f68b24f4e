//! Other libraries that read what we sign: the DSSE library for Go, and the npm client's Sigstore libraries. They are built
//! where Go and Node.js are; a newcomer needs neither.

use std::path::{Path, PathBuf};
use std::process::Command;

use export_tests::{Deployment, LOCAL_TENANT, light, output, workspace};

/// A copy of a judge's sources, so that what it installs stays out of the work tree.
fn judge(deployment: &Deployment, name: &str) -> PathBuf {
    let folder = deployment.folder().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let sources = workspace().join("tests/judges").join(name);
    for file in std::fs::read_dir(&sources).unwrap().map(Result::unwrap).filter(|file| file.path().is_file()) {
        std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
    }
    folder
}

/// Whether `program` is there; says so if it is not.
#[expect(clippy::print_stderr, reason = "whoever reads the test's output must see that it tested nothing")]
fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg(if program == "go" { "version" } else { "--version" }).output();
    let found = found.is_ok_and(|done| done.status.success());
    if !found {
        eprintln!("passed over: `{program}` is not installed");
    }
    found
}

fn flip_the_middle(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn libraries_for_go_and_javascript_verify_and_refuse() {
    let (go, node) = (is_there("go"), is_there("node") && is_there("npm"));
    if !go && !node {
        return;
    }
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    deployment.generate(LOCAL_TENANT, 5, 100).unwrap();
    let finished = deployment.run("json-raw").await.unwrap();
    let bundle = deployment.download(&finished).await.unwrap();
    let key = deployment.data().join("keys/cosign.pub");
    let file = |name: &str| bundle.folder().join(name);

    let mut judges: Vec<(&str, Command)> = Vec::new();
    if go {
        let folder = judge(&deployment, "dsse");
        output(Command::new("go").args(["build", "-o", "judge", "."]).current_dir(&folder)).unwrap();
        let mut verify = Command::new(folder.join("judge"));
        verify.arg(&key).arg(file("provenance.sigstore.json"));
        judges.push(("provenance.sigstore.json", verify));
    }
    if node {
        let folder = judge(&deployment, "sigstore-js");
        output(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder)).unwrap();
        let of = |bundle: &str, signed: Option<&str>| {
            let mut verify = Command::new("node");
            verify.arg(folder.join("verify.mjs")).arg(&key).arg(file(bundle)).args(signed.map(file));
            verify
        };
        judges.push(("provenance.sigstore.json", of("provenance.sigstore.json", None)));
        judges.push(("export.json", of("export.json.sigstore.json", Some("export.json"))));
    }
    for (changed, mut verify) in judges {
        output(&mut verify).unwrap();
        let whole = std::fs::read(file(changed)).unwrap();
        flip_the_middle(&file(changed));
        let verdict = verify.output().unwrap();
        std::fs::write(file(changed), whole).unwrap();
        assert!(!verdict.status.success(), "a changed {changed} passes: {verdict:?}");
    }
    deployment.stop_all().await.unwrap();
}
