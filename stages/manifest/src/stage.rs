//! The stage.

use bytes::Bytes;
use export_canon::jcs;
use export_contract::Version;
use export_contract::manifest::PATH;
use export_contract::message::{Artefact, ManifestWritten, RunAdapted};
use export_contract::run::Phase;
use export_pipeline::{Stage, StageContext};

use crate::archive;
use crate::error::ManifestError;
use crate::export_json::export_json;

/// Writes manifests and bundles.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manifest;

impl Stage for Manifest {
    const PHASE: Phase = Phase::Manifest;
    type Input = RunAdapted;
    type Output = ManifestWritten;
    type Error = ManifestError;

    async fn handle(&self, adapted: RunAdapted, cx: &StageContext) -> Result<ManifestWritten, ManifestError> {
        if let Some(refresh) = adapted.plan.refresh.clone() {
            return Ok(ManifestWritten {
                v: Version,
                plan: adapted.plan,
                export_json: refresh.export_json,
                bundle: refresh.bundle,
                rerun_hash: refresh.rerun_hash,
                records: refresh.records,
                sources: adapted.sources,
            });
        }
        let manifest = export_json(&adapted);
        let text = jcs::to_vec(&manifest).map_err(ManifestError::Canonical)?;
        let staged = cx.workspace().put_artefact(Bytes::from(text)).await;
        let export_json = staged.map_err(|cause| ManifestError::Stage { path: PATH.to_owned(), cause })?;
        let mut files: Vec<(String, Artefact)> =
            adapted.files.iter().map(|file| (file.path.clone(), file.artefact.clone())).collect();
        files.push((PATH.to_owned(), export_json.clone()));
        let bundle = archive::write(&files, cx).await?;
        Ok(ManifestWritten {
            v: Version,
            records: adapted.sources.iter().map(|source| source.records).sum(),
            plan: adapted.plan,
            export_json,
            bundle,
            rerun_hash: manifest.rerun_hash,
            sources: adapted.sources,
        })
    }
}
