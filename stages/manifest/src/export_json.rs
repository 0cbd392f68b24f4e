//! `export.json`.

use std::collections::BTreeMap;

use export_canon::digesting::sha256;
use export_contract::encryption::{EncryptionScope, ManifestEncryption};
use export_contract::manifest::{
    ExportManifest, ManifestCompression, ManifestContent, ManifestProfile, ManifestSource, SCHEMA, SourceState, VERSION,
};
use export_contract::message::{BundleFile, RunAdapted, RunPlanned, SourceRead};
use export_contract::{Digest, RecordKind, Timestamp};

/// The manifest of what adapt wrote.
pub fn export_json(adapted: &RunAdapted) -> ExportManifest {
    let RunAdapted { plan, files, sources, .. } = adapted;
    let profile = &plan.profile;
    let mut contents: Vec<ManifestContent> = files.iter().map(content).collect();
    contents.sort_by(|a, b| a.path.cmp(&b.path));
    ExportManifest {
        schema: SCHEMA.to_owned(),
        version: VERSION.to_owned(),
        tenant: plan.run.tenant.clone(),
        profile: ManifestProfile {
            kind: profile.kind.family().to_owned(),
            variant: profile.kind.variant().to_owned(),
            name: profile.name.clone(),
            revision: format!("r{}", profile.revision),
            config_digest: plan.config_digest.clone(),
        },
        selectors: plan.selectors.clone(),
        as_of: plan.as_of,
        fresh_until: fresh_until(plan),
        sources: states(plan, sources),
        policy_snapshot: plan.policy_snapshot.clone(),
        adapter: plan.adapter.clone(),
        compression: ManifestCompression {
            codec: "zstd".to_owned(),
            level: profile.config.compression.level,
            frames: profile.config.compression.frames,
        },
        encryption: profile.config.encryption.as_ref().map(|wanted| ManifestEncryption {
            mode: wanted.mode,
            scope: wanted.scope.unwrap_or_else(|| EncryptionScope::of(profile.kind)),
        }),
        rerun_hash: rerun_hash(&contents),
        contents,
        distribution: profile.config.distribution.iter().copied().collect(),
    }
}

/// Counted from the newest observation and not from now: the same inputs make the same bytes on every day. Behind the last time that
/// can be written there is none.
fn fresh_until(plan: &RunPlanned) -> Option<Timestamp> {
    let (as_of, hours) = plan.as_of.zip(plan.profile.config.fresh_for_hours)?;
    let until = as_of.as_micros().checked_add(i64::from(hours) * 3_600_000_000)?;
    Timestamp::from_micros(until).ok()
}

fn content(file: &BundleFile) -> ManifestContent {
    ManifestContent {
        path: file.path.clone(),
        digest: file.artefact.digest.clone(),
        bytes: file.artefact.bytes,
        content_type: file.content_type.clone(),
        records: file.records,
        plain_bytes: file.plain_bytes,
        frames: file.frames,
    }
}

/// Every source that the ledger knows, exported or not: "no data" and "no findings" must never look alike (design D11). A source that
/// was read is named even if the plan did not know it.
fn states(plan: &RunPlanned, read: &[SourceRead]) -> Vec<ManifestSource> {
    let mut records: BTreeMap<(RecordKind, &str), u64> =
        plan.sources.iter().map(|source| ((source.kind, source.name.as_str()), 0)).collect();
    for source in read {
        *records.entry((source.kind, &source.name)).or_default() += source.records;
    }
    let selectors = &plan.selectors;
    let left_out = |kind, name| {
        !selectors.kinds.contains(&kind) || (!selectors.sources.is_empty() && !selectors.sources.contains(name))
    };
    let state = |kind, name, records| match records {
        0 if left_out(kind, name) => SourceState::Excluded,
        0 => SourceState::Empty,
        _ => SourceState::Complete,
    };
    records
        .into_iter()
        .map(|((kind, name), records)| ManifestSource {
            name: name.to_owned(),
            kind,
            watermark: plan.watermark,
            records,
            state: state(kind, name, records),
        })
        .collect()
}

/// sha256 over the sorted digests joined by newline (design section 6). Equal digests of two files count twice.
fn rerun_hash(contents: &[ManifestContent]) -> Digest {
    let mut digests: Vec<&str> = contents.iter().map(|content| content.digest.as_str()).collect();
    digests.sort_unstable();
    Digest::from_bytes(*sha256(digests.join("\n").as_bytes()).as_bytes())
}
