//! One tenant's flood, and another's run.

use export_client::{Client, Credentials};
use export_contract::run::{Run, RunStatus};
use export_tests::{Deployment, Setup, finish, heavy, start};
use futures::StreamExt as _;

/// Runs of the flood.
const FLOOD: usize = 200;
/// Runs that a tenant may have at work.
const ACTIVE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_one_tenant_does_not_keep_the_run_of_another() {
    let _turn = heavy().await;
    let deployment = Deployment::start_with(Setup::together(), "", "").await.unwrap();
    for tenant in ["demo", "globex"] {
        deployment.generate(tenant, 1, 50).unwrap();
    }
    let flooder = deployment.client().unwrap();
    let credentials = deployment.put_client("globex", "globex", &[]).unwrap();
    let other = Client::new(Credentials::read(&credentials).unwrap()).unwrap();
    other.login().await.unwrap();
    let submits = futures::stream::iter(0..FLOOD).map(|_| start(&flooder, "json-raw"));
    let submitted = submits.buffer_unordered(16).filter(|run| std::future::ready(run.is_ok())).count().await;
    assert_eq!(submitted, FLOOD);

    let run = start(&other, "json-raw").await.unwrap();
    let finished = finish(&other, run.id.as_str()).await.unwrap().run;
    assert_eq!(finished.status, RunStatus::Succeeded);
    let theirs: Vec<Run> = flooder.runs(&[("limit", "200".to_owned())]).await.unwrap().runs;
    assert_eq!(theirs.len(), FLOOD);

    // It has its slot before the flood gets more than the slots that were free when it came.
    let (asked, admitted) = (finished.requested_at, finished.started_at.unwrap());
    let between = theirs.iter().filter_map(|run| run.started_at).filter(|at| asked < *at && *at < admitted).count();
    assert!(between <= ACTIVE, "{between} runs of the flood had their slot first");
    // In each of the seven steps at most the runs at work are before it.
    let end = finished.completed_at.unwrap();
    let before = theirs.iter().filter_map(|run| run.completed_at).filter(|at| asked < *at && *at <= end).count();
    assert!(before <= 7 * ACTIVE, "{before} runs of the flood ended while one run was made");
    // Nor was the flood at its end: the test would show nothing.
    let unfinished = theirs.iter().filter(|run| run.completed_at.is_none()).count();
    assert!(unfinished > FLOOD / 4, "{unfinished} runs of the flood are left");
}
