//! The stage.

use std::sync::Arc;

use bytes::Bytes;
use export_canon::jcs;
use export_contract::Version;
use export_contract::encryption::ManifestEncryption;
use export_contract::manifest::{ExportManifest, PATH, TARGET_PATH};
use export_contract::message::{Artefact, BundleFile, ManifestWritten, RunAdapted, RunPlanned};
use export_contract::run::Phase;
use export_pipeline::{Stage, StageContext};
use export_sealing::{Context, Prepared, Sealing};

use crate::archive::{self, Member};
use crate::error::ManifestError;
use crate::export_json::{delta_json, export_json, target_json};

/// Writes manifests and bundles.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    sealing: Arc<Sealing>,
    rebuilds: bool,
}

impl Manifest {
    /// A stage that encrypts with what `sealing` reaches, where a profile asks for it.
    pub fn new(sealing: Sealing) -> Self {
        Self { sealing: Arc::new(sealing), rebuilds: false }
    }

    /// A stage that makes bundles again to compare their contents, in a workspace that nobody else sees: `export.json` says of encryption
    /// what the profile asks for, and nothing is encrypted, because a second encryption is another one anyway (design D7).
    pub fn rebuilding() -> Self {
        Self { sealing: Arc::default(), rebuilds: true }
    }

    /// The key of a run that wants one. It lives as long as this delivery: a redelivery makes another, and which of the two bundles
    /// counts is decided by the first result record.
    async fn sealing(
        &self,
        plan: &RunPlanned,
        how: Option<ManifestEncryption>,
    ) -> Result<Option<Prepared>, ManifestError> {
        let wanted = plan.profile.config.encryption.as_ref().filter(|_| !self.rebuilds);
        let Some((wanted, how)) = wanted.zip(how) else { return Ok(None) };
        let context = Context { tenant: plan.run.tenant.to_string(), run: plan.run.run.to_string() };
        self.sealing.begin(wanted, how.scope, &context).await.map(Some).map_err(ManifestError::Sealing)
    }
}

impl Stage for Manifest {
    const PHASE: Phase = Phase::Manifest;
    type Input = RunAdapted;
    type Output = ManifestWritten;
    type Error = ManifestError;

    async fn handle(&self, mut adapted: RunAdapted, cx: &StageContext) -> Result<ManifestWritten, ManifestError> {
        if let Some(refresh) = adapted.plan.refresh.clone() {
            return Ok(ManifestWritten {
                v: Version,
                plan: adapted.plan,
                export_json: refresh.export_json,
                bundle: refresh.bundle,
                rerun_hash: refresh.rerun_hash,
                records: refresh.records,
                sources: adapted.sources,
                target: None,
                encryption: None,
            });
        }
        let mut records = adapted.sources.iter().map(|source| source.records).sum();
        let target = adapted.target.take();
        let (manifest, target_json) = match &target {
            None => (export_json(&adapted), None),
            Some(target) => {
                let manifest = target_json(&adapted.plan, target, &adapted.sources);
                let staged = stage(TARGET_PATH, &manifest, cx).await?;
                adapted.files.push(target_file(staged.clone()));
                adapted.files.sort_by(|a, b| a.path.cmp(&b.path));
                records = target.difference.records_put;
                (delta_json(&adapted, target, &staged), Some(staged))
            }
        };
        let sealing = self.sealing(&adapted.plan, manifest.encryption).await?;
        let export_json = stage(PATH, &manifest, cx).await?;
        let files = adapted.files.iter().map(|file| (file.path.clone(), file.artefact.clone()));
        let members = files.chain([(PATH.to_owned(), export_json.clone())]).map(|(path, artefact)| {
            let how = manifest.encryption.filter(|_| sealing.is_some());
            member(path, artefact, how)
        });
        let sealer = sealing.as_ref().map(|prepared| &prepared.sealer);
        let (bundle, sealed) = archive::write(members.collect(), sealer, cx).await?;
        Ok(ManifestWritten {
            v: Version,
            records,
            plan: adapted.plan,
            export_json,
            bundle,
            rerun_hash: manifest.rerun_hash,
            sources: adapted.sources,
            target: target_json,
            encryption: sealing.map(|mut prepared| {
                prepared.encrypted.files = sealed;
                prepared.encrypted
            }),
        })
    }
}

fn member(path: String, artefact: Artefact, how: Option<ManifestEncryption>) -> Member {
    let stored = how.map_or_else(|| path.clone(), |how| how.stored(&path));
    Member { stored, path, artefact }
}

/// Stages a manifest in its canonical form.
async fn stage(path: &str, manifest: &ExportManifest, cx: &StageContext) -> Result<Artefact, ManifestError> {
    let text = jcs::to_vec(manifest).map_err(ManifestError::Canonical)?;
    let staged = cx.workspace().put_artefact(Bytes::from(text)).await;
    staged.map_err(|cause| ManifestError::Stage { path: path.to_owned(), cause })
}

/// The new mirror's manifest as a file of the delta.
fn target_file(artefact: Artefact) -> BundleFile {
    BundleFile {
        path: TARGET_PATH.to_owned(),
        artefact,
        content_type: "application/json".to_owned(),
        records: None,
        plain_bytes: None,
        frames: None,
    }
}
