//! `exportctl audit`.

use export_contract::audit::AuditEntry;

use crate::cli::{AuditCommand, Global};
use crate::exit::{Exit, Failure};
use crate::login::client;
use crate::output;

/// Entries that one request asks for.
const PAGE: usize = 500;

/// Runs one of the audit commands.
pub(crate) async fn audit(global: &Global, command: AuditCommand) -> Result<Exit, Failure> {
    let AuditCommand::List { since, until, action, limit } = command;
    let client = client(global)?;
    let mut entries: Vec<AuditEntry> = Vec::new();
    let mut cursor = None;
    while entries.len() < limit {
        let mut query = vec![("limit", PAGE.min(limit - entries.len()).to_string())];
        let named = [("since", &since), ("until", &until), ("action", &action), ("cursor", &cursor)];
        query.extend(named.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        let page = client.audit(&query).await.map_err(Failure::Client)?;
        entries.extend(page.entries);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    output::list(global, &entries, &["AT", "ACTION", "OUTCOME", "ACTOR", "OBJECT", "FROM"], row);
    Ok(Exit::Ok)
}

fn row(entry: &AuditEntry) -> Vec<String> {
    let outcome = match entry.error_code {
        Some(code) => format!("{} {code}", entry.outcome.as_str()),
        None => entry.outcome.as_str().to_owned(),
    };
    vec![
        entry.at.to_string(),
        entry.action.to_string(),
        outcome,
        entry.actor.clone(),
        entry.object.clone(),
        entry.remote.clone().unwrap_or_default(),
    ]
}
