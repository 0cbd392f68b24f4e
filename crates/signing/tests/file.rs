//! Keys in files, judged by openssl.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use export_signing::bundle::{Bundle, to_base64};
use export_signing::dsse::{Envelope, IN_TOTO, pre_authentication};
use export_signing::{FileSigner, Password, PublicKey, Signer as _, generate_key_pair, suite};

fn made() -> (tempfile::TempDir, FileSigner) {
    let folder = tempfile::tempdir().unwrap();
    let password = Password::new(b"correct horse".to_vec());
    generate_key_pair(folder.path(), &password).unwrap();
    let signer = FileSigner::open(&folder.path().join("cosign.key"), &password).unwrap();
    (folder, signer)
}

#[tokio::test]
async fn the_file_driver_conforms() {
    suite::conformance(&made().1).await;
}

#[tokio::test]
async fn openssl_accepts_the_detached_signature_and_refuses_a_changed_message() {
    let (folder, signer) = made();
    let signature = signer.sign(b"export").await.unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("sig"), signature).unwrap();
    let judge = |message: &[u8]| {
        std::fs::write(path("message"), message).unwrap();
        Command::new("openssl")
            .args(["dgst", "-sha256", "-verify"])
            .arg(path("cosign.pub"))
            .arg("-signature")
            .arg(path("sig"))
            .arg(path("message"))
            .output()
            .unwrap()
            .status
            .success()
    };
    assert!(judge(b"export"));
    assert!(!judge(b"exporT"));
}

#[test]
fn a_key_is_never_overwritten_and_needs_its_password() {
    let (folder, signer) = made();
    generate_key_pair(folder.path(), &Password::new(b"correct horse".to_vec())).unwrap();
    let again = FileSigner::open(&folder.path().join("cosign.key"), &Password::new(b"correct horse".to_vec())).unwrap();
    assert_eq!(again.public_key().key_id(), signer.public_key().key_id());
    assert!(FileSigner::open(&folder.path().join("cosign.key"), &Password::new(b"wrong".to_vec())).is_err());
    let mode = std::fs::metadata(folder.path().join("cosign.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(folder.path().join("cosign.key")).unwrap();
    assert!(text.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----"));
}

#[test]
fn of_makers_at_once_all_get_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let password = Password::new(b"p".to_vec());
    let maker = || {
        generate_key_pair(folder.path(), &password).unwrap();
        let signer = FileSigner::open(&folder.path().join("cosign.key"), &password).unwrap();
        (signer.public_key().key_id(), std::fs::read_to_string(folder.path().join("cosign.pub")).unwrap())
    };
    let keys: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(maker)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| key == &keys[0]));
    assert_eq!(PublicKey::from_pem(&keys[0].1).unwrap().key_id(), keys[0].0);
    let mut left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["cosign.key", "cosign.pub", "trusted_root.json"]);
}

#[test]
fn the_public_half_is_restored_and_a_foreign_one_replaced() {
    let (folder, signer) = made();
    let public = folder.path().join("cosign.pub");
    for text in [None, Some("of another key")] {
        match text {
            Some(text) => std::fs::write(&public, text).unwrap(),
            None => std::fs::remove_file(&public).unwrap(),
        }
        generate_key_pair(folder.path(), &Password::new(b"correct horse".to_vec())).unwrap();
        assert_eq!(std::fs::read_to_string(&public).unwrap(), signer.public_key().pem());
    }
}

#[tokio::test]
async fn bundles_are_read_strictly() {
    let (_folder, signer) = made();
    let payload = br#"{"a":1}"#;
    let signature = signer.sign(&pre_authentication(IN_TOTO, payload)).await.unwrap();
    let bundle = Bundle::of_envelope(signer.public_key(), Envelope::new(IN_TOTO, payload, &signature));
    let text = serde_json::to_string(&bundle).unwrap();
    assert_eq!(Bundle::parse(text.as_bytes()).unwrap(), bundle);
    let (opened, sig) = bundle.dsse_envelope.as_ref().unwrap().open().unwrap();
    assert_eq!(opened, payload);
    signer.public_key().verify(&pre_authentication(IN_TOTO, &opened), &sig).unwrap();

    assert!(Bundle::parse(text.replacen('{', "{\"extra\":1,", 1).as_bytes()).is_err());
    assert!(Bundle::parse(text.replace("v0.3", "v0.4").as_bytes()).is_err());
    assert!(!text.contains("keyid"), "Go refuses a keyid of another kind");
    let both =
        Bundle { message_signature: Bundle::of_message(signer.public_key(), b"x", b"y").message_signature, ..bundle };
    assert!(Bundle::parse(serde_json::to_string(&both).unwrap().as_bytes()).is_err());
}

#[test]
fn secrets_are_not_printed_and_other_keys_are_refused() {
    let (_folder, signer) = made();
    assert!(!format!("{:?} {:?}", Password::new(b"hunter2".to_vec()), signer).contains("hunter2"));
    assert!(PublicKey::from_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").is_err());
    assert!(PublicKey::from_pem(&to_base64(b"nonsense")).is_err());
}
