//! A finding as a line of an export, and the digest of all lines of a snapshot.

use std::collections::BTreeMap;

use export_canon::digesting::Digester;
use export_contract::message::FindingsRef;
use export_contract::{Digest, TenantId};
use futures::TryStreamExt as _;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{FindingKey, PolicyError, PolicyFinding, PolicySource};

/// Statuses or severities that are counted by name. An engine has five or so; more come from one that is broken.
const NAMES: usize = 64;

/// What is counted where there are more names than [`NAMES`].
const OTHER: &str = "(other)";

/// A line. Members are in canonical order; what the engine does not give is left out. It does not name its snapshot, which stands beside
/// it: a verdict that stays from one snapshot to the next is the same line, and no delta has it again.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    advisory: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    finding_id: &'a str,
    raw: &'a RawValue,
    #[serde(skip_serializing_if = "str::is_empty")]
    severity: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    status: &'a str,
    subject: &'a str,
    tenant: &'a TenantId,
}

/// Findings counted by status and by severity. What has none is not in the count of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Findings.
    pub count: u64,
    /// By verdict.
    pub by_status: BTreeMap<String, u64>,
    /// By severity.
    pub by_severity: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts one in.
    pub fn take(&mut self, finding: &PolicyFinding) {
        self.count += 1;
        count(&mut self.by_status, &finding.status);
        count(&mut self.by_severity, &finding.severity);
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    if name.is_empty() {
        return;
    }
    if let Some(count) = counts.get_mut(name) {
        *count += 1;
    } else {
        let name = if counts.len() < NAMES { name } else { OTHER };
        *counts.entry(name.to_owned()).or_default() += 1;
    }
}

/// All findings of a snapshot, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// How many, and the digest of their lines.
    pub reference: FindingsRef,
    /// By status and severity.
    pub tally: Tally,
}

/// Makes the lines of a snapshot's findings, which come in key order, and the digest of all of them.
#[derive(Debug)]
pub struct FindingsDigester {
    tenant: TenantId,
    act: String,
    snapshot_id: String,
    digester: Digester,
    tally: Tally,
    last: Option<FindingKey>,
    line: Vec<u8>,
}

impl FindingsDigester {
    /// For the findings of one snapshot of a tenant.
    pub fn new(tenant: TenantId, snapshot_id: &str) -> Self {
        Self {
            tenant,
            act: format!("read the findings of policy snapshot `{snapshot_id}`"),
            snapshot_id: snapshot_id.to_owned(),
            digester: Digester::new(),
            tally: Tally::default(),
            last: None,
            line: Vec::new(),
        }
    }

    /// Takes the next finding and gives its line, line feed included.
    ///
    /// # Errors
    /// [`PolicyError::Refused`] when its key does not rise, it is of another snapshot, or its text is not one line of JSON.
    pub fn take(&mut self, finding: &PolicyFinding) -> Result<&[u8], PolicyError> {
        let FindingKey { subject, advisory, finding_id } = &finding.key;
        let refused = |cause: String| PolicyError::refused(self.act.clone(), cause);
        if finding.snapshot_id != self.snapshot_id {
            return Err(refused(format!("a finding of `{subject}` is of snapshot `{}`", finding.snapshot_id)));
        }
        if self.last.as_ref().is_some_and(|last| *last >= finding.key) {
            return Err(refused(format!(
                "the finding `{finding_id}` of `{subject}` and `{advisory}` is out of order: findings rise by subject, \
                 advisory and finding id, and no two have the same"
            )));
        }
        self.line.clear();
        let raw: &RawValue = serde_json::from_slice(&finding.raw)
            .map_err(|cause| PolicyError::refused(format!("{}: `{finding_id}` of `{subject}`", self.act), cause))?;
        let line = Line {
            advisory,
            finding_id,
            raw,
            severity: &finding.severity,
            status: &finding.status,
            subject,
            tenant: &self.tenant,
        };
        serde_json::to_writer(&mut self.line, &line).map_err(|cause| PolicyError::refused(self.act.clone(), cause))?;
        if self.line.contains(&b'\n') {
            return Err(refused(format!("the finding `{finding_id}` of `{subject}` is not one line")));
        }
        self.line.push(b'\n');
        self.digester.update(&self.line);
        self.tally.take(finding);
        self.last = Some(finding.key.clone());
        Ok(&self.line)
    }

