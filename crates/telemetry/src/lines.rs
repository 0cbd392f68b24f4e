//! The log as JSON: one object a line, its members at the top.

use std::io::Write as _;
use std::time::SystemTime;

use export_contract::Timestamp;
use serde_json::{Map, Value};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::members::{Kept, Members};

/// Writes lines to standard error.
pub(crate) struct Lines;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut said = Members::default();
        event.record(&mut said);
        let mut members = Map::new();
        for span in context.event_scope(event).into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            if let Some(kept) = span.extensions().get::<Kept>() {
                add(&mut members, &kept.members);
            }
        }
        add(&mut members, &said);
        let told = event.metadata();
        let mut line = line(SystemTime::now().into(), *told.level(), told.target(), members);
        line.push('\n');
        // Whoever reads the log may be gone; there is nowhere to say so.
        drop(std::io::stderr().lock().write_all(line.as_bytes()));
    }
}

/// Adds members over those that are there; names with a dot are for collectors of traces only.
fn add(members: &mut Map<String, Value>, more: &Members) {
    let ours = more.0.iter().filter(|(name, _)| !name.contains('.'));
    members.extend(ours.map(|(name, value)| ((*name).to_owned(), value.clone())));
}

/// The line, beginning with what every one has.
fn line(at: Timestamp, level: Level, target: &str, mut members: Map<String, Value>) -> String {
    let first = [
        ("timestamp", Some(at.to_string().into())),
        ("level", Some(level.as_str().into())),
        ("event", members.remove("event")),
        ("message", Some(members.remove("message").unwrap_or_default())),
        ("target", Some(target.into())),
    ];
    let first = first.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let mut line = String::from("{");
    for (name, value) in
        first.chain(members.into_iter().filter(|(name, _)| !matches!(name.as_str(), "timestamp" | "level" | "target")))
    {
        if line.len() > 1 {
            line.push(',');
        }
        line.push_str(&Value::from(name).to_string());
        line.push(':');
        line.push_str(&value.to_string());
    }
    line.push('}');
    line
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};
    use tracing::Level;

    use super::line;

    #[test]
    fn a_line_is_one_object_whatever_is_in_it() {
        let Value::Object(members) = json!({
            "message": "two\nlines and \"quotes\"", "event": "step.done", "attempt": 2, "level": "forged", "tenant": "a\u{7f}\u{1b}[31m"
        }) else {
            unreachable!()
        };
        let text = line("2026-05-01T12:00:00Z".parse().unwrap(), Level::INFO, "export", members);
        assert!(!text.contains('\n'), "{text}");
        assert!(
            text.starts_with(r#"{"timestamp":"2026-05-01T12:00:00Z","level":"INFO","event":"step.done","message":"#),
            "{text}"
        );
        assert_eq!(text.matches("\"level\"").count(), 1, "{text}");
        let read: Map<String, Value> = serde_json::from_str(&text).unwrap();
        assert_eq!((&read["attempt"], &read["message"]), (&json!(2), &json!("two\nlines and \"quotes\"")));
    }
}
