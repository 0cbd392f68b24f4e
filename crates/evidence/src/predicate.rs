//! The meaning of selectors, in one place. The compilers to SQL and to MongoDB filters are held equal to
//! [`selects`] by a property test.

use export_contract::selectors::Selectors;
use export_contract::{RecordKey, RecordKind, Timestamp};

/// What selectors look at.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Kind of the record.
    pub kind: RecordKind,
    /// Its key.
    pub key: &'a RecordKey,
    /// Its ecosystems, lower case.
    pub ecosystems: &'a [String],
    /// Its purls.
    pub purls: &'a [String],
    /// When it was observed.
    pub observed_at: Timestamp,
}

/// Whether `selectors` choose the record. Every non-empty set restricts; `exclude` wins over all.
pub fn selects(selectors: &Selectors, record: Subject<'_>) -> bool {
    let named = |patterns: &std::collections::BTreeSet<export_contract::selectors::Pattern>| {
        patterns.iter().any(|p| p.matches(&record.key.subject) || p.matches(&record.key.document_id))
    };
    let in_window = selectors.window.is_none_or(|window| {
        window.from.is_none_or(|from| record.observed_at >= from)
            && window.until.is_none_or(|until| record.observed_at < until)
    });
    in_window
        && (selectors.kinds.is_empty() || selectors.kinds.contains(&record.kind))
        && (selectors.sources.is_empty() || selectors.sources.contains(&record.key.source))
        && (selectors.ecosystems.is_empty() || record.ecosystems.iter().any(|e| selectors.ecosystems.contains(e)))
        && (selectors.products.is_empty()
            || record.purls.iter().any(|purl| selectors.products.iter().any(|prefix| purl.starts_with(prefix))))
        && (record.kind != RecordKind::Sbom
            || selectors.sbom_subjects.is_empty()
            || selectors.sbom_subjects.contains(&record.key.subject))
        && (selectors.include.is_empty() || named(&selectors.include))
        && !named(&selectors.exclude)
}
