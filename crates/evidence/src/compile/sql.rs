//! Selectors as a SQL condition.

use std::collections::BTreeSet;

use export_contract::RecordKind;
use export_contract::selectors::{Pattern, Selectors};
use export_sqlite::rusqlite::types::Value;

use super::after_prefix;

/// A condition with its values, in the order of its `?`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clause {
    pub(crate) text: String,
    pub(crate) values: Vec<Value>,
}

impl Clause {
    pub(crate) fn new(text: &str, values: impl IntoIterator<Item = Value>) -> Self {
        Self { text: text.to_owned(), values: values.into_iter().collect() }
    }

    /// Both, with all values of `self` first.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.text = format!("{} AND {}", self.text, other.text);
        self.values.extend(other.values);
        self
    }

    /// Any of `clauses`. The tree is balanced, because SQLite bounds the depth of an expression.
    fn any(mut clauses: Vec<Self>) -> Self {
        if clauses.len() < 2 {
            return clauses.pop().unwrap_or_else(|| Self::new("0", []));
        }
        let right = Self::any(clauses.split_off(clauses.len() / 2));
        let left = Self::any(clauses);
        let mut values = left.values;
        values.extend(right.values);
        Self { text: format!("({} OR {})", left.text, right.text), values }
    }

    fn one_of(column: &str, texts: impl IntoIterator<Item = String>) -> Self {
        let values: Vec<Value> = texts.into_iter().map(Value::Text).collect();
        Self { text: format!("{column} IN ({})", vec!["?"; values.len()].join(",")), values }
    }

    fn starts_with(column: &str, prefix: &str) -> Self {
        let from = Value::Text(prefix.to_owned());
        match after_prefix(prefix) {
            Some(end) => Self::new(&format!("({column} >= ? AND {column} < ?)"), [from, Value::Text(end)]),
            None => Self::new(&format!("{column} >= ?"), [from]),
        }
    }
}

/// The condition under which `selectors` choose a record of `kind`. The record is `e` of table `evidence`; its lists
/// are in `evidence_ecosystems` and `evidence_purls`.
pub(crate) fn condition(selectors: &Selectors, kind: RecordKind) -> Clause {
    if !selectors.kinds.is_empty() && !selectors.kinds.contains(&kind) {
        return Clause::new("0", []);
    }
    let mut clause = Clause::new("1", []);
    if let Some(window) = selectors.window {
        if let Some(from) = window.from {
            clause = clause.and(Clause::new("e.observed_at >= ?", [Value::Integer(from.as_micros())]));
        }
        if let Some(until) = window.until {
            clause = clause.and(Clause::new("e.observed_at < ?", [Value::Integer(until.as_micros())]));
        }
    }
    if !selectors.sources.is_empty() {
        clause = clause.and(Clause::one_of("e.source", selectors.sources.iter().cloned()));
    }
    if !selectors.ecosystems.is_empty() {
        let named = Clause::one_of("l.ecosystem", selectors.ecosystems.iter().cloned());
        clause = clause.and(exists("evidence_ecosystems", named));
    }
    if !selectors.products.is_empty() {
        let prefixed =
            Clause::any(selectors.products.iter().map(|prefix| Clause::starts_with("l.purl", prefix)).collect());
        clause = clause.and(exists("evidence_purls", prefixed));
    }
    if kind == RecordKind::Sbom && !selectors.sbom_subjects.is_empty() {
        clause = clause.and(Clause::one_of("e.subject", selectors.sbom_subjects.iter().cloned()));
    }
    if !selectors.include.is_empty() {
        clause = clause.and(named(&selectors.include));
    }
    if !selectors.exclude.is_empty() {
        let named = named(&selectors.exclude);
        clause = clause.and(Clause { text: format!("NOT {}", named.text), ..named });
    }
    clause
}

fn exists(table: &str, condition: Clause) -> Clause {
    let text = format!("EXISTS (SELECT 1 FROM {table} l WHERE l.record = e.id AND {})", condition.text);
    Clause { text, ..condition }
}

fn named(patterns: &BTreeSet<Pattern>) -> Clause {
    let mut whole = Vec::new();
    let mut ways = Vec::new();
    for pattern in patterns {
        match pattern.0.strip_suffix('*') {
            Some(prefix) => {
                ways.extend(["e.subject", "e.document_id"].map(|column| Clause::starts_with(column, prefix)));
            }
            None => whole.push(pattern.0.clone()),
        }
    }
    if !whole.is_empty() {
        ways.extend(["e.subject", "e.document_id"].map(|column| Clause::one_of(column, whole.iter().cloned())));
    }
    let any = Clause::any(ways);
    Clause { text: format!("({})", any.text), ..any }
}
