//! Encrypted runs from request to plain text, judged by the `age` program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use export_contract::ErrorCode;
use export_contract::run::RunStatus;
use export_tests::{Bundle, Deployment, Finished, LOCAL_TENANT, light, output, programs};
use serde_json::{Value, json};

use crate::moto::Moto;

/// A key that `age-keygen` makes: its file, and who that is.
fn keygen(folder: &Path, name: &str) -> (PathBuf, String) {
    let file = folder.join(name);
    output(Command::new("age-keygen").arg("-o").arg(&file)).unwrap();
    let public = output(Command::new("age-keygen").arg("-y").arg(&file)).unwrap();
    (file, public.trim().to_owned())
}

fn exportctl(arguments: &[&str]) -> Output {
    Command::new(&programs().unwrap().exportctl).args(arguments).output().unwrap()
}

fn verified(key: &Path, bundle: &Path, more: &[&str]) -> Output {
    let mut arguments = vec!["-o", "json", "bundle", "verify", "--require-attestation", "--key", key.to_str().unwrap()];
    arguments.push(bundle.to_str().unwrap());
    arguments.extend(more);
    exportctl(&arguments)
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn profile(deployment: &Deployment, id: &str, kind: &str, encryption: Value) {
    let profile = json!({ "id": id, "name": id, "kind": kind, "config": { "encryption": encryption } });
    deployment.client().unwrap().create_profile(&profile).await.unwrap();
}

async fn made(deployment: &mut Deployment, id: &str) -> (Finished, Bundle) {
    let finished = deployment.run(id).await.unwrap();
    assert_eq!(finished.run.status, RunStatus::Succeeded, "{:?}", finished.run.error_message);
    let bundle = deployment.download(&finished).await.unwrap();
    (finished, bundle)
}

fn manifest(bundle: &Bundle) -> Value {
    serde_json::from_slice(&std::fs::read(bundle.folder().join("export.json")).unwrap()).unwrap()
}

/// The encrypted files, by their names in the tar, with the digest that `export.json` has of the plain one.
fn sealed(bundle: &Bundle, suffix: &str) -> Vec<(String, String)> {
    let manifest = manifest(bundle);
    let contents = manifest["contents"].as_array().unwrap();
    let digest = |path: &str| contents.iter().find(|file| file["path"] == path).unwrap()["digest"].as_str().unwrap();
    let paths = bundle.paths().unwrap();
    let sealed = paths.into_iter().filter(|path| path.ends_with(suffix));
    sealed.map(|path| (path.clone(), digest(path.strip_suffix(suffix).unwrap()).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_runs_are_proven_without_the_key_decrypted_with_it_and_equal_in_what_they_hold() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    deployment.generate(LOCAL_TENANT, 5, 200).unwrap();
    let (ours, public) = keygen(deployment.folder(), "ours.txt");
    let (stranger, _) = keygen(deployment.folder(), "stranger.txt");
    let (ours, stranger) = (ours.to_str().unwrap().to_owned(), stranger.to_str().unwrap().to_owned());
    let key = deployment.data().join("keys/cosign.pub");
    profile(&deployment, "raw", "json:raw", json!({ "mode": "age", "recipients": [public] })).await;
    profile(
        &deployment,
        "data",
        "json:raw",
        json!({ "mode": "aes-gcm", "scope": "data", "recipients": [public], "strict": true }),
    )
    .await;
    profile(&deployment, "db", "trivy:db", json!({ "mode": "age", "recipients": [public] })).await;
    let scratch = tempfile::tempdir().unwrap();

    for (id, suffix, files) in [("raw", ".age", 3), ("data", ".enc", 3), ("db", ".age", 3)] {
        let (finished, bundle) = made(&mut deployment, id).await;
        let names = sealed(&bundle, suffix);
        assert!(names.len() >= files, "{id}: {names:?}");
        let manifest = manifest(&bundle);
        assert_eq!(manifest["encryption"]["mode"], if suffix == ".age" { "age" } else { "aes-gcm" });
        assert!(bundle.paths().unwrap().contains(&"manifests/export.json".to_owned()));

        let readme = output(Command::new("tar").arg("-xOf").arg(bundle.tar()).arg("README.md")).unwrap();
        assert!(readme.contains(&format!("`PATH{suffix}`")), "{readme}");

        let without = report(&verified(&key, bundle.folder(), &[]));
        assert_eq!(without["encryption"]["contentsProven"], false);
        assert!(without["notProven"].to_string().contains("encrypted files hold"), "{without}");
        let with = report(&verified(&key, bundle.folder(), &["--identity", &ours]));
        assert_eq!(with["encryption"]["contentsProven"], true);
        assert_eq!(with["encryption"]["files"], names.len());
        assert_eq!(with["encryption"]["recipients"], json!([public]));
        assert_eq!(verified(&key, bundle.folder(), &["--identity", &stranger]).status.code(), Some(3), "{id}");

        // Debian's age reads each file with the identity alone.
        if suffix == ".age" {
            let unpacked = scratch.path().join(format!("{id}-unpacked"));
            std::fs::create_dir(&unpacked).unwrap();
            output(Command::new("tar").arg("-xf").arg(bundle.tar()).arg("-C").arg(&unpacked)).unwrap();
            for (name, digest) in &names {
                let plain = scratch.path().join("plain");
                output(Command::new("age").args(["-d", "-i", &ours, "-o"]).arg(&plain).arg(unpacked.join(name)))
                    .unwrap();
                assert_eq!(&Bundle::digest(&plain).unwrap(), digest, "{id}: {name}");
            }
        }

        // Another run: another tar, the same export.json.
        let (again, second) = made(&mut deployment, id).await;
        assert_ne!(finished.digest(), again.digest(), "{id}");
        assert_eq!(finished.bundle().manifest_digest, again.bundle().manifest_digest, "{id}");
        assert_eq!(manifest["rerunHash"], self::manifest(&second)["rerunHash"]);

        let plain = scratch.path().join(format!("{id}-plain"));
        let arguments = [
            "bundle",
            "decrypt",
            "--key",
            key.to_str().unwrap(),
            "--identity",
            &ours,
            "--out",
            plain.to_str().unwrap(),
        ];
        let decrypted = exportctl(&[&arguments[..], &[bundle.folder().to_str().unwrap()]].concat());
        assert!(decrypted.status.success(), "{}", String::from_utf8_lossy(&decrypted.stderr));
        let told = report(&verified(&key, &plain, &[]));
        assert_eq!((&told["encryption"]["decrypted"], &told["records"]), (&json!(true), &with["records"]));
        assert!(told["notProven"].to_string().contains("its files were decrypted since"));
        let shown = exportctl(&["-o", "json", "bundle", "inspect", bundle.folder().to_str().unwrap()]);
        assert_eq!(report(&shown)["recipients"][0]["recipient"], public);

        let proof = deployment.folder().join("proof");
        let run = finished.run.id.as_str();
        let proven =
            deployment.exportd(&["prove", run, "--tenant", LOCAL_TENANT, "--out", proof.to_str().unwrap()]).unwrap();
        assert!(proven.contains("encrypted  "), "{proven}");
    }
    deployment.stop_all().await.unwrap();
}

/// Every file of a deployment that may hold a copy of what passed through it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_of_the_deployment_are_added_and_those_that_cannot_be_reached_are_named_or_fail_the_run() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    deployment.generate(LOCAL_TENANT, 5, 50).unwrap();
    let (ours, public) = keygen(deployment.folder(), "ours.txt");
    let moto = Moto::start().await;
    let none = json!({ "mode": "aes-gcm", "recipients": [] });
    profile(&deployment, "none", "json:raw", none).await;
    let lacking = json!(["awskms:alias/nobody", public]);
    profile(&deployment, "lenient", "json:raw", json!({ "mode": "aes-gcm", "recipients": lacking })).await;
    profile(&deployment, "strict", "json:raw", json!({ "mode": "aes-gcm", "recipients": lacking, "strict": true }))
        .await;
    for (id, says) in [("none", "recipient"), ("strict", "awskms:alias/nobody")] {
        let failed = deployment.run(id).await.unwrap().run;
        assert_eq!(failed.error_code, Some(ErrorCode::EncryptionFailed), "{id}: {failed:?}");
        assert!(failed.error_message.unwrap().contains(says), "{id}");
    }
    let (_, bundle) = made(&mut deployment, "lenient").await;
    let provenance: Value =
        serde_json::from_slice(&std::fs::read(bundle.folder().join("provenance.json")).unwrap()).unwrap();
    let encryption = &provenance["predicate"]["buildDefinition"]["internalParameters"]["environment"]["encryption"];
    assert_eq!(encryption["leftOut"], json!(["awskms:alias/nobody"]));
    assert_eq!(encryption["aadFormat"], "{runId}:{relativePath}");

    deployment.stop_all().await.unwrap();
    let path = deployment.folder().join("export.toml");
    let settings = std::fs::read_to_string(&path).unwrap();
    let secret = deployment.folder().join("kms.secret");
    std::fs::write(&secret, "testing\n").unwrap();
    let more = format!(
        "[encryption]\nkms = true\nkms_region = \"eu-central-1\"\nkms_endpoint = \"{}\"\nkms_access_key_id = \"testing\"\n\
         kms_secret_access_key_file = \"{}\"\n\
         [[encryption.tenants]]\ntenant = \"{LOCAL_TENANT}\"\nrecipients = [\"{public}\"]\n",
        moto.address,
        secret.display()
    );
    std::fs::write(path, format!("{settings}\n{more}")).unwrap();
    deployment.start_all().await.unwrap();
    let kms = format!("awskms:{}", moto.key("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT").await);
    profile(&deployment, "kms", "json:raw", json!({ "mode": "age", "recipients": [kms], "strict": true })).await;
    let (_, at_kms) = made(&mut deployment, "kms").await;
    let provenance: Value =
        serde_json::from_slice(&std::fs::read(at_kms.folder().join("provenance.json")).unwrap()).unwrap();
    let recipients = &provenance["predicate"]["buildDefinition"]["internalParameters"]["environment"]["encryption"];
    let recipients = recipients["recipients"].as_array().unwrap();
    assert_eq!((recipients.len(), &recipients[1]["recipient"]), (2, &json!(kms)), "{recipients:?}");
    assert!(recipients[1]["keyId"].as_str().unwrap().starts_with("arn:aws:kms:"));

    let key = deployment.data().join("keys/cosign.pub");
    what_a_kms_keeps_is_decrypted_where_it_is_reached(&deployment, &at_kms, &key);

    let (_, bundle) = made(&mut deployment, "none").await;
    report(&verified(&key, bundle.folder(), &["--identity", ours.to_str().unwrap()]));

    // The run's key is what age unwraps; nothing that the deployment wrote holds it.
    let provenance: Value =
        serde_json::from_slice(&std::fs::read(bundle.folder().join("provenance.json")).unwrap()).unwrap();
    let wrapped =
        provenance["predicate"]["buildDefinition"]["internalParameters"]["environment"]["encryption"]["recipients"][0]
            ["wrappedKey"]
            .as_str()
            .unwrap();
    let wrapped = export_signing::bundle::from_base64(wrapped).unwrap();
    std::fs::write(deployment.folder().join("wrapped.age"), wrapped).unwrap();
    let mut age = Command::new("age");
    let unwrapped = age.args(["-d", "-i"]).arg(&ours).arg(deployment.folder().join("wrapped.age")).output().unwrap();
    assert_eq!(unwrapped.stdout.len(), 32);
    deployment.stop_all().await.unwrap();
    let found = files(deployment.folder()).into_iter().find(|path| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(32).any(|window| window == unwrapped.stdout)
    });
    assert_eq!(found, None, "the run's key lies in the clear");
}

/// No age identity is at hand: the key comes from the KMS, once the signatures hold. Whoever does not reach one, or comes with a bundle
/// that was touched, gets nothing.
fn what_a_kms_keeps_is_decrypted_where_it_is_reached(deployment: &Deployment, bundle: &Bundle, key: &Path) {
    let folder = deployment.folder();
    let out = folder.join("from-kms");
    let decrypt = |settings: &Path, bundle: &Path| {
        let mut command = Command::new(&programs().unwrap().exportd);
        command.arg("decrypt").arg(bundle).arg("--key").arg(key).arg("--out").arg(&out);
        command.arg("--config").arg(settings).output().unwrap()
    };
    let settings = folder.join("export.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    let receiver = folder.join("receiver.toml");
    let (_, access) = text.split_once("[encryption]").unwrap();
    let (access, _) = access.split_once("[[encryption.tenants]]").unwrap();
    std::fs::write(&receiver, format!("[encryption]{access}")).unwrap();
    let nobody = folder.join("nobody.toml");
    std::fs::write(&nobody, "").unwrap();
    let refused = decrypt(&nobody, bundle.folder());
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("set `kms = true` in `[encryption]`"), "{refused:?}");
    let spoilt = folder.join("spoilt");
    output(Command::new("cp").arg("-r").arg(bundle.folder()).arg(&spoilt)).unwrap();
    let attestation = spoilt.join("provenance.sigstore.json");
    let mut bytes = std::fs::read(&attestation).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&attestation, bytes).unwrap();
    assert!(matches!(decrypt(&receiver, &spoilt).status.code(), Some(10..=14)));
    assert!(!out.exists());
    let done = decrypt(&receiver, bundle.folder());
    assert!(done.status.success(), "{done:?}");
    let told = report(&verified(key, &out, &[]));
    assert_eq!((&told["encryption"]["decrypted"], &told["encryption"]["contentsProven"]), (&json!(true), &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_that_cannot_be_encrypted_are_refused_by_member() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    for (config, path) in [
        (json!({ "encryption": { "mode": "age", "recipients": ["age1abc"] } }), "config.encryption.recipients[0]"),
        (json!({ "encryption": { "mode": "age" }, "attestation": false }), "config.attestation"),
        (json!({ "encryption": { "mode": "age", "scope": "data" } }), "config.encryption.scope"),
        (json!({ "encryption": { "mode": "age" }, "distribution": ["http", "oci"] }), "config.distribution"),
        (json!({ "encryption": { "mode": "none" } }), "config.encryption.mode"),
    ] {
        let profile = json!({ "id": "x", "name": "x", "kind": "trivy:db", "config": config });
        let refused = deployment.client().unwrap().create_profile(&profile).await.unwrap_err();
        assert!(format!("{refused:?}").contains(path), "{path}: {refused:?}");
    }
    deployment.stop_all().await.unwrap();
}
