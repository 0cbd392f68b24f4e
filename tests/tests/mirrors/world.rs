//! A deployment whose ledger changes, and a site that follows it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::Context as _;
use export_client::NewRun;
use export_contract::run::RunOptions;
use export_tests::{Bundle, Deployment, Finished, LOCAL_TENANT, finish, output, programs, python};
use serde_json::Value;

/// A private key for the consumer of a deployment's bundles, made by `age-keygen`; gives the recipient.
pub(crate) fn recipient(deployment: &Deployment) -> String {
    let identity = deployment.folder().join("identity.txt");
    output(Command::new("age-keygen").arg("-o").arg(&identity)).unwrap();
    output(Command::new("age-keygen").arg("-y").arg(identity)).unwrap().trim().to_owned()
}

/// Asks for a bundle and waits for its end.
pub(crate) async fn run(deployment: &Deployment, profile: &str, options: RunOptions) -> Finished {
    let client = deployment.client().unwrap();
    let wanted = NewRun { profile_id: profile.to_owned(), options, ..NewRun::default() };
    let run = client.start_run(&wanted, None).await.unwrap();
    finish(&client, run.id.as_str()).await.unwrap()
}

/// A delta against an earlier run, downloaded.
pub(crate) async fn delta(deployment: &mut Deployment, profile: &str, base: &str) -> (Finished, Bundle) {
    let options = RunOptions { base_export_id: Some(base.to_owned()), ..RunOptions::default() };
    let finished = run(deployment, profile, options).await;
    let bundle = deployment.download(&finished).await.unwrap();
    (finished, bundle)
}

/// A full mirror, downloaded.
pub(crate) async fn full(deployment: &mut Deployment, profile: &str) -> (Finished, Bundle) {
    let finished = run(deployment, profile, RunOptions::default()).await;
    let bundle = deployment.download(&finished).await.unwrap();
    (finished, bundle)
}

/// Digest of the mirror that a consumer has with a run's bundle.
pub(crate) fn state(finished: &Finished) -> String {
    finished.bundle().state_digest.as_ref().unwrap().to_string()
}

/// `exportctl bundle …`, with the deployment's key where it verifies.
pub(crate) fn exportctl(deployment: &Deployment, arguments: &[&str]) -> Command {
    let mut command = Command::new(&programs().unwrap().exportctl);
    let (name, rest) = arguments.split_first().unwrap();
    command.arg("bundle").arg(name);
    if ["apply", "decrypt", "verify", "kit"].contains(name) {
        command.arg("--key").arg(deployment.data().join("keys/cosign.pub"));
        let identity = deployment.folder().join("identity.txt");
        if identity.is_file() {
            command.arg("--identity").arg(identity);
        }
    }
    command.args(rest);
    command
}

/// Takes a bundle into a site.
pub(crate) fn apply(deployment: &Deployment, bundle: &Path, site: &Path) -> Output {
    let arguments = ["apply", bundle.to_str().unwrap(), "--into", site.to_str().unwrap(), "-o", "json"];
    exportctl(deployment, &arguments).output().unwrap()
}

/// Takes a bundle into a site, and says what was done.
pub(crate) fn applied(deployment: &Deployment, bundle: &Path, site: &Path) -> Value {
    let output = apply(deployment, bundle, site);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Digest of the mirror in use.
pub(crate) fn current(site: &Path) -> String {
    Bundle::digest(&site.join("current/tree/manifests/export.json")).unwrap()
}

/// Every file below a folder with its bytes, by `tar`, as the bundle would hold it.
pub(crate) fn tree(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                files.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

/// A bundle as it was before it was encrypted.
pub(crate) fn plain(deployment: &Deployment, bundle: &Bundle) -> Bundle {
    let identity = deployment.folder().join("identity.txt");
    if !identity.is_file() {
        return bundle.clone();
    }
    let out = bundle.folder().join("plain");
    let mut command = exportctl(deployment, &["decrypt", bundle.folder().to_str().unwrap(), "--out"]);
    output(command.arg(&out)).unwrap();
    Bundle::in_folder(out)
}

/// Asserts that the mirror in use is that of a full bundle, byte for byte and file for file.
pub(crate) fn assert_same_as_full(site: &Path, full: &Bundle) {
    let (ours, theirs) = (tree(&site.join("current/tree")), tree(&full.unpack().unwrap()));
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs));
    for ((name, ours), (_, theirs)) in ours.iter().zip(&theirs) {
        assert!(ours == theirs, "{name} differs: {} bytes against {}", ours.len(), theirs.len());
    }
}

/// Writes documents that a test imports, and imports them.
pub(crate) struct Evidence {
    folder: PathBuf,
}

