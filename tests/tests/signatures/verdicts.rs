//! cosign verifies a run's manifest and provenance, and refuses them once changed.

use std::path::Path;

use export_tests::{Cosign, Deployment, LOCAL_TENANT, light};

/// How a user verifies, as docs/verify.md says: the manifest by its detached signature and by its bundle, and that the tar is
/// a subject of the signed provenance.
const COMMANDS: [&[&str]; 4] = [
    &["verify-blob", "--key", "KEY", "--signature", "export.json.sig", "--insecure-ignore-tlog", "export.json"],
    &["verify-blob", "--key", "KEY", "--bundle", "export.json.sigstore.json", "--insecure-ignore-tlog", "export.json"],
    &[
        "verify-blob-attestation",
        "--key",
        "KEY",
        "--bundle",
        "provenance.sigstore.json",
        "--type",
        "slsaprovenance1",
        "--insecure-ignore-tlog",
        "bundle.tar",
    ],
    &[
        "verify-blob-attestation",
        "--key",
        "KEY",
        "--bundle",
        "provenance.sigstore.json",
        "--type",
        "slsaprovenance1",
        "--insecure-ignore-tlog",
        "export.json",
    ],
];

/// What cosign says of each of [`COMMANDS`].
pub(crate) fn verdicts(cosign: Cosign, folder: &Path, key: &Path) -> Vec<(bool, String)> {
    COMMANDS
        .iter()
        .map(|command| {
            let key = key.to_str().unwrap();
            let arguments: Vec<&str> = command.iter().map(|word| if *word == "KEY" { key } else { word }).collect();
            cosign.accepts(folder, &arguments).unwrap()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn cosign_verifies_manifest_and_provenance_and_no_changed_byte() {
    let Some(cosign) = Cosign::installed() else { return };
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    deployment.generate(LOCAL_TENANT, 3, 200).unwrap();
    let finished = deployment.run("json-raw").await.unwrap();
    let bundle = deployment.download(&finished).await.unwrap();
    let key = deployment.data().join("keys/cosign.pub");
    for (accepted, said) in verdicts(cosign, bundle.folder(), &key) {
        assert!(accepted, "{said}");
    }
    // Older cosigns want a trust root even where none is used: the one beside the keys says nothing, and is enough.
    let trusted_root = deployment.data().join("keys/trusted_root.json");
    let with_root = [
        "verify-blob",
        "--key",
        key.to_str().unwrap(),
        "--bundle",
        "export.json.sigstore.json",
        "--insecure-ignore-tlog",
        "--trusted-root",
        trusted_root.to_str().unwrap(),
        "export.json",
    ];
    let (accepted, said) = cosign.accepts(bundle.folder(), &with_root).unwrap();
    assert!(accepted, "{said}");

    let refused_after = |name: &str, expected: [bool; 4]| {
        let path = bundle.folder().join(name);
        let whole = std::fs::read(&path).unwrap();
        let mut changed = whole.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        std::fs::write(&path, changed).unwrap();
        let accepted: Vec<bool> = verdicts(cosign, bundle.folder(), &key).into_iter().map(|(ok, _)| ok).collect();
        std::fs::write(&path, whole).unwrap();
        assert_eq!(accepted, expected, "after a change of {name}");
    };
    refused_after("export.json", [false, false, true, false]);
    refused_after("bundle.tar", [true, true, false, true]);
    refused_after("provenance.sigstore.json", [true, true, false, false]);
    deployment.stop_all().await.unwrap();
}
