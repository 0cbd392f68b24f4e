//! What operators see of runs.

use std::time::Duration;

use export_client::NewRun;
use export_contract::run::RunStatus;
use export_contract::selectors::SelectorRequest;
use export_tests::{Deployment, LOCAL_TENANT, finish, light};
use tokio::time::{Instant, sleep};

async fn page(deployment: &Deployment) -> String {
    let address = format!("{}/metrics", deployment.admin("all").unwrap());
    reqwest::get(address).await.unwrap().text().await.unwrap()
}

/// The value of a line such as `exporter_runs_total{profile="json:raw",status="failed"}`.
fn value(page: &str, series: &str) -> Option<f64> {
    let line = page.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_end_of_a_run_is_counted_once_with_its_bytes_its_time_and_its_reason() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    deployment.generate(LOCAL_TENANT, 1, 300).unwrap();
    let client = deployment.client().unwrap();
    let mut bytes = 0;
    for _ in 0..2 {
        bytes += deployment.run("json-raw").await.unwrap().bundle().bytes;
    }
    let selectors = SelectorRequest { include: vec!["nothing-is-called-so".to_owned()], ..Default::default() };
    let wanted = NewRun { profile_id: "json-raw".to_owned(), selectors, ..NewRun::default() };
    let empty = client.start_run(&wanted, None).await.unwrap();
    let empty = finish(&client, empty.id.as_str()).await.unwrap();
    assert_eq!(empty.run.status, RunStatus::Failed);
    let code = empty.run.error_code.unwrap();

    let failed = "exporter_runs_total{profile=\"json:raw\",status=\"failed\"}";
    let until = Instant::now() + Duration::from_mins(1);
    let steps = ["plan", "resolve", "adapt", "assemble", "manifest", "sign", "distribute"];
    let page = loop {
        let page = page(&deployment).await;
        // The log is looked at every few seconds.
        let done = |step: &&str| value(&page, &format!("exporter_queue_pending{{step=\"{step}\"}}")) == Some(0.0);
        let looked_at = value(&page, "exporter_log_bytes").is_some_and(|bytes| bytes > 100.0);
        if value(&page, failed) == Some(1.0) && looked_at && steps.iter().all(done) {
            break page;
        }
        assert!(Instant::now() < until, "{page}");
        sleep(Duration::from_millis(200)).await;
    };
    let expect = |series: &str, expected: f64| assert_eq!(value(&page, series), Some(expected), "{series}\n{page}");
    expect("exporter_runs_total{profile=\"json:raw\",status=\"succeeded\"}", 2.0);
    expect("exporter_runs_total{profile=\"json:raw\",status=\"aborted\"}", 0.0);
    expect("exporter_runs_total{profile=\"trivy:db\",status=\"succeeded\"}", 0.0);
    expect(&format!("exporter_run_failures_total{{error_code=\"{code}\",profile=\"json:raw\"}}"), 1.0);
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    expect("exporter_run_bytes_total{profile=\"json:raw\"}", bytes as f64);
    expect("exporter_run_duration_seconds_count{profile=\"json:raw\",status=\"succeeded\"}", 2.0);
    expect("exporter_distribution_push_seconds_count{type=\"http\"}", 2.0);
    expect("exporter_distribution_failures_total{type=\"http\"}", 0.0);
    expect("exporter_active_runs{tenant=\"(other)\"}", 0.0);
    for step in steps {
        expect(&format!("exporter_queue_age_seconds{{step=\"{step}\"}}"), 0.0);
    }
    let last = value(&page, "exporter_last_success_timestamp_seconds{profile=\"json:raw\"}").unwrap();
    assert!(last > 1.7e9, "{last}");
    expect("exporter_log_limit_bytes", 4_294_967_296.0);
    assert!(value(&page, "exporter_staging_bytes").is_some());

    // A gauge of the past is there again after a start; counters begin anew, as Prometheus expects.
    deployment.stop_all().await.unwrap();
    deployment.restart().await.unwrap();
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        let page = self::page(&deployment).await;
        if value(&page, "exporter_last_success_timestamp_seconds{profile=\"json:raw\"}") == Some(last) {
            assert_eq!(value(&page, "exporter_runs_total{profile=\"json:raw\",status=\"succeeded\"}"), Some(0.0));
            break;
        }
        assert!(Instant::now() < until, "{page}");
        sleep(Duration::from_millis(200)).await;
    }
    deployment.stop_all().await.unwrap();
}