impl Evidence {
    pub(crate) fn new(deployment: &Deployment) -> Self {
        let folder = deployment.folder().join("evidence");
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    /// An advisory of a package; the version makes it another one.
    pub(crate) fn advisory(&self, number: u32, version: u32) -> &Self {
        let text = serde_json::json!({
            "id": format!("TEST-{number:04}"),
            "schema_version": "1.6.0",
            "modified": "2026-01-01T00:00:00Z",
            "summary": format!("advisory {number} in version {version}"),
            "database_specific": { "severity": if version.is_multiple_of(2) { "LOW" } else { "HIGH" } },
            "affected": [{
                "package": { "ecosystem": "npm", "name": format!("package-{}", number % 7) },
                "ranges": [{ "type": "SEMVER", "events": [{ "introduced": "0" }, { "fixed": format!("1.{version}.0") }] }],
            }],
        });
        self.write(&format!("advisories/{number:04}.json"), &text)
    }

    /// A statement on a package.
    pub(crate) fn vex(&self, number: u32, status: &str) -> &Self {
        let text = serde_json::json!({
            "@context": "https://openvex.dev/ns/v0.2.0",
            "@id": format!("https://example.org/vex/{number}"),
            "author": "us",
            "timestamp": "2026-01-01T00:00:00Z",
            "version": 1,
            "statements": [{
                "vulnerability": { "name": format!("TEST-{number:04}") },
                "products": [{ "@id": format!("pkg:npm/package-{}@1.0.0", number % 7) }],
                "status": status,
            }],
        });
        self.write(&format!("vex/{number:04}.json"), &text)
    }

    /// An SBOM of an application.
    pub(crate) fn sbom(&self, number: u32, version: u32) -> &Self {
        let text = serde_json::json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "serialNumber": format!("urn:uuid:00000000-0000-4000-8000-{number:012}"),
            "version": version,
            "metadata": { "component": { "type": "application", "name": format!("app-{number}"), "version": "1",
                "bom-ref": "app", "purl": format!("pkg:generic/app-{number}@1") } },
            "components": [{ "type": "library", "name": format!("package-{}", version % 7), "version": "1.0.0",
                "purl": format!("pkg:npm/package-{}@1.0.0", version % 7) }],
        });
        self.write(&format!("sboms/{number:04}.json"), &text)
    }

    /// A snapshot of a policy engine with its findings: number, status and severity of each.
    pub(crate) fn policy(&self, snapshot: u32, findings: &[(u32, &str, &str)]) -> &Self {
        let folder = format!("policy/{snapshot:04}");
        let text = serde_json::json!({
            "snapshot_id": format!("snap-{snapshot:04}"),
            "generated_at": format!("2026-01-01T00:{:02}:{:02}Z", snapshot / 60, snapshot % 60),
            "policy_version": snapshot,
            "inputs_hash": format!("sha256:{}", "a".repeat(64)),
            "decision_trace": format!("sha256:{}", "b".repeat(64)),
        });
        self.write(&format!("{folder}/snapshot.json"), &text);
        let lines: String = findings
            .iter()
            .map(|(number, status, severity)| {
                let finding = serde_json::json!({
                    "subject": format!("pkg:npm/package-{}@1.0.0", number % 7), "advisory": format!("TEST-{number:04}"),
                    "status": status, "severity": severity, "rationale": "r", "rule_chain": [],
                });
                format!("{finding}\n")
            })
            .collect();
        std::fs::write(self.folder.join(folder).join("findings.jsonl"), lines).unwrap();
        self
    }

    fn write(&self, name: &str, text: &Value) -> &Self {
        let path = self.folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text.to_string()).unwrap();
        self
    }

    /// Takes in whatever was written.
    pub(crate) fn import(&self, deployment: &Deployment) {
        let summary = deployment.import(&[self.folder.as_path()]).unwrap();
        assert_eq!(summary["total"]["refused"], 0, "{summary}");
    }
}

/// Takes records out of the ledger, as retention would: those whose subject or document matches a pattern of SQL.
pub(crate) fn forget(deployment: &Deployment, kind: &str, like: &str) -> anyhow::Result<u64> {
    let script = format!(
        "import sqlite3, sys\n\
         ledger = sqlite3.connect(sys.argv[1], timeout=30)\n\
         gone = ledger.execute(\"delete from evidence where tenant = '{LOCAL_TENANT}' and kind = ? and (subject like ? or document_id like ?)\", \
         (sys.argv[2], sys.argv[3], sys.argv[3])).rowcount\n\
         ledger.commit()\n\
         print(gone, end='')"
    );
    let mut command = python();
    command.arg("-c").arg(script).arg(deployment.data().join("evidence.db")).args([kind, like]);
    output(&mut command)?.parse().context("python printed no number")
}
