//! Stages that write true result records of a run of seven records in two parts.

use std::collections::BTreeMap;

use export_blobs::Workspace;
use export_contract::message::{
    AdapterRef, Artefact, Distribution, InputRange, ManifestWritten, Part, PartAdapted, PartsResolved,
    PolicySnapshotRef, RunAdapted, RunAdmitted, RunDistributed, RunPlanned, RunSigned,
};
use export_contract::profile::DistributionKind;
use export_contract::refresh::{PreviousRun, Refresh};
use export_contract::run::{Phase, RunRef};
use export_contract::{Digest, PartIndex, RecordKey, RecordKind, Sequence, Version};
use export_pipeline::{Done, RunQueue};

use super::desk::Desk;

/// What a stage does: in pipeline order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    Plan,
    Resolve,
    Part(u32),
    Assemble,
    Manifest,
    Sign,
    Distribute,
}

impl Work {
    pub(crate) const ALL: [Self; 8] = [
        Self::Plan,
        Self::Resolve,
        Self::Part(1),
        Self::Part(0),
        Self::Assemble,
        Self::Manifest,
        Self::Sign,
        Self::Distribute,
    ];
}

pub(crate) fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

fn artefact(byte: u8) -> Artefact {
    Artefact { digest: digest(byte), bytes: u64::from(byte) * 100 }
}

fn key(subject: &str) -> RecordKey {
    RecordKey { subject: subject.to_owned(), document_id: format!("osv/{subject}"), source: "osv".to_owned() }
}

impl Desk {
    /// Does a step as a worker would: the result record, and then, where the worker lives that long, the event.
    pub(crate) async fn work(&self, run: &RunRef, work: Work, publish: bool) {
        let workspace = Workspace::new(self.staging.clone(), run.clone());
        match work {
            Work::Plan => self.finish(&workspace, Phase::Plan, None, &planned(&workspace).await, publish).await,
            Work::Resolve => {
                let resolved = resolved(&workspace).await;
                self.finish(&workspace, Phase::Resolve, None, &resolved, publish).await;
            }
            Work::Part(part) => {
                let part = PartIndex(part);
                self.finish(&workspace, Phase::Adapt, Some(part), &adapted(part), publish).await;
            }
            Work::Assemble => {
                let plan = planned(&workspace).await;
                let assembled = RunAdapted { v: Version, plan, files: Vec::new(), sources: Vec::new(), target: None };
                self.finish(&workspace, Phase::Adapt, None, &assembled, publish).await;
            }
            Work::Manifest => {
                let manifest = manifest(planned(&workspace).await);
                self.finish(&workspace, Phase::Manifest, None, &manifest, publish).await;
            }
            Work::Sign => {
                let signed = signed(planned(&workspace).await);
                self.finish(&workspace, Phase::Sign, None, &signed, publish).await;
            }
            Work::Distribute => {
                let signed = signed(planned(&workspace).await);
                let distributed = RunDistributed { v: Version, signed, distributions: vec![distribution()] };
                self.finish(&workspace, Phase::Distribute, None, &distributed, publish).await;
            }
        }
    }

    async fn finish<T: Done>(
        &self,
        workspace: &Workspace,
        phase: Phase,
        part: Option<PartIndex>,
        output: &T,
        publish: bool,
    ) {
        let result = workspace.put_result(phase, part, output).await.unwrap();
        if publish {
            let parts = output.fan_out().or(part.map(|_| 2));
            self.log.done(workspace.run(), phase, part, parts, &result, output.summary()).await.unwrap();
        }
    }
}

/// The admission that plan would read.
pub(crate) async fn admission(workspace: &Workspace) -> RunAdmitted {
    let bytes = workspace.store().get(&workspace.admission_key(), 1 << 20).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

async fn planned(workspace: &Workspace) -> RunPlanned {
    let RunAdmitted { run, profile, selectors, request, previous, .. } = admission(workspace).await;
    RunPlanned {
        v: Version,
        run,
        profile,
        config_digest: digest(1),
        selectors,
        watermark: Sequence(12),
        as_of: Some(request.at),
        sources: Vec::new(),
        tenants: Vec::new(),
        policy_snapshot: Some(PolicySnapshotRef::new("snapshot-1".to_owned(), digest(2))),
        base: None,
        adapter: AdapterRef { name: "json:raw".to_owned(), version: "1".to_owned() },
        // Nothing ever changes here.
        refresh: previous.map(|PreviousRun { run, bundle, .. }| Refresh {
            run,
            checked_at: request.admitted_at,
            fresh_until: request.admitted_at.plus_seconds(3_600),
            export_json: artefact(4),
            bundle: Artefact { digest: bundle, bytes: 500 },
            rerun_hash: digest(6),
            records: 7,
            sources: Vec::new(),
            key_id: "key-1".to_owned(),
            sidecars: BTreeMap::new(),
            expires_at: None,
        }),
        request,
    }
}

async fn resolved(workspace: &Workspace) -> PartsResolved {
    let part = |index: u32, records: u64| Part {
        tenant: None,
        index: PartIndex(index),
        kind: RecordKind::Advisory,
        first: key("CVE-1"),
        last: key("CVE-9"),
        records,
    };
    let plan = planned(workspace).await;
    let parts = if plan.refresh.is_some() { Vec::new() } else { vec![part(0, 3), part(1, 4)] };
    PartsResolved { v: Version, plan, parts }
}

fn adapted(part: PartIndex) -> PartAdapted {
    let records = 3 + u64::from(part.0);
    let input = InputRange {
        kind: RecordKind::Advisory,
        source: "osv".to_owned(),
        part,
        cursor: key("CVE-9"),
        count: records,
        hash: digest(3),
    };
    PartAdapted {
        v: Version,
        part,
        kind: RecordKind::Advisory,
        records,
        plain_bytes: records * 10,
        segments: Vec::new(),
        inputs: vec![input],
        documents: Vec::new(),
    }
}

fn manifest(plan: RunPlanned) -> ManifestWritten {
    ManifestWritten {
        v: Version,
        plan,
        export_json: artefact(4),
        bundle: artefact(5),
        rerun_hash: digest(6),
        records: 7,
        sources: Vec::new(),
        target: None,
        encryption: None,
    }
}

fn signed(plan: RunPlanned) -> RunSigned {
    RunSigned {
        v: Version,
        manifest: manifest(plan),
        key_id: "key-1".to_owned(),
        sidecars: BTreeMap::from([("export.json.sig".to_owned(), artefact(7))]),
    }
}

pub(crate) fn distribution() -> Distribution {
    Distribution {
        kind: DistributionKind::Http,
        location: "/download".to_owned(),
        sha256: digest(5),
        size_bytes: 500,
        expires_at: None,
        tags: Vec::new(),
        locked_until: None,
        pruned_at: None,
    }
}
