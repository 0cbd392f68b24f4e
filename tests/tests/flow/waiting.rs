//! Staging that is away: the run says so, waits, and goes on by itself.

use export_contract::event::WaitReason;
use export_contract::run::RunStatus;
use export_tests::{Deployment, LOCAL_TENANT, Store, finish, heavy, start};

use crate::{is, small_parts, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_staging_is_away_says_what_it_waits_for_and_goes_on_once_it_is_back() {
    let _turn = heavy().await;
    let deployment = Deployment::apart(Store::Sqlite, 1).await.unwrap();
    deployment.generate(LOCAL_TENANT, 5, 20_000).unwrap();
    let client = deployment.client().unwrap();
    small_parts(&client, 500).await;
    let expected = deployment.run("small-parts").await.unwrap();
    let run = start(&client, "small-parts").await.unwrap();
    wait_for(&client, &run, |event| is(event, "adapter.complete adapt")).await;
    // Where the folder was there is a file now: nothing below it can be read or written.
    let (staging, elsewhere) = (deployment.data().join("staging"), deployment.folder().join("elsewhere"));
    std::fs::rename(&staging, &elsewhere).unwrap();
    std::fs::write(&staging, b"not a folder").unwrap();
    let waiting = loop {
        let now = client.run(run.id.as_str()).await.unwrap();
        assert_eq!(now.status, RunStatus::Running, "waiting is a reason and no state: {now:?}");
        if let Some(waiting) = now.waiting {
            break waiting;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert_eq!(waiting.reason, WaitReason::Staging);
    std::fs::remove_file(&staging).unwrap();
    std::fs::rename(&elsewhere, &staging).unwrap();
    let finished = finish(&client, run.id.as_str()).await.unwrap();
    finished.assert_once();
    assert_eq!((finished.digest(), finished.run.waiting), (expected.digest(), None));
    let api = deployment.api().await.unwrap();
    assert_eq!(api.json("/api/export/dead-letters").await.unwrap()["letters"], serde_json::json!([]));
}
