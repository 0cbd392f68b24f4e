//! Dead letters: who sees them, and the way back.

use export_contract::ErrorCode;
use export_contract::run::RunStatus;
use export_jetstream::{Credentials, connect};
use export_tests::{Api, Deployment, LOCAL_TENANT, Store, finish, light, start, suspend};
use reqwest::Method;
use serde_json::Value;

use crate::{exportctl, is, small_parts, told, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_listed_shown_and_replayed_by_its_tenant_and_by_nobody_else() {
    let _turn = light().await;
    let mut deployment = Deployment::apart(Store::Sqlite, 1).await.unwrap();
    deployment.generate(LOCAL_TENANT, 5, 400).unwrap();
    let client = deployment.client().unwrap();
    small_parts(&client, 200).await;
    let expected = deployment.run("small-parts").await.unwrap();
    // A command that no build reads comes to the signer.
    suspend(deployment.pid("sign").unwrap()).unwrap();
    let run = start(&client, "small-parts").await.unwrap();
    wait_for(&client, &run, |event| is(event, "stage.completed adapt")).await;
    let nats = connect(&deployment.broker_url().unwrap(), Credentials::None).await.unwrap();
    let subject = format!("export.{LOCAL_TENANT}.{}.g1.sign.retry.1", run.id);
    nats.jetstream().publish(subject.clone(), "{\"v\":7}".into()).await.unwrap().await.unwrap();
    deployment.kill("sign").await.unwrap();
    deployment.restart().await.unwrap();
    let ended = finish(&client, run.id.as_str()).await.unwrap().run;
    // The good command of the signer may have been first; then there is nothing to replay, and the letter is there all the same.
    let failed = ended.status == RunStatus::Failed;
    if failed {
        assert_eq!(ended.error_code, Some(ErrorCode::Poisoned));
    }

    let operator = deployment.put_client("operator", LOCAL_TENANT, &[]).unwrap();
    let mut listed = exportctl(&operator, &["-o", "json", "dead-letter", "list", "--run", run.id.as_str()]);
    while !told(&listed).contains(r#""consumer": "sign""#) && !told(&listed).contains(r#""consumer":"sign""#) {
        assert!(listed.status.success(), "{}", told(&listed));
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        listed = exportctl(&operator, &["-o", "json", "dead-letter", "list", "--run", run.id.as_str()]);
    }
    let letters: Value = serde_json::from_slice(&listed.stdout).unwrap();
    // The recorder could not read it either, which is no stage.
    let (of_sign, others): (Vec<&Value>, Vec<&Value>) =
        letters.as_array().unwrap().iter().partition(|letter| letter["phase"] == "sign");
    assert!(others.iter().all(|letter| letter["letter"]["consumer"] == "recorder"), "{letters}");
    let [letter] = of_sign.as_slice() else { panic!("{letters}") };
    assert_eq!(letter["runId"], run.id.as_str());
    assert_eq!(letter["letter"]["subject"], subject.as_str());
    assert_eq!(letter["letter"]["payload"], "{\"v\":7}");
    let id = letter["id"].to_string();
    let shown = exportctl(&operator, &["dead-letter", "show", &id]);
    assert!(told(&shown).contains("schema version 7"), "{}", told(&shown));

    let stranger = deployment.put_client("stranger", "other", &[]).unwrap();
    let api = Api::login(&stranger).await.unwrap();
    let path = format!("/api/export/dead-letters/{id}");
    assert_eq!(api.json("/api/export/dead-letters").await.unwrap()["letters"], serde_json::json!([]));
    for (method, path) in [(Method::GET, path.clone()), (Method::POST, format!("{path}/replay"))] {
        let answer = api.request(method, &path).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
    }
    let reader = deployment.put_client("reader", LOCAL_TENANT, &["export:read"]).unwrap();
    let answer =
        Api::login(&reader).await.unwrap().request(Method::POST, &format!("{path}/replay")).send().await.unwrap();
    assert_eq!(answer.status(), 403);

    let replayed = exportctl(&operator, &["dead-letter", "replay", &id, "--watch"]);
    assert_eq!(replayed.status.success(), failed, "{}", told(&replayed));
    let finished = finish(&client, run.id.as_str()).await.unwrap();
    assert_eq!((finished.digest(), finished.run.generation.0), (expected.digest(), if failed { 2 } else { 1 }));
    let again = exportctl(&operator, &["dead-letter", "replay", &id]);
    assert!(told(&again).contains("ERR_EXPORT_RUN_CONFLICT"), "{}", told(&again));
}
