//! What an import did, by kind and source.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

use serde::Serialize;

use super::refusal::{Refusal, RefusalCode};
use crate::{PutRecord, Watermark};

/// Refusals kept in the summary itself; the reject file has them all.
pub(crate) const SAMPLE_OF_REFUSALS: usize = 10;

/// What a row of the summary counts. The order is that of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Evidence: advisories.
    Advisory,
    /// Evidence: exploitability statements.
    Vex,
    /// Evidence: bills of materials.
    Sbom,
    /// Catalogues such as KEV.
    Enrichment,
    /// Policy snapshots and findings.
    Policy,
    /// Files and documents that turned out to be none of these.
    Unknown,
}

impl Class {
    /// The word in table and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Advisory => "advisory",
            Self::Vex => "vex",
            Self::Sbom => "sbom",
            Self::Enrichment => "enrichment",
            Self::Policy => "policy",
            Self::Unknown => "unknown",
        }
    }
}

impl From<export_contract::RecordKind> for Class {
    fn from(kind: export_contract::RecordKind) -> Self {
        match kind {
            export_contract::RecordKind::Advisory => Self::Advisory,
            export_contract::RecordKind::Vex => Self::Vex,
            export_contract::RecordKind::Sbom => Self::Sbom,
        }
    }
}

/// Counts of documents. `read` is the sum of the next four; `skipped` counts files that are no evidence by
/// their name, and documents of a peer that a later revision supersedes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Documents found.
    pub read: u64,
    /// New ones.
    pub added: u64,
    /// Ones that superseded what was there.
    pub changed: u64,
    /// Ones that were there already.
    pub unchanged: u64,
    /// Ones not taken; each is in the reject file.
    pub refused: u64,
    /// Files passed over by name, and superseded documents of a peer.
    pub skipped: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.added += other.added;
        self.changed += other.changed;
        self.unchanged += other.unchanged;
        self.refused += other.refused;
        self.skipped += other.skipped;
    }
}

/// One row: a kind and source with its counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SummaryRow {
    /// What was counted.
    pub kind: Class,
    /// Publisher or pack.
    pub source: String,
    /// How many.
    #[serde(flatten)]
    pub counts: Counts,
}

/// What an import did.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportSummary {
    /// Rows by kind and source, sorted.
    pub rows: Vec<SummaryRow>,
    /// Sums over all rows.
    pub total: Counts,
    /// Refusals by reason.
    pub refused_by_code: BTreeMap<RefusalCode, u64>,
    /// The first few refusals.
    pub refusals: Vec<Refusal>,
    /// The ledger position after the import.
    pub watermark: u64,
}

impl ImportSummary {
    /// Sums over the rows of one kind.
    pub fn of(&self, kind: Class) -> Counts {
        let mut sum = Counts::default();
        for row in self.rows.iter().filter(|row| row.kind == kind) {
            sum += row.counts;
        }
        sum
    }
}

impl fmt::Display for ImportSummary {
    /// A table for people (files passed over stand in its last line only), then the reasons of refusals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .rows
            .iter()
            .filter(|row| row.counts.read > 0)
            .map(|row| row.source.chars().count())
            .max()
            .unwrap_or(0)
            .max("source".len());
        writeln!(
            f,
            "{:<10}  {:<width$}  {:>8}  {:>8}  {:>8}  {:>9}  {:>7}  {:>7}",
            "kind", "source", "read", "added", "changed", "unchanged", "refused", "skipped"
        )?;
        let total = SummaryRow { kind: Class::Unknown, source: String::new(), counts: self.total };
        let read = self.rows.iter().filter(|row| row.counts.read > 0);
        for (row, kind) in read.map(|row| (row, row.kind.as_str())).chain([(&total, "total")]) {
            let c = row.counts;
            writeln!(
                f,
                "{kind:<10}  {:<width$}  {:>8}  {:>8}  {:>8}  {:>9}  {:>7}  {:>7}",
                row.source, c.read, c.added, c.changed, c.unchanged, c.refused, c.skipped
            )?;
        }
        for (code, count) in &self.refused_by_code {
            writeln!(f, "refused, {code}: {count}")?;
        }
        for refusal in &self.refusals {
            writeln!(f, "  {}: {}", refusal.position, refusal.reason)?;
        }
        let named: u64 = self.refusals.len() as u64;
        if self.total.refused > named {
            writeln!(f, "  and {} more, all in the reject file", self.total.refused - named)?;
        }
        Ok(())
    }
}

/// Counts while the import runs.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    rows: BTreeMap<(Class, String), Counts>,
    refused_by_code: BTreeMap<RefusalCode, u64>,
    refusals: Vec<Refusal>,
}

impl Tally {
    fn row(&mut self, kind: Class, source: &str) -> &mut Counts {
        self.rows.entry((kind, source.to_owned())).or_default()
    }

    pub(crate) fn put(&mut self, kind: Class, source: &str, put: PutRecord) {
        let row = self.row(kind, source);
        row.read += 1;
        match put {
            PutRecord::Added => row.added += 1,
            PutRecord::Changed => row.changed += 1,
            PutRecord::Unchanged => row.unchanged += 1,
        }
    }

    pub(crate) fn refused(&mut self, kind: Class, refusal: &Refusal) {
        let row = self.row(kind, &refusal.source);
        row.read += 1;
        row.refused += 1;
        *self.refused_by_code.entry(refusal.code).or_default() += 1;
        if self.refusals.len() < SAMPLE_OF_REFUSALS {
            self.refusals.push(refusal.clone());
        }
    }

    pub(crate) fn skipped(&mut self, kind: Class, source: &str, count: u64) {
        self.row(kind, source).skipped += count;
    }

    pub(crate) fn finish(self, watermark: Watermark) -> ImportSummary {
        let rows: Vec<SummaryRow> =
            self.rows.into_iter().map(|((kind, source), counts)| SummaryRow { kind, source, counts }).collect();
        let mut total = Counts::default();
        for row in &rows {
            total += row.counts;
        }
        ImportSummary {
            rows,
            total,
            refused_by_code: self.refused_by_code,
            refusals: self.refusals,
            watermark: watermark.sequence.0,
        }
    }
}
