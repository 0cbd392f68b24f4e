//! Alerts as operators get them: a real Prometheus scrapes a deployment under the rules that are shipped, something breaks, and the alert
//! fires; it is mended, and the alert goes.

use std::time::Duration;

use export_tests::{Deployment, LOCAL_TENANT, Prometheus, Setup, Store, finish, is_left_out, light, start};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// Longest that an alert may take to come or to go.
const WITHIN: Duration = Duration::from_mins(2);

const ROLES: [&str; 8] = ["gateway", "orchestrator", "plan", "resolve", "adapt-1", "manifest", "sign", "distribute"];

fn addresses(deployment: &Deployment) -> Vec<(String, String)> {
    let of = |name: &&str| (name.split('-').next().unwrap().to_owned(), deployment.admin(name).unwrap().to_owned());
    ROLES.iter().map(of).collect()
}

/// Waits until exactly one alert of this name fires whose label has this value, or none does.
async fn wait_until(prometheus: &Prometheus, alert: &str, label: (&str, &str), fires: bool) {
    let until = Instant::now() + WITHIN;
    loop {
        let firing = prometheus.firing().await.unwrap();
        let is_it = |labels: &&Value| labels["alertname"] == alert && labels[label.0] == label.1;
        if (firing.iter().filter(is_it).count() == 1) == fires {
            return;
        }
        assert!(Instant::now() < until, "{alert} {label:?} should fire: {fires}; what fires: {firing:#?}");
        sleep(Duration::from_millis(250)).await;
    }
}

/// Waits until nothing fires.
async fn quiet(prometheus: &Prometheus) {
    let until = Instant::now() + WITHIN;
    loop {
        let firing = prometheus.firing().await.unwrap();
        if firing.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "something fires: {firing:#?}");
        sleep(Duration::from_millis(250)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_breaks_makes_a_real_prometheus_fire_and_it_stops_once_it_is_mended() {
    if is_left_out("prometheus") {
        return;
    }
    let _turn = light().await;
    let mut deployment = Deployment::start(Setup::apart(Store::Sqlite, 1)).await.unwrap();
    deployment.generate(LOCAL_TENANT, 1, 50).unwrap();
    let prometheus = Prometheus::start().await.unwrap();
    prometheus.scrape(&addresses(&deployment)).unwrap();
    // It has seen every role, and nothing is wrong.
    let until = Instant::now() + WITHIN;
    while prometheus.value("sum(up{job=\"export-center\"})").await.unwrap() != Some(8.0) {
        assert!(Instant::now() < until, "not every role is scraped");
        sleep(Duration::from_millis(250)).await;
    }
    deployment.run("json-raw").await.unwrap().bundle();
    // Before it scraped anything it missed the orchestrator.
    quiet(&prometheus).await;

    // A stage dies: its process is missed, and what it should do grows old.
    deployment.kill("plan").await.unwrap();
    let client = deployment.client().unwrap();
    let waiting = start(&client, "json-raw").await.unwrap();
    wait_until(&prometheus, "ExportRoleDown", ("role", "plan"), true).await;
    wait_until(&prometheus, "ExportQueueOld", ("step", "plan"), true).await;
    deployment.restart().await.unwrap();
    prometheus.scrape(&addresses(&deployment)).unwrap();
    finish(&client, waiting.id.as_str()).await.unwrap().bundle();
    wait_until(&prometheus, "ExportRoleDown", ("role", "plan"), false).await;
    wait_until(&prometheus, "ExportQueueOld", ("step", "plan"), false).await;

    // Runs fail: this kind wants a policy snapshot, and there is no policy engine.
    deployment.run("json-policy").await.unwrap();
    wait_until(&prometheus, "ExportRunsFail", ("profile", "json:policy"), true).await;
    wait_until(&prometheus, "ExportRunsFail", ("profile", "json:policy"), false).await;
    quiet(&prometheus).await;
    deployment.stop_all().await.unwrap();
}