    /// Findings taken so far, and bytes of their lines.
    pub fn progress(&self) -> (u64, u64) {
        (self.tally.count, self.digester.bytes())
    }

    /// What was taken.
    pub fn finish(self) -> Findings {
        let digest = Digest::from_bytes(*self.digester.finish().sha256.as_bytes());
        Findings { reference: FindingsRef { count: self.tally.count, digest }, tally: self.tally }
    }
}

impl Findings {
    /// Reads all findings of a snapshot once, in bounded memory. `told` hears how many findings and bytes have passed.
    ///
    /// # Errors
    /// Those of the source.
    pub async fn read(
        source: &dyn PolicySource,
        tenant: &TenantId,
        snapshot_id: &str,
        told: impl Fn(u64, u64) + Send,
    ) -> Result<Self, PolicyError> {
        let mut digester = FindingsDigester::new(tenant.clone(), snapshot_id);
        let mut batches = source.findings(tenant, snapshot_id).await?;
        while let Some(batch) = batches.try_next().await? {
            for finding in &batch {
                digester.take(finding)?;
            }
            let (findings, bytes) = digester.progress();
            told(findings, bytes);
            // Digesting a batch takes milliseconds: others may have the thread in between.
            tokio::task::yield_now().await;
        }
        Ok(digester.finish())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use export_canon::digesting::sha256;

    use super::{FindingsDigester, Tally};
    use crate::policy::{FindingKey, PolicyFinding};

    fn finding(subject: &str, severity: &str, raw: &'static str) -> PolicyFinding {
        PolicyFinding {
            snapshot_id: "s".into(),
            key: FindingKey { subject: subject.into(), advisory: "CVE-1".into(), finding_id: String::new() },
            status: "warned".into(),
            severity: severity.into(),
            raw: Bytes::from_static(raw.as_bytes()),
        }
    }

    #[test]
    fn a_line_keeps_every_literal_and_the_digest_is_that_of_the_lines() {
        let mut digester = FindingsDigester::new("acme".parse().unwrap(), "s");
        let first = digester.take(&finding("pkg:a", "high", r#"{"score":1.0,"x":1e3}"#)).unwrap().to_vec();
        assert_eq!(
            String::from_utf8(first.clone()).unwrap(),
            "{\"advisory\":\"CVE-1\",\"raw\":{\"score\":1.0,\"x\":1e3},\"severity\":\"high\",\
             \"status\":\"warned\",\"subject\":\"pkg:a\",\"tenant\":\"acme\"}\n"
        );
        let second = digester.take(&finding("pkg:b", "", "{}")).unwrap().to_vec();
        let findings = digester.finish();
        assert_eq!(findings.reference.count, 2);
        assert_eq!(findings.reference.digest.hex(), sha256(&[first, second].concat()).hex());
        assert_eq!(findings.tally.by_severity.into_iter().collect::<Vec<_>>(), [("high".to_owned(), 1)]);
        assert_eq!(findings.tally.by_status["warned"], 2);
    }

    #[test]
    fn what_is_out_of_order_doubled_or_of_another_snapshot_is_refused() {
        let mut digester = FindingsDigester::new("acme".parse().unwrap(), "s");
        digester.take(&finding("pkg:b", "", "{}")).unwrap();
        for bad in [
            finding("pkg:a", "", "{}"),
            finding("pkg:b", "", "{}"),
            PolicyFinding { snapshot_id: "t".into(), ..finding("pkg:c", "", "{}") },
            finding("pkg:c", "", "{"),
            finding("pkg:c", "", "{\n}"),
        ] {
            assert!(!digester.take(&bad).unwrap_err().is_transient(), "{bad:?}");
        }
        digester.take(&finding("pkg:c", "", "{}")).unwrap();
        assert_eq!(digester.finish().reference.count, 2);
    }

    #[test]
    fn an_engine_with_a_new_status_for_each_finding_takes_no_memory() {
        let mut tally = Tally::default();
        for number in 0..1_000 {
            tally.take(&PolicyFinding { status: format!("s{number}"), ..finding("pkg:a", "high", "{}") });
        }
        assert_eq!((tally.by_status.len(), tally.by_status["(other)"]), (65, 936));
    }
}
