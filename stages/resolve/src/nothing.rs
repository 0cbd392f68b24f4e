//! What to say when nothing was selected: "no data" and "selected nothing" must never look alike (design D11).

use std::collections::BTreeMap;
use std::fmt::Display;

use export_contract::RecordKind;
use export_contract::message::RunPlanned;
use export_contract::selectors::Selectors;

use crate::error::ResolveError;

/// Entries of a selector that are named; a list may have a thousand.
const NAMED: usize = 5;

/// The error of a run whose selectors chose nothing.
pub(crate) fn selected(plan: &RunPlanned) -> ResolveError {
    let mut counts: BTreeMap<RecordKind, u64> = BTreeMap::new();
    for source in &plan.sources {
        *counts.entry(source.kind).or_default() += source.records;
    }
    counts.retain(|_, records| *records > 0);
    let wanted = &plan.selectors.kinds;
    let holds = if counts.is_empty() {
        "no records at all".to_owned()
    } else {
        let each: Vec<String> = counts.iter().map(|(kind, records)| format!("{records} {kind}")).collect();
        format!("{} records", each.join(", "))
    };
    let watermark = plan.watermark.0;
    if counts.keys().any(|kind| wanted.contains(kind)) {
        ResolveError::NothingSelected { holds, watermark, selectors: text(&plan.selectors) }
    } else {
        ResolveError::NoData { wanted: list(wanted), holds, watermark }
    }
}

/// The selectors that raw evidence is chosen by, for people.
fn text(selectors: &Selectors) -> String {
    let Selectors {
        window,
        kinds,
        sources,
        ecosystems,
        products,
        sbom_subjects,
        severities: _,
        include,
        exclude,
        tenants: _,
    } = selectors;
    let mut parts = vec![format!("kinds: {}", list(kinds))];
    if let Some(window) = window {
        let from = window.from.map(|at| format!(" from {at}")).unwrap_or_default();
        let until = window.until.map(|at| format!(" until {at}")).unwrap_or_default();
        parts.push(format!("window:{from}{until}"));
    }
    let lists = [
        ("sources", list(sources)),
        ("ecosystems", list(ecosystems)),
        ("products", list(products)),
        ("sbomSubjects", list(sbom_subjects)),
        ("include", list(include.iter().map(|pattern| &pattern.0))),
        ("exclude", list(exclude.iter().map(|pattern| &pattern.0))),
    ];
    parts.extend(lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(name, list)| format!("{name}: {list}")));
    parts.join("; ")
}

fn list<T: Display>(entries: impl IntoIterator<Item = T>) -> String {
    let entries: Vec<String> = entries.into_iter().map(|entry| entry.to_string()).collect();
    let named = entries.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match entries.len().checked_sub(NAMED) {
        Some(more @ 1..) => format!("{named} and {more} more"),
        _ => named,
    }
}
