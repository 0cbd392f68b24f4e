//! `exportctl schedule`.

use export_client::ScheduleView;
use export_contract::run::RunOptions;
use export_contract::selectors::SelectorRequest;
use serde_json::{Value, json};

use crate::cli::{Global, ScheduleCommand};
use crate::exit::{Exit, Failure};
use crate::login::client;
use crate::output;
use crate::profile::document;

/// Runs one of the schedule commands.
pub(crate) async fn schedule(global: &Global, command: ScheduleCommand) -> Result<Exit, Failure> {
    let client = client(global)?;
    let shown = match command {
        ScheduleCommand::List => {
            let schedules = client.schedules().await.map_err(Failure::Client)?;
            let header = ["SCHEDULE", "PROFILE", "CRON", "ZONE", "ENABLED", "NEXT", "LAST"];
            output::list(global, &schedules, &header, row);
            return Ok(Exit::Ok);
        }
        ScheduleCommand::Show { schedule } => client.schedule(&schedule).await,
        ScheduleCommand::Create {
            schedule,
            profile,
            cron,
            time_zone,
            missed,
            grace_minutes,
            overlap,
            selectors,
            policy_snapshot,
            base,
            dry_run,
        } => {
            let options =
                RunOptions { policy_snapshot_id: policy_snapshot, base_export_id: base, ..RunOptions::default() };
            let selectors: SelectorRequest = (*selectors).into();
            let mut wanted = json!({
                "id": schedule, "profileId": profile, "cron": cron, "timeZone": time_zone, "missed": missed,
                "overlap": overlap, "selectors": selectors, "options": options,
            });
            if let (Some(minutes), Some(members)) = (grace_minutes, wanted.as_object_mut()) {
                members.insert("graceMinutes".to_owned(), minutes.into());
            }
            client.create_schedule(&wanted, dry_run).await
        }
        ScheduleCommand::Update { schedule, file, enable, disable, cron, dry_run } => {
            let mut change = file.as_deref().map(document).transpose()?.unwrap_or_else(|| json!({}));
            if let Value::Object(members) = &mut change {
                if enable || disable {
                    members.insert("enabled".to_owned(), enable.into());
                }
                members.extend(cron.map(|cron| ("cron".to_owned(), cron.into())));
            }
            client.update_schedule(&schedule, &change, dry_run).await
        }
        ScheduleCommand::Delete { schedule } => {
            client.delete_schedule(&schedule).await.map_err(Failure::Client)?;
            output::note(global, &format!("schedule {schedule} deleted"));
            return Ok(Exit::Ok);
        }
        ScheduleCommand::Next { schedule } => {
            let upcoming = client.schedule(&schedule).await.map_err(Failure::Client)?.upcoming;
            output::list(global, &upcoming, &["DUE"], |time| vec![time.to_string()]);
            return Ok(Exit::Ok);
        }
    };
    let shown = shown.map_err(Failure::Client)?;
    output::document(global, &shown, facts);
    Ok(Exit::Ok)
}

fn last(view: &ScheduleView) -> String {
    view.schedule.last.as_ref().map_or_else(String::new, |last| format!("{} {}", last.due, last.outcome.as_str()))
}

fn next(view: &ScheduleView) -> String {
    view.schedule.next_due.map_or_else(|| "never".to_owned(), |next| next.to_string())
}

fn row(view: &ScheduleView) -> Vec<String> {
    let schedule = &view.schedule;
    vec![
        schedule.id.to_string(),
        schedule.profile_id.to_string(),
        schedule.cron.clone(),
        schedule.time_zone.clone(),
        if schedule.enabled { "yes" } else { "no" }.to_owned(),
        next(view),
        last(view),
    ]
}

fn facts(view: &ScheduleView) -> String {
    let schedule = &view.schedule;
    let mut facts = vec![
        ("schedule", schedule.id.to_string()),
        ("profile", schedule.profile_id.to_string()),
        ("when", format!("{} in {}", schedule.cron, schedule.time_zone)),
        ("enabled", schedule.enabled.to_string()),
        ("missed", format!("{:?} within {} minutes", schedule.missed, schedule.grace_minutes).to_lowercase()),
        ("overlap", format!("{:?}", schedule.overlap).to_lowercase()),
        ("created", format!("{} by {}", schedule.created_at, schedule.created_by)),
        ("changed", format!("{} by {}", schedule.updated_at, schedule.updated_by)),
        ("next", next(view)),
    ];
    if let Some(record) = &schedule.last {
        facts.push(("last", last(view)));
        facts.extend(record.reason.clone().map(|reason| ("because", reason)));
    }
    facts.extend(schedule.last_run.as_ref().map(|run| ("last run", run.to_string())));
    output::facts(&facts)
}
