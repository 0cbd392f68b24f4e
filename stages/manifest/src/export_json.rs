//! `export.json`.

use std::collections::BTreeMap;

use export_canon::digesting::sha256;
use export_contract::encryption::{EncryptionScope, ManifestEncryption};
use export_contract::manifest::{
    ExportManifest, ManifestCompression, ManifestContent, ManifestDelta, ManifestProfile, ManifestSource, SCHEMA,
    SourceState, VERSION,
};
use export_contract::message::{
    AdapterRef, Artefact, BundleFile, Difference, RunAdapted, RunPlanned, SourceRead, Target,
};
use export_contract::profile::Profile;
use export_contract::{Digest, RecordKind, TenantId};

/// The manifest of what adapt wrote: of the bundle as it is shipped, and of a mirror that ships whole.
pub fn export_json(adapted: &RunAdapted) -> ExportManifest {
    let RunAdapted { plan, files, sources, .. } = adapted;
    manifest(plan, &plan.profile, &plan.config_digest, plan.adapter.clone(), files, sources)
}

/// The manifest of the mirror that a delta leads to, as a full mirror of the base's profile would have it.
pub fn target_json(plan: &RunPlanned, target: &Target, sources: &[SourceRead]) -> ExportManifest {
    let (profile, config_digest) = plan.mirror_profile();
    let adapter = AdapterRef { name: profile.kind.to_string(), ..plan.adapter.clone() };
    manifest(plan, &profile, &config_digest, adapter, &target.files, sources)
}

/// The manifest of a delta, whose target's `export.json` is `target_json`.
pub fn delta_json(adapted: &RunAdapted, target: &Target, target_json: &Artefact) -> ExportManifest {
    let base = adapted.plan.base.as_ref().map(|base| &base.manifest_digest);
    let Difference { added, changed, removed, tombstones, .. } = target.difference.clone();
    let delta = ManifestDelta {
        base_export_id: base.map(|digest| digest.hex().to_owned()).unwrap_or_default(),
        base_manifest_digest: base.cloned(),
        target_manifest_digest: target_json.digest.clone(),
        reset_baseline: base.is_none(),
        added,
        changed,
        removed,
        tombstones,
    };
    ExportManifest { delta: Some(delta), ..export_json(adapted) }
}

fn manifest(
    plan: &RunPlanned,
    profile: &Profile,
    config_digest: &Digest,
    adapter: AdapterRef,
    files: &[BundleFile],
    sources: &[SourceRead],
) -> ExportManifest {
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
            config_digest: config_digest.clone(),
        },
        selectors: plan.selectors.clone(),
        as_of: plan.as_of,
        // Counted from the newest observation and not from now: the same inputs make the same bytes on every day.
        fresh_until: plan.as_of.and_then(|as_of| profile.config.fresh_until(as_of)),
        sources: states(plan, sources),
        policy_snapshot: plan.policy_snapshot.clone(),
        adapter,
        compression: ManifestCompression {
            codec: "zstd".to_owned(),
            level: profile.config.compression.level,
            frames: profile.config.compression.frames,
        },
        encryption: profile.config.encryption.as_ref().map(|wanted| ManifestEncryption {
            mode: wanted.mode,
            scope: wanted.scope.unwrap_or_else(|| EncryptionScope::of(profile.kind)),
        }),
        delta: None,
        rerun_hash: rerun_hash(&contents),
        contents,
        distribution: profile.config.distribution.iter().copied().collect(),
    }
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
    let mut records: BTreeMap<(Option<&TenantId>, RecordKind, &str), u64> = BTreeMap::new();
    let own = plan.sources.iter().map(|source| (None, source));
    let others =
        plan.tenants.iter().flat_map(|read| read.sources.iter().map(move |source| (Some(&read.tenant), source)));
    for (tenant, source) in own.chain(others) {
        records.insert((tenant, source.kind, &source.name), 0);
    }
    for source in read {
        *records.entry((source.tenant.as_ref(), source.kind, &source.name)).or_default() += source.records;
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
        .map(|((tenant, kind, name), records)| ManifestSource {
            tenant: tenant.cloned(),
            name: name.to_owned(),
            kind,
            watermark: plan.ledger(tenant).1,
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
