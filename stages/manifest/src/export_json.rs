//! `export.json`.

use std::collections::BTreeSet;

use export_canon::digesting::sha256;
use export_contract::Digest;
use export_contract::manifest::{
    ExportManifest, ManifestCompression, ManifestContent, ManifestProfile, ManifestSource, SCHEMA, SourceState, VERSION,
};
use export_contract::message::{BundleFile, LedgerSource, RunAdapted, RunPlanned, SourceRead};

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
        fresh_until: None,
        sources: states(plan, sources),
        policy_snapshot: plan.policy_snapshot.clone(),
        adapter: plan.adapter.clone(),
        compression: ManifestCompression {
            codec: "zstd".to_owned(),
            level: profile.config.compression.level,
            frames: profile.config.compression.frames,
        },
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

/// Every source that the ledger knows, exported or not: "no data" and "no findings" must never look alike (design D11).
fn states(plan: &RunPlanned, read: &[SourceRead]) -> Vec<ManifestSource> {
    let mut known: Vec<&LedgerSource> = plan.sources.iter().collect();
    known.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    known
        .into_iter()
        .map(|source| {
            let found = read.iter().find(|read| read.kind == source.kind && read.name == source.name);
            let records = found.map_or(0, |read| read.records);
            let left_out = !plan.selectors.kinds.contains(&source.kind)
                || (!plan.selectors.sources.is_empty() && !plan.selectors.sources.contains(&source.name));
            let state = match (left_out, records) {
                (true, _) => SourceState::Excluded,
                (false, 0) => SourceState::Empty,
                (false, _) => SourceState::Complete,
            };
            ManifestSource { name: source.name.clone(), kind: source.kind, watermark: plan.watermark, records, state }
        })
        .collect()
}

/// sha256 over the sorted digests joined by newline (design section 6). Equal digests of two files count twice.
fn rerun_hash(contents: &[ManifestContent]) -> Digest {
    let mut digests: Vec<&str> = contents.iter().map(|content| content.digest.as_str()).collect();
    digests.sort_unstable();
    debug_assert!(contents.iter().map(|content| &content.path).collect::<BTreeSet<_>>().len() == contents.len());
    Digest::from_bytes(*sha256(digests.join("\n").as_bytes()).as_bytes())
}
