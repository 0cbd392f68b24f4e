//! The meaning of selectors, in one place. The compilers to SQL and to MongoDB filters are held equal to
//! [`selects`] by a property test.

use export_contract::selectors::Selectors;
use export_contract::{RecordKey, RecordKind, Timestamp};

use crate::policy::PolicyFinding;

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

/// Whether `selectors` choose the finding: by its severity, and by its subject where products are asked for. A finding without
/// severity is chosen by none. The other lists speak of evidence and do not touch findings.
pub fn selects_finding(selectors: &Selectors, finding: &PolicyFinding) -> bool {
    (selectors.severities.is_empty() || selectors.severities.contains(&finding.severity))
        && (selectors.products.is_empty()
            || selectors.products.iter().any(|prefix| finding.key.subject.starts_with(prefix)))
}

#[cfg(test)]
mod tests {
    use export_contract::selectors::{Pattern, Selectors};

    use super::selects_finding;
    use crate::policy::{FindingKey, PolicyFinding};

    #[test]
    fn findings_are_chosen_by_severity_and_product_and_nothing_else() {
        let finding = PolicyFinding {
            snapshot_id: "s".to_owned(),
            key: FindingKey {
                subject: "pkg:npm/a@1".to_owned(),
                advisory: "CVE-1".to_owned(),
                finding_id: String::new(),
            },
            status: "blocked".to_owned(),
            severity: "high".to_owned(),
            raw: bytes::Bytes::from_static(b"{}"),
        };
        let set = |entries: &[&str]| entries.iter().map(|entry| (*entry).to_owned()).collect();
        let chosen = |severities: &[&str], products: &[&str]| {
            let selectors = Selectors { severities: set(severities), products: set(products), ..Selectors::default() };
            selects_finding(&selectors, &finding)
        };
        assert!(chosen(&[], &[]) && chosen(&["high", "low"], &["pkg:npm/a"]) && chosen(&[], &["pkg:go/", "pkg:npm/"]));
        assert!(!chosen(&["low"], &[]) && !chosen(&["high"], &["pkg:go/"]));
        let evidence = Selectors {
            sources: set(&["nvd"]),
            ecosystems: set(&["go"]),
            exclude: [Pattern("*".to_owned())].into(),
            ..Selectors::default()
        };
        assert!(selects_finding(&evidence, &finding));
        let without = PolicyFinding { severity: String::new(), ..finding.clone() };
        assert!(!selects_finding(&Selectors { severities: set(&["none"]), ..Selectors::default() }, &without));
    }
}
