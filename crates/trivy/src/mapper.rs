//! From a record to rows.

use crate::rows::Rows;
use crate::{cve5, node, osv, php, project_kb, row, ruby};

/// A record, borrowed from its line.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Publisher or pack.
    pub source: &'a str,
    /// Pack or source path and upstream id.
    pub document_id: &'a str,
    /// What the record speaks of.
    pub subject: &'a str,
    /// Format, as the evidence ledger names it.
    pub format: &'a str,
    /// The upstream document.
    pub raw: &'a [u8],
}

/// Maps advisories. What cannot be expressed becomes a row of the report, so that nothing is dropped in silence.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mapper;

impl Mapper {
    /// Gives the rows of `record`, which never fails: of every record there is a row, if only one of the report.
    pub fn map(&self, record: &Record<'_>, out: &mut dyn FnMut(row::Row)) {
        let mut rows = Rows::new(record, out);
        let outcome = match record.format {
            "osv" => osv::map(record, &mut rows),
            "cve5" => cve5::map(record, &mut rows),
            "ruby-advisory-db" => ruby::map(record, &mut rows),
            "friendsofphp" => php::map(record, &mut rows),
            "nodejs-security-wg" => node::map(record, &mut rows),
            "project-kb" => project_kb::map(record, &mut rows),
            other => {
                rows.report("a format that is not mapped to Trivy", record.subject, other);
                Ok(())
            }
        };
        if let Err(error) = outcome {
            rows.report("a document that is not what its format says", record.subject, &error.to_string());
        }
    }
}

#[cfg(test)]
mod tests;
