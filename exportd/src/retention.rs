//! `exportd retention`.

use std::io::Write as _;
use std::sync::Mutex;
use std::time::SystemTime;

use anyhow::Context as _;
use export_orchestrator::{Deed, Pass, Retention, Told, system_clock};
use export_runs::{AuditStore, RunStoreError};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::cli::{Output, RetentionCommand};
use crate::config::{Config, Retention as Rules};
use crate::stores;

/// The pruner of this deployment.
pub(crate) async fn pruner(config: &Config) -> anyhow::Result<Retention> {
    let ledger = stores::run_ledger(config).await?;
    let staging = stores::staging(config).await?;
    let targets = stores::targets(config).await?;
    Ok(Retention::new(ledger, staging, targets, system_clock(), config.retention.rules()))
}

/// Removes what is old from the audit log, until `stop` fires.
pub(crate) async fn keep_log(rules: &Rules, audit: &dyn AuditStore, stop: CancellationToken) {
    let mut look = tokio::time::interval(rules.interval());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => {
                if let Err(error) = forget(rules, audit).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "old entries of the audit log stay for now");
                }
            }
        }
    }
}

async fn forget(rules: &Rules, audit: &dyn AuditStore) -> Result<(), RunStoreError> {
    match rules.audit_until(SystemTime::now().into()) {
        Some(until) if !rules.dry_run => audit.forget(until).await,
        Some(_) | None => Ok(()),
    }
}

/// Makes one pass, and prints what went or would go, and why everything else stays.
pub(crate) async fn retention(config: &Config, command: RetentionCommand) -> anyhow::Result<()> {
    let RetentionCommand::Run { dry_run, output, .. } = command;
    let dry_run = dry_run || config.retention.dry_run;
    let told: Mutex<Vec<Told>> = Mutex::default();
    let tell = |line: Told| told.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(line);
    let pass = pruner(config).await?.pass(dry_run, &tell).await;
    if !dry_run {
        forget(&config.retention, &*stores::audit(config).await?).await.context("cannot prune the audit log")?;
    }
    let told = told.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let text = match output {
        Output::Json => json!({ "pass": pass, "runs": told }).to_string(),
        Output::Table => table(&pass, &told),
    };
    writeln!(std::io::stdout(), "{text}").context("cannot write to standard output")?;
    let failures: u64 = pass.failures.values().sum();
    anyhow::ensure!(failures == 0, "{failures} could not be done; the log says what, and the next pass tries again");
    Ok(())
}

fn table(pass: &Pass, told: &[Told]) -> String {
    let mut lines: Vec<String> = told
        .iter()
        .map(|Told { tenant, run, profile, deed, why }| {
            let profile = profile.as_ref().map_or("-", |profile| profile.as_str());
            format!("{:<14} {tenant}/{run}  {profile:<16} {why}", word(*deed, pass.dry_run))
        })
        .collect();
    let Pass { kept, expiring, waiting, spared, pruned, withdrawn, freed, locked, orphans, failures, .. } = pass;
    lines.push(format!(
        "{} kept, {expiring} expiring, {waiting} waiting, {spared} spared, {pruned} pruned ({} objects, {} bytes), {withdrawn} withdrawn, {locked} locked, \
         {orphans} orphans, {} failures",
        kept,
        freed.objects,
        freed.bytes,
        failures.values().sum::<u64>(),
    ));
    if pass.dry_run {
        lines.push("dry run: nothing was changed".to_owned());
    }
    lines.join("\n")
}

fn word(deed: Deed, dry_run: bool) -> String {
    let changes = matches!(deed, Deed::Expiring | Deed::Spared | Deed::Withdrawn | Deed::Pruned | Deed::OrphanRemoved);
    if dry_run && changes { format!("({})", deed.as_str()) } else { deed.as_str().to_owned() }
}
