//! `exportctl run`.

use export_client::{Client, NewRun};
use export_contract::run::{Run, RunOptions, RunStatus};

use crate::cli::{Global, RunCommand};
use crate::exit::{Exit, Failure};
use crate::login::{client, read_text};
use crate::{output, watch};

/// Runs one of the run commands.
pub(crate) async fn run(global: &Global, command: RunCommand) -> Result<Exit, Failure> {
    let client = client(global)?;
    match command {
        RunCommand::Start {
            profile,
            selectors,
            idempotency_key,
            policy_snapshot,
            base,
            reset_baseline,
            approval,
            watch: follow,
        } => {
            let options = RunOptions {
                policy_snapshot_id: policy_snapshot,
                base_export_id: base,
                reset_baseline,
                ..RunOptions::default()
            };
            let approval = approval.map(|path| {
                let text = read_text(&path)?;
                serde_json::from_str(&text).map_err(|cause| Failure::Json { path, cause })
            });
            let approval = approval.transpose()?;
            let wanted = NewRun { profile_id: profile, selectors: (*selectors).into(), options, approval };
            let run = client.start_run(&wanted, idempotency_key.as_deref()).await.map_err(Failure::Client)?;
            if follow {
                output::note(global, &format!("run {} submitted", run.id));
                return ended(global, &watch::watch(global, &client, run.id.as_str()).await?);
            }
            output::document(global, &run, facts);
        }
        RunCommand::List { status, profile, limit } => {
            let mut query = vec![("limit", limit.to_string())];
            query.extend(status.map(|status| ("status", status)));
            query.extend(profile.map(|profile| ("profile", profile)));
            let page = client.runs(&query).await.map_err(Failure::Client)?;
            output::list(global, &page.runs, &["RUN", "PROFILE", "STATUS", "PHASE", "RECORDS", "REQUESTED", "BY"], row);
            if page.next_cursor.is_some() {
                output::note(global, "there are more runs; raise --limit");
            }
        }
        RunCommand::Show { run } => {
            let run = client.run(&run).await.map_err(Failure::Client)?;
            output::document(global, &run, facts);
        }
        RunCommand::Watch { run } => return ended(global, &watch::watch(global, &client, &run).await?),
        RunCommand::Replay { run, from, watch: follow } => {
            let run = client.replay_run(&run, from).await.map_err(Failure::Client)?;
            return replayed(global, &client, &run, follow).await;
        }
        RunCommand::Cancel { run } => {
            let run = client.cancel_run(&run).await.map_err(Failure::Client)?;
            output::document(global, &run, facts);
        }
    }
    Ok(Exit::Ok)
}

/// Shows a run that was replayed, and follows it to its end if that is wanted.
pub(crate) async fn replayed(global: &Global, client: &Client, run: &Run, follow: bool) -> Result<Exit, Failure> {
    if follow {
        output::note(global, &format!("run {} replayed, generation {}", run.id, run.generation.0));
        return ended(global, &watch::watch(global, client, run.id.as_str()).await?);
    }
    output::document(global, run, facts);
    Ok(Exit::Ok)
}

/// Shows a run that has ended, and says by the exit code how.
fn ended(global: &Global, run: &Run) -> Result<Exit, Failure> {
    output::document(global, run, facts);
    if run.status == RunStatus::Succeeded {
        return Ok(Exit::Ok);
    }
    let code = run.error_code.map_or_else(|| "no error code".to_owned(), |code| code.to_string());
    let reason = run.error_message.clone().map_or(code.clone(), |message| format!("{message} ({code})"));
    Err(Failure::RunEnded { run: run.id.to_string(), status: run.status, reason })
}

fn row(run: &Run) -> Vec<String> {
    vec![
        run.id.to_string(),
        run.profile_id.to_string(),
        run.status.to_string(),
        run.phase.map_or_else(String::new, |phase| phase.to_string()),
        run.progress.records_done.to_string(),
        run.requested_at.to_string(),
        run.requested_by.clone(),
    ]
}

fn facts(run: &Run) -> String {
    let mut facts = vec![
        ("run", run.id.to_string()),
        ("profile", format!("{} r{}", run.profile_id, run.profile_revision)),
        ("status", run.status.to_string()),
        ("requested", format!("{} by {}", run.requested_at, run.requested_by)),
    ];
    if let Some(replay) = run.replay {
        let from = replay.from.map_or_else(String::new, |from| format!(", from {from} on"));
        facts.push(("generation", format!("{}, with results of {}{from}", run.generation, replay.of)));
    }
    if let Some(phase) = run.phase {
        facts.push(("phase", phase.to_string()));
    }
    if let Some(waiting) = run.waiting {
        facts.push(("waits for", format!("{} since {}", waiting.reason.as_str(), waiting.since)));
    }
    if let Some(code) = run.error_code {
        facts.push(("error", format!("{code}: {}", run.error_message.as_deref().unwrap_or(""))));
    }
    if let Some(bundle) = &run.bundle {
        facts.push(("records", bundle.records.to_string()));
        facts.push(("bytes", bundle.bytes.to_string()));
        facts.push(("digest", bundle.digest.to_string()));
        facts.push(("manifest", bundle.manifest_digest.to_string()));
        facts.push(("signed by", bundle.key_id.clone()));
        if let Some(as_of) = bundle.as_of {
            facts.push(("as of", as_of.to_string()));
        }
        if let Some(made_by) = &bundle.refreshes {
            facts.push(("unchanged since", format!("run {made_by}")));
        }
        if let Some(hint) = bundle.verification.as_ref().and_then(|hints| hints.commands.first()) {
            facts.push(("verify with", hint.command.clone()));
        }
    }
    if let Some(millis) = run.duration_ms {
        facts.push(("duration", format!("{millis} ms")));
    }
    output::facts(&facts)
}
