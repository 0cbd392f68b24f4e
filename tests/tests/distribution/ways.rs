//! Folders, buckets, and a site that is offline.

use std::path::{Path, PathBuf};
use std::process::Command;

use export_blobs::BlobStore as _;
use export_blobs::s3::S3Blobs;
use export_blobs::seaweed::SeaweedFs;
use export_contract::ErrorCode;
use export_contract::run::RunStatus;
use export_tests::{Deployment, Roles, Setup, light, output, programs, workspace};
use serde_json::json;

fn verify(deployment: &Deployment, folder: &Path) {
    let key = deployment.data().join("keys/cosign.pub");
    let exportctl = &programs().unwrap().exportctl;
    output(Command::new(exportctl).args(["bundle", "verify", "--key"]).arg(key).arg(folder)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_arrives_whole_in_a_folder_and_in_a_bucket_though_its_worker_is_killed() {
    let _turn = light().await;
    let Some(server) = SeaweedFs::start().await.unwrap() else { return };
    let bucket = server.bucket("exports").await.unwrap();
    let share = tempfile::tempdir().unwrap();
    let secret = share.path().join("secret");
    std::fs::write(&secret, &bucket.secret_access_key).unwrap();
    let folder = share.path().join("exports");
    std::fs::create_dir(&folder).unwrap();
    let sections = format!(
        "[allow]\ndistribution = [\"http\", \"object\", \"directory\"]\n\
         [object]\nendpoint = \"{}\"\nbucket = \"exports\"\naccess_key_id = \"{}\"\nsecret_access_key_file = \"{}\"\n\
         [directory]\nfolder = \"{}\"\n",
        bucket.endpoint,
        bucket.access_key_id,
        secret.display(),
        folder.display()
    );
    let setup = Setup { roles: Roles::Apart { adapt: 1 }, ..Setup::together() };
    let mut deployment = Deployment::start_with(setup, "", &sections).await.unwrap();
    deployment.import(&[workspace().join("samples").canonicalize().unwrap().as_path()]).unwrap();
    let profile = json!({
        "id": "everywhere", "name": "everywhere", "kind": "json:raw",
        "config": { "distribution": ["http", "object", "directory"], "retentionDays": 30 },
    });
    deployment.client().unwrap().create_profile(&profile).await.unwrap();
    for _ in 0..3 {
        let started = export_tests::start(&deployment.client().unwrap(), "everywhere").await.unwrap();
        deployment.kill("distribute").await.unwrap();
        deployment.start_all().await.unwrap();
        let run = export_tests::finish(&deployment.client().unwrap(), started.id.as_str()).await.unwrap();
        let digest = run.digest();
        let places: Vec<(&str, &str)> =
            run.run.distributions.iter().map(|place| (place.kind.as_str(), place.location.as_str())).collect();
        let id = run.run.id.as_str();
        let in_folder = folder.join("demo").join(id);
        let expected = [
            ("http", format!("/api/export/runs/{id}/download")),
            ("object", format!("s3://exports/demo/{id}/bundle.tar")),
            ("directory", in_folder.join("bundle.tar").display().to_string()),
        ];
        assert_eq!(places, expected.iter().map(|(kind, location)| (*kind, location.as_str())).collect::<Vec<_>>());
        assert!(run.run.distributions.iter().all(|place| place.sha256 == *digest && place.expires_at.is_some()));
        verify(&deployment, &in_folder);
        let blobs = S3Blobs::open(&bucket).unwrap();
        let copy = share.path().join(id);
        std::fs::create_dir(&copy).unwrap();
        for key in blobs.list(&format!("demo/{id}").parse().unwrap()).await.unwrap() {
            let name = PathBuf::from(key.as_str());
            std::fs::write(copy.join(name.file_name().unwrap()), blobs.get(&key, 1 << 30).await.unwrap()).unwrap();
        }
        verify(&deployment, &copy);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_is_offline_refuses_what_leads_elsewhere_before_anything_is_read() {
    let _turn = light().await;
    let sections = "[allow]\ndistribution = [\"http\", \"object\"]\n\
                    [object]\nendpoint = \"https://s3.example\"\nbucket = \"exports\"\naccess_key_id = \"x\"\n\
                    secret_access_key_file = \"/dev/null\"\n";
    let mut deployment = Deployment::start_with(Setup::together(), "offline = true", sections).await.unwrap();
    deployment.import(&[workspace().join("samples").canonicalize().unwrap().as_path()]).unwrap();
    for distribution in [json!(["object"]), json!(["http", "object"])] {
        let id = format!("to-{}", distribution.as_array().unwrap().len());
        let profile = json!({ "id": id, "name": id, "kind": "json:raw", "config": { "distribution": distribution } });
        deployment.client().unwrap().create_profile(&profile).await.unwrap();
        let refused = deployment.run(&id).await.unwrap();
        assert_eq!(refused.run.status, RunStatus::Failed);
        assert_eq!(refused.run.error_code, Some(ErrorCode::Offline));
        let message = refused.run.error_message.unwrap();
        assert!(message.contains("distribution `object` leads to `s3.example`"), "{message}");
    }
    let local = deployment.run("json-raw").await.unwrap();
    let bundle = deployment.download(&local).await.unwrap();
    verify(&deployment, bundle.folder());
}
