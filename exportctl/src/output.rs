//! Data on standard output, talk on standard error.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::cli::{Form, Global};

/// Says something to the person at the terminal.
pub(crate) fn say(text: &str) {
    // Nothing can be done about a closed standard error.
    let _closed = writeln!(io::stderr(), "{text}");
}

/// Says something unless `--quiet`.
pub(crate) fn note(global: &Global, text: &str) {
    if !global.quiet {
        say(text);
    }
}

/// Whether progress bars make sense.
pub(crate) fn bars(global: &Global) -> bool {
    !global.quiet && io::stderr().is_terminal()
}

/// Writes one document: as a table by `table`, or as JSON.
pub(crate) fn document<T: Serialize>(global: &Global, value: &T, table: impl FnOnce(&T) -> String) {
    let text = match global.output {
        Form::Table => table(value),
        Form::Json => serde_json::to_string_pretty(value).unwrap_or_default(),
        Form::Ndjson => serde_json::to_string(value).unwrap_or_default(),
    };
    write(&text);
}

/// Writes a list: as a table, as one JSON array, or as one document a line.
pub(crate) fn list<T: Serialize>(global: &Global, values: &[T], header: &[&str], row: impl Fn(&T) -> Vec<String>) {
    let text = match global.output {
        Form::Table => table(header, &values.iter().map(row).collect::<Vec<_>>()),
        Form::Json => serde_json::to_string_pretty(values).unwrap_or_default(),
        Form::Ndjson => {
            values.iter().filter_map(|value| serde_json::to_string(value).ok()).collect::<Vec<_>>().join("\n")
        }
    };
    write(&text);
}

/// A table with columns as wide as their widest cell.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = header
        .iter()
        .enumerate()
        .map(|(column, title)| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
                .max(title.len())
        })
        .collect();
    let line = |cells: Vec<&str>| {
        cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect::<Vec<_>>()
            .join("  ")
            .trim_end()
            .to_owned()
    };
    let mut lines = vec![line(header.to_vec())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

/// Name and value a line.
pub(crate) fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    facts.iter().map(|(name, value)| format!("{name:<width$}  {value}")).collect::<Vec<_>>().join("\n")
}

/// Writes a text as it is.
pub(crate) fn text(text: &str) {
    write(text);
}

fn write(text: &str) {
    if text.is_empty() {
        return;
    }
    // A reader that closed the pipe has seen enough.
    let _closed = writeln!(io::stdout(), "{text}");
}
