//! `exportd orchestrator rebuild`.

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use export_jetstream::{Metrics, NatsQueue, topology};
use export_orchestrator::{Admitter, Patience, Ports, Rebuilt, Reconciled, Reconciler, system_clock};
use prometheus::Registry;
use serde_json::{Value, json};

use crate::cli::Output;
use crate::config::Config;
use crate::roles::layout;
use crate::stores;

/// Puts every run at work on the log again, and says what that took.
pub(crate) async fn rebuild(config: &Config, output: Output) -> anyhow::Result<()> {
    let nats = stores::broker(config).await?;
    topology::ensure(&nats, &layout(config)).await.context("cannot lay out the broker")?;
    let metrics = Metrics::register(&Registry::new()).context("cannot register metrics")?;
    let ports = Ports {
        ledger: stores::runs(config).await?,
        queue: Arc::new(NatsQueue::new(nats.clone(), metrics)),
        staging: stores::staging(config).await?,
        clock: system_clock(),
        audit: Some(stores::audit(config).await?),
    };
    let admitter = Admitter::new(ports.clone(), config.limits.caps());
    let told: Mutex<Vec<Rebuilt>> = Mutex::default();
    let tell = |run: &Rebuilt| told.lock().unwrap_or_else(PoisonError::into_inner).push(run.clone());
    let sums =
        Reconciler::new(ports, admitter, Patience::default()).rebuild(tell).await.context("cannot rebuild the log")?;
    nats.close().await;
    let runs = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    let text = match output {
        Output::Json => {
            json!({ "rebuilt": counts(sums), "runs": runs.iter().map(document).collect::<Vec<_>>() }).to_string()
        }
        Output::Table => table(sums, &runs),
    };
    writeln!(std::io::stdout(), "{text}").context("cannot write to standard output")?;
    anyhow::ensure!(
        sums.errors == 0,
        "{} runs could not be put on the log; do it again, or leave them to the orchestrator",
        sums.errors
    );
    Ok(())
}

fn counts(did: Reconciled) -> Value {
    let Reconciled { admitted, silent, recorded, republished, retried, ended, errors, .. } = did;
    json!({
        "runs": silent, "admitted": admitted, "recorded": recorded, "events": republished, "retried": retried,
        "ended": ended, "errors": errors,
    })
}

fn document(run: &Rebuilt) -> Value {
    let mut document = counts(run.did);
    if let Some(members) = document.as_object_mut() {
        members.retain(|name, _| !matches!(name.as_str(), "runs" | "admitted" | "errors"));
        members.insert("tenant".to_owned(), json!(run.run.tenant));
        members.insert("run".to_owned(), json!(run.run.run));
        members.insert("generation".to_owned(), json!(run.run.generation));
        members.insert("phase".to_owned(), json!(run.phase));
        members.insert("error".to_owned(), json!(run.error));
    }
    document
}

fn table(sums: Reconciled, runs: &[Rebuilt]) -> String {
    let mut lines: Vec<String> = runs
        .iter()
        .map(|run| {
            let phase = run.phase.map_or("-", export_contract::run::Phase::as_str);
            let Reconciled { recorded, republished, retried, ended, .. } = run.did;
            let outcome = match (&run.error, ended) {
                (Some(error), _) => error.clone(),
                (None, 0) => format!("{republished} events, {recorded} facts recorded, {retried} commands given again"),
                (None, _) => format!("ended, {recorded} facts recorded"),
            };
            format!("{}  {phase:<10} {outcome}", run.run)
        })
        .collect();
    lines.push(format!(
        "{} runs at work, {} got a slot, {} events put on the log or found there, {} facts recorded, {} ended, {} errors",
        sums.silent, sums.admitted, sums.republished, sums.recorded, sums.ended, sums.errors
    ));
    lines.join("\n")
}
