//! A database from request to unpacked bundle.

use std::path::{Path, PathBuf};
use std::process::Command;

use export_tests::{Deployment, Scanner, Trivy, output, programs, python, workspace};

/// An unpacked bundle with a database.
#[derive(Debug)]
pub(crate) struct Exported {
    /// Digest of the bundle.
    pub digest: String,
    /// Where it is unpacked.
    pub unpacked: PathBuf,
}

/// Runs a profile, downloads, lets `exportctl` verify and `tar` unpack.
pub(crate) async fn export(deployment: &mut Deployment, profile: &str) -> Exported {
    let finished = deployment.run(profile).await.unwrap();
    finished.assert_once();
    let digest = finished.digest().to_string();
    let bundle = deployment.download(&finished).await.unwrap();
    let key = deployment.data().join("keys/cosign.pub");
    let mut verify = Command::new(&programs().unwrap().exportctl);
    output(verify.args(["bundle", "verify", "--key"]).arg(key).arg(bundle.folder())).unwrap();
    Exported { digest, unpacked: bundle.unpack().unwrap() }
}

/// Every Trivy that there is, each with a copy of these databases.
pub(crate) fn scanners(deployment: &Deployment, exported: &[&Exported]) -> Vec<Scanner> {
    let bundles: Vec<&Path> = exported.iter().map(|exported| exported.unpacked.as_path()).collect();
    Trivy::installed()
        .into_iter()
        .map(|trivy| {
            let cache = deployment.folder().join(format!("cache-{}", trivy.program()));
            Scanner::new(trivy, cache, &bundles).unwrap()
        })
        .collect()
}

/// A script of `tests/judges`.
pub(crate) fn judge(script: &str) -> Command {
    let mut command = python();
    command.arg(workspace().join("tests/judges").join(script));
    command
}

/// The sample evidence.
pub(crate) fn samples() -> PathBuf {
    workspace().join("samples").canonicalize().unwrap()
}

/// Invented advisories in every shape of range, in `folder`.
pub(crate) fn invented(folder: &Path) -> PathBuf {
    let out = folder.join("invented");
    output(judge("invent.py").arg(&out)).unwrap();
    out
}
