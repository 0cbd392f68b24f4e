//! What an operator relies on when something went wrong: replays, dead letters, cancels, waiting, rebuilding, rolling restarts.
//!
//! Every test starts a deployment of its own. Start reading at [`replay`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod cancel;
mod letters;
mod rebuild;
mod replay;
mod restored;
mod rolling;
mod submitting;
mod waiting;
mod withdrawn;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use export_client::{Client, RunSignal};
use export_contract::event::RunEvent;
use export_contract::run::Run;
use export_contract::{Digest, RunId};
use export_tests::{Deployment, LOCAL_TENANT, programs};
use serde_json::json;

/// The profile `small-parts`: `json:raw` in parts of so many records.
async fn small_parts(client: &Client, records: u32) {
    let profile = json!({
        "id": "small-parts", "name": "Small parts", "kind": "json:raw",
        "config": { "partitionRecords": records, "compression": { "chunkBytes": 65_536 } }
    });
    client.create_profile(&profile).await.unwrap();
}

/// Waits until the timeline of a run has what `until` looks for, and gives what came before.
async fn wait_for(client: &Client, run: &Run, until: impl Fn(&RunEvent) -> bool) -> Vec<RunEvent> {
    let mut events = client.follow(run.id.as_str(), 0);
    let mut seen = Vec::new();
    while let Some(signal) = events.next().await.unwrap() {
        if let RunSignal::Event(event) = signal {
            let found = until(&event);
            seen.push(event);
            if found {
                return seen;
            }
        }
    }
    panic!("run {} ended before what was waited for: {seen:?}", run.id);
}

/// An event by type and phase, such as `stage.completed manifest`.
fn is(event: &RunEvent, what: &str) -> bool {
    format!("{} {}", event.event_type.as_str(), event.phase.map_or("-", |phase| phase.as_str())) == what
}

/// The corner of staging of a run in a folder.
fn corner(deployment: &Deployment, run: &RunId) -> PathBuf {
    deployment.data().join("staging").join(LOCAL_TENANT).join(run.as_str())
}

fn artefact(deployment: &Deployment, run: &RunId, digest: &Digest) -> PathBuf {
    corner(deployment, run).join("artefacts").join(format!("sha256-{}", digest.hex()))
}

/// `exportctl` with the credentials of a client.
fn exportctl(credentials: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(&programs().unwrap().exportctl);
    command.arg("--credentials").arg(credentials).args(arguments).output().unwrap()
}

fn told(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
