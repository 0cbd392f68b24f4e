//! A deployment whose key is at a KMS: moto's.

use std::process::Command;

use export_tests::{Deployment, LOCAL_TENANT, light, programs};

use crate::moto::Moto;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_at_a_kms_signs_runs_and_is_shown() {
    let _turn = light().await;
    let moto = Moto::start().await;
    let key = moto.key("ECC_NIST_P256", "SIGN_VERIFY").await;
    let mut deployment = Deployment::all().await.unwrap();
    deployment.generate(LOCAL_TENANT, 5, 50).unwrap();
    deployment.stop_all().await.unwrap();
    let secret = deployment.folder().join("kms.secret");
    std::fs::write(&secret, "testing\n").unwrap();
    let path = deployment.folder().join("export.toml");
    let settings = std::fs::read_to_string(&path).unwrap();
    let kms = format!(
        "[signing]\ndriver = \"awskms\"\nkms_key = \"{key}\"\nkms_region = \"eu-central-1\"\nkms_endpoint = \"{}\"\n\
         kms_access_key_id = \"testing\"\nkms_secret_access_key_file = \"{}\"\n",
        moto.address,
        secret.display()
    );
    std::fs::write(path, format!("{settings}\n{kms}")).unwrap();
    deployment.start_all().await.unwrap();

    let finished = deployment.run("json-raw").await.unwrap();
    let bundle = deployment.download(&finished).await.unwrap();
    let shown = deployment.api().await.unwrap().json("/api/export/keys").await.unwrap();
    assert_eq!(shown["keys"][0]["keyId"], finished.bundle().key_id.as_str());
    let trusted = deployment.folder().join("trusted.pub");
    std::fs::write(&trusted, shown["keys"][0]["pem"].as_str().unwrap()).unwrap();
    let mut verify = Command::new(&programs().unwrap().exportctl);
    verify.args(["bundle", "verify", "--require-attestation", "--key"]).arg(trusted).arg(bundle.folder());
    let verified = verify.output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    deployment.stop_all().await.unwrap();
}
