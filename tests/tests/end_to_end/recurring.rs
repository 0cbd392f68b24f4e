//! Runs that recur, and who is told of their ends: over REST, the command line, and across kills of the orchestrator.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use export_client::{Client, MadeWebhook};
use export_contract::run::Run;
use export_contract::webhook::{Delivery, DeliveryState};
use export_tests::{
    Api, Deployment, LOCAL_TENANT, Setup, Store, finish, heavy, light, programs, python, start, workspace,
};
use export_webhooks::receiver::{Answer, Received, Receiver};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

const SCHEDULES: &str = "/api/export/schedules";
const WEBHOOKS: &str = "/api/export/webhooks";

/// Looks again and again until there is what is looked for.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = timeout(Duration::from_mins(3), async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("{what} did not come"))
}

async fn webhook(client: &Client, receiver: &Receiver) -> MadeWebhook {
    client.create_webhook(&json!({ "url": receiver.url() })).await.unwrap()
}

/// The messages that came, by what an independent receiver makes of them.
fn judged(received: &[Received], made: &MadeWebhook) -> Vec<String> {
    let verdict = |received: &Received| {
        let mut judge = python();
        judge.arg(workspace().join("tests/judges/webhook.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut judge = judge.spawn().unwrap();
        let message = json!({ "secret": made.secret, "headers": received.headers, "body": received.body });
        judge.stdin.take().unwrap().write_all(message.to_string().as_bytes()).unwrap();
        let output = judge.wait_with_output().unwrap();
        assert!(output.status.success(), "{received:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    received.iter().map(verdict).collect()
}

async fn deliveries(client: &Client, made: &MadeWebhook) -> Vec<Delivery> {
    client.deliveries(made.webhook.id.as_str(), 200).await.unwrap().deliveries
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_run_ends_in_a_webhook_whose_signature_verifies_although_the_orchestrator_is_killed() {
    let _turn = heavy().await;
    killed(Setup::apart(Store::Sqlite, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_run_over_mongodb_ends_in_a_webhook_although_the_orchestrator_is_killed() {
    let _turn = heavy().await;
    killed(Setup::apart(Store::Ferret, 1)).await;
}

async fn killed(setup: Setup) {
    let mut deployment = Deployment::start(setup).await.unwrap();
    deployment.generate(LOCAL_TENANT, 3, 50).unwrap();
    let client = deployment.client().unwrap();
    // The first attempt is never answered, so that the orchestrator dies with the message under way.
    let receiver = Receiver::start([Answer::Silence]).await;
    let made = webhook(&client, &receiver).await;
    // The orchestrator dies at some point between the due time and the end of the run, and once more with the message.
    let schedule = json!({
        "id": "every-minute", "profileId": "json:raw", "cron": "* * * * *", "timeZone": "Europe/Berlin", "overlap": "skip",
    });
    client.create_schedule(&schedule, false).await.unwrap();
    let run: Run = until("a run by schedule", async || client.runs(&[]).await.unwrap().runs.pop()).await;
    deployment.kill("orchestrator").await.unwrap();
    assert!(run.requested_by.starts_with("schedule:every-minute for "), "{}", run.requested_by);
    client.update_schedule("every-minute", &json!({ "enabled": false }), false).await.unwrap();
    deployment.restart().await.unwrap();
    let finished = finish(&client, run.id.as_str()).await.unwrap();
    finished.assert_once();
    finished.bundle();
    receiver.wait_for(1).await;
    deployment.kill("orchestrator").await.unwrap();
    // Somebody else ends a run while there is no orchestrator.
    let other = start(&client, "json:raw").await.unwrap();
    client.cancel_run(other.id.as_str()).await.unwrap();
    deployment.restart().await.unwrap();
    let all = until("both messages", async || {
        let all = deliveries(&client, &made).await;
        (all.len() >= 2 && all.iter().all(|delivery| delivery.state == DeliveryState::Delivered)).then_some(all)
    })
    .await;
    let told: BTreeSet<_> = all.iter().map(|delivery| (delivery.run.clone(), delivery.event.as_str())).collect();
    assert!(told.contains(&(Some(run.id.clone()), "run.succeeded")) && told.contains(&(Some(other.id), "run.aborted")));
    let received = receiver.received();
    let ids: BTreeSet<&str> = received.iter().map(Received::id).collect();
    assert_eq!(ids.len(), all.len(), "each message has one id, however often it came");
    let of_run: Vec<&Received> = received.iter().filter(|received| received.id().contains(run.id.as_str())).collect();
    assert!(of_run.len() >= 2, "the one that was under way came again");
    let kinds: BTreeSet<String> = judged(&received, &made).into_iter().collect();
    assert_eq!(kinds, ["run.aborted", "run.succeeded"].map(str::to_owned).into());
    let body: Value = serde_json::from_str(&of_run.last().unwrap().body).unwrap();
    let data = &body["data"];
    assert_eq!(data["bundle"]["digest"], finished.digest().to_string());
    let api = deployment.api().await.unwrap();
    let shown = api.json(data["links"]["self"].as_str().unwrap()).await.unwrap();
    assert_eq!(shown["bundle"]["digest"], data["bundle"]["digest"]);
    // One due time made one run each, whatever was killed.
    let runs = client.runs(&[("limit", "200".to_owned())]).await.unwrap().runs;
    let due: Vec<&str> =
        runs.iter().map(|run| run.correlation_id.as_str()).filter(|id| id.starts_with("schedule:")).collect();
    assert_eq!(due.len(), due.iter().collect::<BTreeSet<_>>().len(), "{due:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_tested_replayed_and_told_apart_by_tenant() {
    let _turn = light().await;
    let deployment = Deployment::all().await.unwrap();
    let client = deployment.client().unwrap();
    let receiver = Receiver::start([Answer::status(500), Answer::status(410)]).await;
    let made = webhook(&client, &receiver).await;
    let id = made.webhook.id.as_str();
    // Tried again by itself, and then the receiver is gone.
    client.test_webhook(id).await.unwrap();
    let seen = until("the end of it", async || {
        deliveries(&client, &made).await.pop().filter(|delivery| delivery.state == DeliveryState::Failed)
    })
    .await;
    let statuses: Vec<Option<u16>> = seen.attempts.iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [Some(500), Some(410)]);
    let off = until("disabled", async || Some(client.webhook(id).await.unwrap()).filter(|hook| !hook.enabled)).await;
    assert!(off.disabled_because.unwrap().contains("410"));
    assert!(client.replay_delivery(id, &seen.id).await.unwrap_err().to_string().contains("is disabled"));
    client.update_webhook(id, &json!({ "enabled": true })).await.unwrap();
    client.replay_delivery(id, &seen.id).await.unwrap();
    let received = receiver.wait_for(3).await;
    assert!(received.iter().all(|received| received.id() == seen.id));
    assert_eq!(judged(&received, &made), ["webhook.test"; 3]);
    // No answer but the first has the secret, and no file of the server has it in the clear.
    let api = deployment.api().await.unwrap();
    let bare = made.secret.trim_start_matches("whsec_");
    for path in [WEBHOOKS.to_owned(), format!("{WEBHOOKS}/{id}"), format!("{WEBHOOKS}/{id}/deliveries")] {
        assert!(!api.json(&path).await.unwrap().to_string().contains(bare), "{path}");
    }
    assert_eq!(files_with(&deployment, bare), Vec::<String>::new());
    // Another tenant sees none of it.
    let theirs = Api::login(&deployment.put_client("theirs", "globex", &[]).unwrap()).await.unwrap();
    assert_eq!(theirs.json(WEBHOOKS).await.unwrap()["webhooks"], json!([]));
    for path in [format!("{WEBHOOKS}/{id}"), format!("{WEBHOOKS}/{id}/deliveries")] {
        assert_eq!(theirs.get(&path).await.unwrap().status(), 404);
    }
    client.delete_webhook(id).await.unwrap();
    assert_eq!(api.get(&format!("{WEBHOOKS}/{id}")).await.unwrap().status(), 404);
}

/// Files that the deployment wrote, logs too, which hold a text.
fn files_with(deployment: &Deployment, text: &str) -> Vec<String> {
    let mut folders = vec![deployment.folder().to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if std::fs::read(entry.path()).unwrap().windows(text.len()).any(|window| window == text.as_bytes()) {
                found.push(entry.path().display().to_string());
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_are_made_changed_and_shown_by_rest_and_the_command_line() {
    let _turn = light().await;
    let deployment = Deployment::all().await.unwrap();
    let api = deployment.api().await.unwrap();
    refusals(&deployment, &api).await;
    let credentials = deployment.data().join("credentials.json");
    let exportctl = |arguments: &[&str]| {
        let mut command = Command::new(&programs().unwrap().exportctl);
        let output =
            command.arg("--credentials").arg(&credentials).args(["-o", "json"]).args(arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {told}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default()
    };
    let create = ["schedule", "create", "nightly", "--profile", "json:raw", "--cron", "30 2 * * *", "--last", "7d"];
    let dry = exportctl(&[&create[..], &["--time-zone", "Europe/Berlin", "--dry-run"]].concat());
    assert_eq!(dry["upcoming"].as_array().unwrap().len(), 5);
    assert_eq!(exportctl(&["schedule", "list"]), json!([]), "a dry run writes nothing");
    let made = exportctl(&[&create[..], &["--time-zone", "Europe/Berlin"]].concat());
    assert_eq!(
        (&made["profileId"], &made["missed"], &made["graceMinutes"]),
        (&json!("json-raw"), &json!("once"), &json!(720))
    );
    assert_eq!(made["selectors"]["window"]["last"], "7d");
    assert_eq!(exportctl(&["schedule", "next", "nightly"]), dry["upcoming"]);
    // The same again is no error; another one under the name is.
    exportctl(&[&create[..], &["--time-zone", "Europe/Berlin"]].concat());
    let other = json!({ "id": "nightly", "profileId": "json:raw", "cron": "@daily" });
    let answer = api.request(Method::POST, SCHEDULES).json(&other).send().await.unwrap();
    assert_eq!(answer.status(), 409);
    let changed = exportctl(&["schedule", "update", "nightly", "--cron", "@hourly"]);
    assert_ne!(changed["nextDue"], made["nextDue"]);
    let off = exportctl(&["schedule", "update", "nightly", "--disable"]);
    assert_eq!((off.get("nextDue"), &off["upcoming"]), (None, &json!([])));
    assert_eq!(exportctl(&["schedule", "show", "nightly"])["revision"], off["revision"]);
    exportctl(&["schedule", "delete", "nightly"]);
    assert_eq!(api.get(&format!("{SCHEDULES}/nightly")).await.unwrap().status(), 404);
    let receiver = Receiver::start([]).await;
    let hook = exportctl(&["webhook", "create", &receiver.url(), "--event", "run.failed"]);
    assert_eq!(hook["events"], json!(["run.failed"]));
    assert_eq!(exportctl(&["webhook", "list"]).as_array().unwrap().len(), 1);
    let id = hook["id"].as_str().unwrap();
    let sent = exportctl(&["webhook", "test", id]);
    receiver.wait_for(1).await;
    exportctl(&["webhook", "replay", id, sent["id"].as_str().unwrap()]);
    receiver.wait_for(2).await;
    assert_eq!(exportctl(&["webhook", "deliveries", id])[0]["id"], sent["id"]);
    exportctl(&["webhook", "delete", id]);
}

/// What is wrong is told by the path of its member.
async fn refusals(deployment: &Deployment, api: &Api) {
    let base = json!({ "id": "nightly", "profileId": "json:raw", "cron": "@daily" });
    let with = |name: &str, value: Value| {
        let mut body = base.clone();
        body[name] = value;
        body
    };
    for (body, status, code, path) in [
        (with("id", json!("Not a slug")), 400, "ERR_EXPORT_INVALID_SCHEDULE", "id"),
        (with("cron", json!("* * * * * *")), 400, "ERR_EXPORT_INVALID_SCHEDULE", "cron"),
        (with("cron", json!("0 0 30 2 *")), 400, "ERR_EXPORT_INVALID_SCHEDULE", "cron"),
        (with("timeZone", json!("Mars/Olympus")), 400, "ERR_EXPORT_INVALID_SCHEDULE", "timeZone"),
        (with("graceMinutes", json!(0)), 400, "ERR_EXPORT_INVALID_SCHEDULE", "graceMinutes"),
        (with("selectors", json!({ "kinds": ["poem"] })), 400, "ERR_EXPORT_INVALID_SELECTOR", "selectors.kinds"),
        (with("options", json!({ "resetBaseline": true })), 400, "ERR_EXPORT_INVALID_REQUEST", "options.baseExportId"),
    ] {
        let answer = api.request(Method::POST, SCHEDULES).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), status, "{body}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(
            (problem["code"].as_str(), problem["errors"][0]["path"].as_str()),
            (Some(code), Some(path)),
            "{problem}"
        );
    }
    let answer = api.request(Method::POST, SCHEDULES).json(&with("profileId", json!("none"))).send().await.unwrap();
    assert_eq!(answer.status(), 404);
    for (body, path) in [
        (json!({ "url": "http://hooks.example/" }), "url"),
        (json!({ "url": "https://169.254.169.254/" }), "url"),
        (json!({ "url": "https://hooks.example/", "events": [] }), "events"),
        (json!({ "url": "https://hooks.example/", "profileId": "A B" }), "profileId"),
    ] {
        let answer = api.request(Method::POST, WEBHOOKS).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{body}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["errors"][0]["path"], path, "{problem}");
    }
    // Seeing takes one scope, changing two.
    let some = |id: &str, scopes: &[&str]| deployment.put_client(id, LOCAL_TENANT, scopes).unwrap();
    for (id, scopes) in [("reader", &["export:read"][..]), ("runner", &["export:read", "export:run"])] {
        let caller = Api::login(&some(id, scopes)).await.unwrap();
        assert!(caller.json(SCHEDULES).await.is_ok());
        for path in [SCHEDULES, WEBHOOKS] {
            assert_eq!(
                caller.request(Method::POST, path).json(&base).send().await.unwrap().status(),
                403,
                "{id} {path}"
            );
        }
    }
    let key = api.request(Method::POST, "/api/export/runs").header("idempotency-key", "schedule/nightly/x");
    assert_eq!(key.json(&json!({ "profileId": "json:raw" })).send().await.unwrap().status(), 400);
    assert_eq!(api.json(SCHEDULES).await.unwrap()["schedules"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_secret_signs_beside_the_former_one_for_as_long_as_was_asked_for() {
    let _turn = light().await;
    let deployment = Deployment::all().await.unwrap();
    let client = deployment.client().unwrap();
    let receiver = Receiver::start([]).await;
    let first = webhook(&client, &receiver).await;
    let id = first.webhook.id.as_str();
    let sent = async || {
        let before = receiver.received().len();
        client.test_webhook(id).await.unwrap();
        receiver.wait_for(before + 1).await;
        receiver.received().pop().unwrap()
    };
    let second = client.rotate_webhook_secret(id, 3_600).await.unwrap();
    let until = second.webhook.former_secret_until.expect("for an hour both sign");
    assert_ne!(second.secret, first.secret);
    let both = sent().await;
    assert!(both.is_signed_by(&first.secret) && both.is_signed_by(&second.secret));
    assert_eq!(
        judged(std::slice::from_ref(&both), &first),
        ["webhook.test"],
        "a receiver that was not told yet takes it"
    );
    assert_eq!(judged(&[both], &second), ["webhook.test"]);
    // What others know is over at once.
    let third = client.rotate_webhook_secret(id, 0).await.unwrap();
    assert_eq!(third.webhook.former_secret_until, None);
    let one = sent().await;
    assert!(one.is_signed_by(&third.secret) && !one.is_signed_by(&second.secret));
    let refused = client.rotate_webhook_secret(id, 604_801).await.unwrap_err().to_string();
    assert!(refused.contains("the webhook is not valid"), "{refused}");
    let audit = deployment.api().await.unwrap().json("/api/export/audit?action=webhook.changed").await.unwrap();
    assert_eq!(audit["entries"].as_array().unwrap().len(), 3, "{audit}");
    assert!(until > second.webhook.created_at);
}
