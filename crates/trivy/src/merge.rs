//! From sorted rows to the entries of the database.
//!
//! Rows with the same bucket, package and id become one entry: its ranges are the union of theirs, in the order of their origins.
//! It stands in the bucket of the data source that comes first in [`group::SOURCES`], so no id stands in two buckets of one
//! ecosystem, of which Trivy would take the last. Memory holds the fragments of one entry, which have bounds.

mod group;

use std::collections::{BTreeMap, BTreeSet};

use group::Group;

use crate::ecosystem::{data_source, scheme};
use crate::entry::{DataSource, Fragment};
use crate::report::{Example, Report, Summary};
use crate::row::{BadRow, Key, Row, Table};

/// The bucket of vulnerabilities. It must be there even when it is empty: Trivy crashes without it.
pub const VULNERABILITY: &str = "vulnerability";
const DATA_SOURCE: &str = "data-source";

/// An entry of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Root bucket.
    pub bucket: String,
    /// Bucket inside it; empty where it has none.
    pub package: String,
    /// Key.
    pub id: String,
    /// JSON.
    pub value: Vec<u8>,
}

/// Merges rows that come in the order of their keys. Entries of one bucket come in order; those of several may alternate.
#[derive(Debug, Default)]
pub struct Merger {
    rejected: BTreeSet<String>,
    open: Option<(Key, Group)>,
    sources: BTreeMap<String, (String, String)>,
    last_package: Option<(String, String)>,
    /// How advisories write the name of that package.
    names: BTreeSet<String>,
    report: Report,
    summary: Summary,
}

impl Merger {
    /// Takes the next row and gives an entry once that is complete.
    ///
    /// # Errors
    /// [`BadRow`] where the row is not one of ours.
    pub fn push(&mut self, row: Row) -> Result<Option<Entry>, BadRow> {
        let Row { key, value } = row;
        match key.table {
            Table::Rejected => {
                self.rejected.insert(key.id);
                Ok(None)
            }
            Table::Report => {
                let done = self.close();
                let example: Example = serde_json::from_slice(&value).map_err(|_| BadRow::Value)?;
                self.report.take(&key.bucket, example);
                Ok(done)
            }
            Table::Database => {
                let fragment: Fragment = serde_json::from_slice(&value).map_err(|_| BadRow::Value)?;
                let same = |open: &Key| (&open.bucket, &open.package, &open.id) == (&key.bucket, &key.package, &key.id);
                let done = if self.open.as_ref().is_some_and(|(open, _)| same(open)) { None } else { self.close() };
                self.open.get_or_insert_with(|| (key, Group::default())).1.take(fragment);
                Ok(done)
            }
        }
    }

    /// Gives the last entry, those of the `data-source` bucket, and what was counted.
    pub fn finish(mut self) -> (Vec<Entry>, Report, Summary) {
        let mut rest: Vec<Entry> = self.close().into_iter().collect();
        self.end_package();
        for (bucket, (id, github)) in &self.sources {
            let (name, url) = data_source(id, github);
            let source = DataSource { id, name: &name, url: &url };
            let value = serde_json::to_vec(&source).unwrap_or_default();
            rest.push(Entry { bucket: DATA_SOURCE.to_owned(), package: String::new(), id: bucket.clone(), value });
        }
        (rest, self.report, self.summary)
    }

    fn end_package(&mut self) {
        if self.names.len() > 1 {
            self.report.merged_names += 1;
        }
        self.names.clear();
    }

    fn close(&mut self) -> Option<Entry> {
        let (Key { bucket, package, id, .. }, group) = self.open.take()?;
        if self.rejected.contains(&id) {
            let ecosystem = if bucket == VULNERABILITY { String::new() } else { bucket };
            self.report.take("rejected by its authority", Example { id, ecosystem, package, detail: String::new() });
            return None;
        }
        if group.left_out > 0 {
            let detail = format!("{} left out", group.left_out);
            let example = Example { id: id.clone(), ecosystem: bucket.clone(), package: package.clone(), detail };
            self.report.take("more versions, names or addresses than an entry may have", example);
        }
        if bucket == VULNERABILITY {
            let vulnerability = group.vulnerability();
            *self.summary.severities.entry(vulnerability.severity).or_default() += 1;
            let value = serde_json::to_vec(&vulnerability).ok()?;
            *self.report.entries.entry(bucket.clone()).or_default() += 1;
            return Some(Entry { bucket, package, id, value });
        }
        // Packages of an ecosystem come in order, whichever of its buckets their entries go to.
        let new_package = self.last_package.as_ref() != Some(&(bucket.clone(), package.clone()));
        if new_package {
            self.end_package();
        }
        self.names.extend(group.names.iter().take(2).cloned());
        if group.sources.len() > 1 {
            self.report.merged_sources += 1;
        }
        self.summary.take(&bucket, new_package, group.severity());
        if new_package {
            self.last_package = Some((bucket.clone(), package.clone()));
        }
        let source = group.source().to_owned();
        let github = group.github.clone();
        let scheme = scheme(&bucket);
        let bucket = if github.is_empty() { bucket } else { format!("{bucket}::{}", data_source(&source, &github).0) };
        let value = serde_json::to_vec(&group.advisory(scheme)).ok()?;
        *self.report.entries.entry(bucket.clone()).or_default() += 1;
        self.sources.entry(bucket.clone()).or_insert((source, github));
        Some(Entry { bucket, package, id, value })
    }
}

#[cfg(test)]
mod tests;
