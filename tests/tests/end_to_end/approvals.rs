//! Mirrors over the evidence of several tenants: what is signed, and nothing else.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

use export_client::{ClientError, NewRun};
use export_contract::approval::{APPROVAL_TYPE, Approval};
use export_contract::run::RunOptions;
use export_contract::selectors::SelectorRequest;
use export_contract::{Timestamp, Version};
use export_signing::dsse::{Envelope, pre_authentication};
use export_signing::{FileSigner, Password, Signer as _, generate_key_pair};
use export_tests::{Bundle, Deployment, Finished, LOCAL_TENANT, Setup, finish, heavy, output, programs};
use serde_json::{Value, json};

/// Keys of somebody who may approve, or not.
struct Keys(tempfile::TempDir);

impl Keys {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        generate_key_pair(folder.path(), &Password::new(b"pw".to_vec())).unwrap();
        std::fs::write(folder.path().join("password"), "pw").unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Signs whatever it is.
    async fn sign(&self, payload_type: &str, payload: &[u8]) -> Value {
        let signer = FileSigner::open(&self.path("cosign.key"), &Password::new(b"pw".to_vec())).unwrap();
        let signature = signer.sign(&pre_authentication(payload_type, payload)).await.unwrap();
        serde_json::to_value(Envelope::new(payload_type, payload, &signature)).unwrap()
    }
}

fn selectors(tenants: &[&str]) -> SelectorRequest {
    SelectorRequest { tenants: tenants.iter().map(|tenant| (*tenant).to_owned()).collect(), ..Default::default() }
}

/// An approval for the local tenant to mirror itself and globex.
fn approval() -> Approval {
    let now: Timestamp = SystemTime::now().into();
    Approval {
        v: Version,
        tenant: LOCAL_TENANT.parse().unwrap(),
        profile_id: "mirror-full".parse().unwrap(),
        selectors: selectors(&["globex", LOCAL_TENANT]),
        issued_at: now,
        expires_at: now.plus_seconds(3_600),
        reason: "merger audit".to_owned(),
    }
}

async fn deployment(keys: &Keys, enabled: bool) -> Deployment {
    let section = format!(
        "[cross_tenant]\nenabled = {enabled}\n\n[[cross_tenant.approvers]]\nname = \"Ada\"\npublic_key_file = \"{}\"\n",
        keys.path("cosign.pub").display()
    );
    let deployment = Deployment::start_with(Setup::together(), "", &section).await.unwrap();
    for (tenant, seed) in [(LOCAL_TENANT, 1), ("globex", 2), ("initech", 3)] {
        deployment.generate(tenant, seed, 300).unwrap();
    }
    deployment
}

fn exportctl(deployment: &Deployment, arguments: &[&str]) -> Output {
    let mut command = Command::new(&programs().unwrap().exportctl);
    command.arg("--credentials").arg(deployment.data().join("credentials.json"));
    command.args(["--quiet", "--output", "json"]).args(arguments).output().unwrap()
}

async fn made(deployment: &mut Deployment, wanted: &NewRun) -> (Finished, Bundle) {
    let client = deployment.client().unwrap();
    let run = client.start_run(wanted, None).await.unwrap();
    let finished = finish(&client, run.id.as_str()).await.unwrap();
    let bundle = deployment.download(&finished).await.unwrap();
    (finished, bundle)
}

/// Code of the refusal.
async fn refused(deployment: &Deployment, wanted: &NewRun) -> (u16, String) {
    match deployment.client().unwrap().start_run(wanted, None).await {
        Err(ClientError::Refused(problem)) => (problem.status, problem.code),
        other => panic!("{other:?}"),
    }
}

