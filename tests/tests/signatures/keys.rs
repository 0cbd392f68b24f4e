//! Keys travel between cosign and us, in both directions; a bundle of a former key still verifies with that key.

use std::process::Command;

use export_tests::{Cosign, Deployment, LOCAL_TENANT, light, programs};

use crate::verdicts::verdicts;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_cosign_signs_here_and_a_key_of_ours_signs_in_cosign() {
    let Some(cosign) = Cosign::installed() else { return };
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    deployment.generate(LOCAL_TENANT, 4, 200).unwrap();
    let keys = deployment.data().join("keys");
    let first = deployment.run("json-raw").await.unwrap();
    let under_our_key = deployment.download(&first).await.unwrap();
    let our_key = deployment.folder().join("ours.pub");
    std::fs::copy(keys.join("cosign.pub"), &our_key).unwrap();

    // Ours in cosign.
    let folder = deployment.folder().join("blobs");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("blob"), "anything").unwrap();
    let password = std::fs::read_to_string(keys.join("cosign.password")).unwrap();
    let (private, public) = (keys.join("cosign.key"), our_key.to_str().unwrap());
    let sign = ["sign-blob", "--yes", "--use-signing-config=false", "--tlog-upload=false", "--key"];
    let rest = [private.to_str().unwrap(), "--bundle", "blob.sigstore.json", "blob"];
    let done = cosign.run(&folder, password.trim(), &[&sign[..], &rest[..]].concat()).unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let check = ["verify-blob", "--key", public, "--bundle", "blob.sigstore.json", "--insecure-ignore-tlog", "blob"];
    let (accepted, said) = cosign.accepts(&folder, &check).unwrap();
    assert!(accepted, "{said}");

    // Theirs here, from the next start on.
    deployment.stop_all().await.unwrap();
    let made = deployment.folder().join("theirs");
    std::fs::create_dir_all(&made).unwrap();
    let done = cosign.run(&made, "a password", &["generate-key-pair"]).unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for name in ["cosign.key", "cosign.pub"] {
        std::fs::copy(made.join(name), keys.join(name)).unwrap();
    }
    std::fs::write(keys.join("cosign.password"), "a password").unwrap();
    deployment.start_all().await.unwrap();
    let second = deployment.run("json-raw").await.unwrap();
    let under_their_key = deployment.download(&second).await.unwrap();
    assert_eq!(first.digest(), second.digest(), "the key is no part of what is signed");
    for (accepted, said) in verdicts(cosign, under_their_key.folder(), &made.join("cosign.pub")) {
        assert!(accepted, "{said}");
    }

    // Each bundle passes under its own key and under no other.
    let verify = |bundle: &std::path::Path, key: &std::path::Path| {
        let mut command = Command::new(&programs().unwrap().exportctl);
        command.args(["bundle", "verify", "--key"]).arg(key).arg(bundle);
        command.output().unwrap().status.code()
    };
    let (ours, theirs) = (under_our_key.folder(), under_their_key.folder());
    let their_key = made.join("cosign.pub");
    let codes =
        [verify(ours, &our_key), verify(theirs, &their_key), verify(ours, &their_key), verify(theirs, &our_key)];
    assert_eq!(codes, [Some(0), Some(0), Some(12), Some(12)], "12: wrong signer");
    deployment.stop_all().await.unwrap();
}
