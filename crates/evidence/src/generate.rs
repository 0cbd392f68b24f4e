//! Synthetic evidence for demonstration and load, the same on every machine.
//!
//! Document `n` depends on the seed and on `n` alone, so a longer run begins with the documents of a shorter
//! one, and no state grows with the number of documents. Of every 20 documents 17 are advisories (`osv`), two
//! are VEX (`openvex`) and one is an SBOM (`cyclonedx`); they speak of the same packages and vulnerabilities,
//! and take some 3 KB each in the mean, as real ones do. Ids say that they are synthetic: `SYN-…`, and CVE
//! numbers of the year 2099.

mod advisory;
mod packages;
mod random;
mod sbom;
mod vex;

use std::sync::Arc;

use export_contract::{RecordKind, Timestamp};
use serde_json::Value;

use self::random::Random;
use crate::EvidenceLedger;
use crate::import::{ImportError, ImportOptions, ImportProgress, ImportSummary, import_documents};
use crate::policy::PolicyStore;

/// A synthetic document.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// What it is evidence of.
    pub kind: RecordKind,
    /// The name of its source, such as `synthetic/osv`.
    pub source: &'static str,
    /// The document.
    pub document: Value,
}

/// The first `records` documents of a seed.
pub fn documents(seed: u64, records: u64) -> impl Iterator<Item = Generated> {
    (0..records).map(move |number| document(seed, number))
}

/// Puts the first `records` documents of a seed into the ledger, as [`crate::import::import`] would. Doing it
/// again changes nothing.
///
/// # Errors As [`crate::import::import`].
pub async fn generate(
    ledger: &dyn EvidenceLedger,
    policy: &dyn PolicyStore,
    seed: u64,
    records: u64,
    options: ImportOptions,
    progress: Arc<dyn ImportProgress>,
) -> Result<ImportSummary, ImportError> {
    // A value without maps of our own making always serialises; an empty text would be refused and counted.
    let texts = documents(seed, records)
        .map(|generated| (generated.source, serde_json::to_vec(&generated.document).unwrap_or_default()));
    import_documents(ledger, policy, texts, options, progress).await
}

fn document(seed: u64, number: u64) -> Generated {
    let random = &mut Random::new(seed, number);
    match number % 20 {
        19 => Generated {
            kind: RecordKind::Sbom,
            source: "synthetic/cyclonedx",
            document: sbom::document(random, number),
        },
        9 | 17 => {
            Generated { kind: RecordKind::Vex, source: "synthetic/openvex", document: vex::document(random, number) }
        }
        _ => Generated {
            kind: RecordKind::Advisory,
            source: "synthetic/osv",
            document: advisory::document(random, number),
        },
    }
}

/// Minutes after the beginning of 2024, so that time windows have something to select.
fn time(minutes: u64) -> String {
    const START_OF_2024_SECONDS: i64 = 1_704_067_200;
    let seconds = START_OF_2024_SECONDS + i64::try_from(minutes % (2 * 365 * 24 * 60)).unwrap_or_default() * 60;
    Timestamp::from_micros(seconds * 1_000_000).map(String::from).unwrap_or_default()
}

/// The CVE number of the vulnerability that advisory `number` is about.
fn cve(number: u64) -> String {
    format!("CVE-2099-{}", 1_000_000 + number)
}

#[cfg(test)]
mod tests;
