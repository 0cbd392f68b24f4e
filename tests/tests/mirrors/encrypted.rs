//! Encrypted mirrors and deltas: a site that has the identity follows them to the same bytes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use export_tests::{Deployment, light, output};
use serde_json::{Value, json};

use crate::world::{Evidence, assert_same_as_full, current, delta, exportctl, full, state};

/// A key that `age-keygen` makes: its file, and who that is.
fn keygen(folder: &Path) -> (PathBuf, String) {
    let file = folder.join("site.txt");
    output(Command::new("age-keygen").arg("-o").arg(&file)).unwrap();
    let public = output(Command::new("age-keygen").arg("-y").arg(&file)).unwrap();
    (file, public.trim().to_owned())
}

fn apply(deployment: &Deployment, bundle: &Path, site: &Path, identity: Option<&Path>) -> Output {
    let arguments = ["apply", bundle.to_str().unwrap(), "--into", site.to_str().unwrap(), "-o", "json"];
    let mut command = exportctl(deployment, &arguments);
    if let Some(identity) = identity {
        command.arg("--identity").arg(identity);
    }
    command.output().unwrap()
}

fn change(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["change"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_with_the_identity_follows_encrypted_mirrors_and_one_without_takes_nothing() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    let (identity, public) = keygen(deployment.folder());
    let evidence = Evidence::new(&deployment);
    for number in 0..60 {
        evidence.advisory(number, 1);
    }
    evidence.vex(1, "affected").sbom(1, 1).import(&deployment);
    for (mode, suffix, turn) in [("aes-gcm", ".enc", 0), ("age", ".age", 1)] {
        let client = deployment.client().unwrap();
        let encryption = json!({ "mode": mode, "recipients": [public] });
        let (mirror, changes) = (format!("mirror-{mode}"), format!("changes-{mode}"));
        for (id, kind) in [(&mirror, "mirror:full"), (&changes, "mirror:delta")] {
            let config = json!({ "encryption": encryption, "policySnapshotMode": "none" });
            let profile = json!({ "id": id, "name": "mirror", "kind": kind, "config": config });
            client.create_profile(&profile).await.unwrap();
        }
        let (first, bundle) = full(&mut deployment, &mirror).await;
        for path in bundle.paths().unwrap() {
            assert_eq!(path.starts_with("data/"), path.ends_with(suffix), "{path}");
        }
        let site = deployment.folder().join(format!("site-{mode}"));
        let refused = apply(&deployment, bundle.folder(), &site, None);
        assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("--identity"), "{refused:?}");
        assert_eq!(change(&apply(&deployment, bundle.folder(), &site, Some(&identity))), "full");
        assert_eq!(current(&site), state(&first));

        evidence.advisory(7, 2 + turn).advisory(100 + turn, 1).vex(2 + turn, "fixed").sbom(2 + turn, 1);
        evidence.import(&deployment);
        let (second, difference) = delta(&mut deployment, &changes, first.run.id.as_str()).await;
        assert!(difference.paths().unwrap().iter().any(|path| path.ends_with(suffix)));
        assert_eq!(change(&apply(&deployment, difference.folder(), &site, Some(&identity))), "delta");
        assert_eq!(current(&site), state(&second));

        // The same as the full mirror, decrypted by hand.
        let (_, whole) = full(&mut deployment, &mirror).await;
        let plain = deployment.folder().join(format!("plain-{mode}"));
        let mut decrypt = exportctl(&deployment, &["decrypt", whole.folder().to_str().unwrap()]);
        decrypt.arg("--key").arg(deployment.data().join("keys/cosign.pub")).arg("--identity").arg(&identity);
        output(decrypt.arg("--out").arg(&plain)).unwrap();
        assert_same_as_full(&site, &export_tests::Bundle::at(&plain));
        output(&mut exportctl(&deployment, &["verify", site.join("current").to_str().unwrap()])).unwrap();
    }
    deployment.stop_all().await.unwrap();
}