fn lines(file: &Path) -> String {
    output(Command::new("zstd").arg("-dc").arg(file)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_mirror_holds_the_tenants_that_were_signed_and_no_other() {
    let _turn = heavy().await;
    let keys = Keys::make();
    let mut deployment = deployment(&keys, true).await;

    // As people do it: one signs, the other exports.
    let file = deployment.folder().join("approval.json");
    let (key, password) = (keys.path("cosign.key"), keys.path("password"));
    let asked = ["--of-tenant", "globex", "--of-tenant", LOCAL_TENANT];
    let mut sign =
        vec!["approval", "sign", "--to", LOCAL_TENANT, "--profile", "mirror-full", "--reason", "merger audit"];
    sign.extend(["--key", key.to_str().unwrap(), "--password-file", password.to_str().unwrap()]);
    sign.extend(["--out", file.to_str().unwrap()]);
    let signed = exportctl(&deployment, &[&sign[..], &asked[..]].concat());
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    let start = ["run", "start", "mirror-full", "--watch"];
    let without = exportctl(&deployment, &[&start[..], &asked[..]].concat());
    assert_eq!(without.status.code(), Some(3), "{}", String::from_utf8_lossy(&without.stderr));
    let with = exportctl(&deployment, &[&start[..], &asked[..], &["--approval", file.to_str().unwrap()]].concat());
    assert!(with.status.success(), "{}", String::from_utf8_lossy(&with.stderr));
    let run: Value = serde_json::from_slice(&with.stdout).unwrap();
    assert_eq!(run["approval"]["approver"], "Ada");
    assert_eq!(run["approval"]["reason"], "merger audit");

    let client = deployment.client().unwrap();
    let finished = finish(&client, run["id"].as_str().unwrap()).await.unwrap();
    let bundle = deployment.download(&finished).await.unwrap();
    let tree = bundle.unpack().unwrap();
    let export: Value = serde_json::from_slice(&std::fs::read(tree.join("manifests/export.json")).unwrap()).unwrap();
    assert_eq!(export["selectors"]["tenants"], json!([LOCAL_TENANT, "globex"]));
    let tenants: Vec<&str> =
        export["sources"].as_array().unwrap().iter().map(|source| source["tenant"].as_str().unwrap()).collect();
    assert!(tenants.contains(&LOCAL_TENANT) && tenants.contains(&"globex") && !tenants.contains(&"initech"));
    let key = deployment.data().join("keys/cosign.pub");
    let verified = exportctl(
        &deployment,
        &["bundle", "verify", "--key", key.to_str().unwrap(), bundle.folder().to_str().unwrap()],
    );
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));

    // Of each tenant: the files that its own mirror has.
    for tenant in [LOCAL_TENANT, "globex"] {
        let credentials = deployment.put_client(&format!("of-{tenant}"), tenant, &[]).unwrap();
        let own = export_client::Client::new(export_client::Credentials::read(&credentials).unwrap()).unwrap();
        let run = own.start_run(&NewRun { profile_id: "mirror-full".to_owned(), ..NewRun::default() }, None).await;
        let own_run = finish(&own, run.unwrap().id.as_str()).await.unwrap();
        let folder = deployment.folder().join(format!("own-{tenant}"));
        let own_tree = Bundle::download(&own, &own_run.run, folder).await.unwrap().unpack().unwrap();
        for kind in ["advisories", "vex"] {
            let ours = lines(&tree.join(format!("data/raw/{tenant}/{kind}.jsonl.zst")));
            assert!(
                !ours.is_empty() && ours == lines(&own_tree.join(format!("data/raw/{kind}.jsonl.zst"))),
                "{tenant} {kind}"
            );
        }
        let entries = |folder: &Path| std::fs::read_dir(folder).unwrap().count();
        assert_eq!(entries(&tree.join(format!("data/raw/{tenant}/sboms"))), entries(&own_tree.join("data/raw/sboms")));
    }
    assert!(!tree.join("data/raw/initech").exists() && !tree.join("data/raw/advisories.jsonl.zst").exists());

    let api = deployment.api().await.unwrap();
    let log = api.json("/api/export/audit?action=approval.used").await.unwrap();
    let entries = log["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 1, "{log:#}");
    let digest = run["approval"]["digest"].as_str().unwrap();
    assert_eq!((&entries[0]["actor"], &entries[0]["outcome"]), (&json!("local"), &json!("allowed")));
    assert_eq!(entries[0]["object"], format!("approvals/{digest} of Ada"));
    let refused_before = api.json("/api/export/audit?action=run.submitted").await.unwrap();
    let codes: Vec<&Value> =
        refused_before["entries"].as_array().unwrap().iter().map(|entry| &entry["errorCode"]).collect();
    assert!(codes.contains(&&json!("ERR_EXPORT_APPROVAL_INVALID")), "{refused_before:#}");

    // The same inputs, the same bytes; and no delta builds upon it.
    let approval: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let wanted = NewRun {
        profile_id: "mirror:full".to_owned(),
        // In another order: the same tenants.
        selectors: selectors(&[LOCAL_TENANT, "globex"]),
        approval: Some(approval),
        ..NewRun::default()
    };
    let (again, _) = made(&mut deployment, &wanted).await;
    assert_eq!(again.digest(), finished.digest());
    let options = RunOptions { base_export_id: Some(finished.run.id.to_string()), ..RunOptions::default() };
    let delta = NewRun { profile_id: "mirror-delta".to_owned(), options, ..NewRun::default() };
    assert_eq!(refused(&deployment, &delta).await, (422, "ERR_EXPORT_BASE_MISMATCH".to_owned()));
    deployment.stop_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_permits_what_was_signed_by_an_approver_until_it_expires_and_nothing_else() {
    let _turn = heavy().await;
    let (keys, foreign) = (Keys::make(), Keys::make());
    let mut deployment = deployment(&keys, true).await;
    let wanted = |tenants: &[&str], approval: Value| NewRun {
        profile_id: "mirror-full".to_owned(),
        selectors: selectors(tenants),
        approval: Some(approval),
        ..NewRun::default()
    };
    let signed = async |approval: &Approval| keys.sign(APPROVAL_TYPE, &serde_json::to_vec(approval).unwrap()).await;
    let both = ["globex", LOCAL_TENANT];
    let good = approval();
    let now: Timestamp = SystemTime::now().into();
    let payload = serde_json::to_vec(&good).unwrap();
    let mut changed = signed(&good).await;
    changed["payload"] =
        signed(&Approval { selectors: selectors(&["initech"]), ..good.clone() }).await["payload"].clone();
    let cases = [
        ("signed by somebody else", wanted(&both, foreign.sign(APPROVAL_TYPE, &payload).await)),
        ("a signature of another type of document", wanted(&both, keys.sign("application/json", &payload).await)),
        ("changed after it was signed", wanted(&["initech"], changed)),
        ("more tenants than signed", wanted(&["globex", LOCAL_TENANT, "initech"], signed(&good).await)),
        ("other tenants than signed", wanted(&["initech"], signed(&good).await)),
        ("fewer tenants than signed", wanted(&["globex"], signed(&good).await)),
        ("further selectors", {
            let mut narrow = wanted(&both, signed(&good).await);
            narrow.selectors.ecosystems = vec!["npm".to_owned()];
            narrow
        }),
        (
            "for another tenant's runs",
            wanted(&both, signed(&Approval { tenant: "initech".parse().unwrap(), ..good.clone() }).await),
        ),
        (
            "for another profile",
            wanted(&both, signed(&Approval { profile_id: "json-raw".parse().unwrap(), ..good.clone() }).await),
        ),
        ("expired", {
            let old =
                Approval { issued_at: now.plus_seconds(-7_200), expires_at: now.plus_seconds(-1), ..good.clone() };
            wanted(&both, signed(&old).await)
        }),
        (
            "signed tomorrow",
            wanted(&both, signed(&Approval { issued_at: now.plus_seconds(3_000), ..good.clone() }).await),
        ),
        (
            "valid for a year",
            wanted(&both, signed(&Approval { expires_at: now.plus_seconds(366 * 86_400), ..good.clone() }).await),
        ),
        ("without a reason", wanted(&both, signed(&Approval { reason: " ".to_owned(), ..good.clone() }).await)),
        ("no envelope", wanted(&both, json!({ "approved": true }))),
        ("none", NewRun { approval: None, ..wanted(&both, Value::Null) }),
    ];
    for (what, wanted) in cases {
        assert_eq!(refused(&deployment, &wanted).await, (403, "ERR_EXPORT_APPROVAL_INVALID".to_owned()), "{what}");
    }
    // What a profile may not be is said after the approval was found to be good.
    let raw = Approval { profile_id: "json-raw".parse().unwrap(), ..good.clone() };
    let raw = NewRun { profile_id: "json-raw".to_owned(), ..wanted(&both, signed(&raw).await) };
    assert_eq!(refused(&deployment, &raw).await, (400, "ERR_EXPORT_INVALID_SELECTOR".to_owned()));
    // A schedule has no approval.
    let schedule = json!({ "id": "nightly", "profileId": "mirror-full", "cron": "0 3 * * *", "selectors": { "tenants": ["globex"] } });
    let api = deployment.api().await.unwrap();
    let answer = api.request(reqwest::Method::POST, "/api/export/schedules").json(&schedule).send().await.unwrap();
    assert_eq!(answer.status(), 400);

    // And the one that was signed is good.
    let (_, bundle) = made(&mut deployment, &wanted(&both, signed(&good).await)).await;
    assert!(bundle.paths().unwrap().iter().any(|path| path == "data/raw/globex/advisories.jsonl.zst"));
    deployment.stop_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_feature_is_off_no_approval_is_good() {
    let _turn = export_tests::light().await;
    let keys = Keys::make();
    let mut deployment = deployment(&keys, false).await;
    let approval = keys.sign(APPROVAL_TYPE, &serde_json::to_vec(&approval()).unwrap()).await;
    let wanted = NewRun {
        profile_id: "mirror-full".to_owned(),
        selectors: selectors(&["globex", LOCAL_TENANT]),
        approval: Some(approval),
        ..NewRun::default()
    };
    assert_eq!(refused(&deployment, &wanted).await, (403, "ERR_EXPORT_APPROVAL_INVALID".to_owned()));
    deployment.stop_all().await.unwrap();
}
