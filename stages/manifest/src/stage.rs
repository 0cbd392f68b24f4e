//! The stage.

use bytes::Bytes;
use export_canon::jcs;
use export_contract::Version;
use export_contract::manifest::{ExportManifest, PATH, TARGET_PATH};
use export_contract::message::{Artefact, BundleFile, ManifestWritten, RunAdapted};
use export_contract::run::Phase;
use export_pipeline::{Stage, StageContext};

use crate::archive;
use crate::error::ManifestError;
use crate::export_json::{delta_json, export_json, target_json};

/// Writes manifests and bundles.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manifest;

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
        let export_json = stage(PATH, &manifest, cx).await?;
        let mut files: Vec<(String, Artefact)> =
            adapted.files.iter().map(|file| (file.path.clone(), file.artefact.clone())).collect();
        files.push((PATH.to_owned(), export_json.clone()));
        let bundle = archive::write(&files, cx).await?;
        Ok(ManifestWritten {
            v: Version,
            records,
            plan: adapted.plan,
            export_json,
            bundle,
            rerun_hash: manifest.rerun_hash,
            sources: adapted.sources,
            target: target_json,
        })
    }
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
