//! What a run made, as it is pulled.

use std::collections::BTreeMap;
use std::sync::Arc;

use export_blobs::{BlobError, BlobKey, ResultError, Workspace};
use export_contract::message::RunSigned;
use export_contract::run::{Phase, Run};
use export_contract::{Digest, RunId};
use export_oci::{ImageError, Manifest, empty_config};

use super::name::Repository;
use super::refusal::Refusal;
use crate::state::Gateway;

/// Longest result record or `export.json` that is read for a manifest.
const MAX_RECORD: u64 = 64 << 20;

/// An artefact and what vouches for it.
#[derive(Debug)]
pub(crate) struct Image {
    /// The run in whose corner of staging the blobs are.
    run: RunId,
    /// The manifest of bundle or database.
    pub(super) main: Manifest,
    /// The manifest of what vouches for it.
    pub(super) signatures: Manifest,
    /// The one layer of `main`.
    layer: Digest,
    /// Every blob that staging holds, by digest: its length.
    blobs: BTreeMap<Digest, u64>,
}

impl Image {
    /// Where a blob of it is staged, and its length.
    pub(super) fn blob(&self, repository: &Repository, digest: &Digest) -> Option<(BlobKey, u64)> {
        let length = self.blobs.get(digest)?;
        Some((Workspace::artefact_key(&repository.tenant, &self.run, digest), *length))
    }

    /// One of its manifests.
    pub(super) fn manifest(&self, digest: &Digest) -> Option<&Manifest> {
        [&self.main, &self.signatures].into_iter().find(|manifest| manifest.digest == *digest)
    }

    /// Whether its layer is still staged.
    pub(super) async fn is_there(&self, gateway: &Gateway, repository: &Repository) -> Result<bool, Refusal> {
        let key = Workspace::artefact_key(&repository.tenant, &self.run, &self.layer);
        Ok(gateway.blobs.head(&key).await?.is_some())
    }
}

/// What a finished run made; `None` where that cannot be pulled (any more): staging has let go of it, or it is a database that only its
/// recipients may read, which Trivy cannot.
pub(super) async fn image(gateway: &Gateway, run: &Run) -> Result<Option<Arc<Image>>, Refusal> {
    if let Some(kept) = gateway.registry.kept(run) {
        return Ok(Some(kept));
    }
    let made = match made(gateway, run).await {
        Err(Fault::Gone) => return Ok(None),
        Err(Fault::Refused(refusal)) => return Err(refusal),
        Ok(None) => return Ok(None),
        Ok(Some(image)) => Arc::new(image),
    };
    gateway.registry.keep(run, &made);
    Ok(Some(made))
}

enum Fault {
    /// Staging has let go of it.
    Gone,
    Refused(Refusal),
}

impl From<BlobError> for Fault {
    fn from(error: BlobError) -> Self {
        if matches!(error, BlobError::NotFound(_)) { Self::Gone } else { Self::Refused(error.into()) }
    }
}

async fn made(gateway: &Gateway, run: &Run) -> Result<Option<Image>, Fault> {
    // A run that only confirmed an earlier bundle shows that one: its bytes, and what its own run signed.
    let maker = match run.bundle.as_ref().and_then(|bundle| bundle.refreshes.as_ref()) {
        None => run.clone(),
        Some(id) => {
            let found = gateway.runs.run(&run.tenant, id).await.map_err(|error| Fault::Refused(error.into()))?;
            found.ok_or(Fault::Gone)?
        }
    };
    let workspace = Workspace::new(gateway.blobs.clone(), maker.reference());
    let key = workspace.result_key(Phase::Sign, None);
    let signed: RunSigned = match workspace.find_record(&key).await {
        Ok(found) => found.ok_or(Fault::Gone)?,
        Err(ResultError::Store { cause, .. }) => return Err(cause.into()),
        Err(error) => return Err(broken(key.as_str(), &error)),
    };
    let export_json = if export_oci::Image::is_a_file_of(&signed) {
        Some(workspace.get_artefact(&signed.manifest.export_json.digest, MAX_RECORD).await?)
    } else {
        None
    };
    let made = match export_oci::Image::of(&signed, export_json.as_deref()) {
        Ok(made) => made,
        Err(ImageError::Encrypted | ImageError::NoDatabase(_)) => return Ok(None),
        Err(error) => return Err(broken("export.json", &error)),
    };
    let layer = made.layer.digest.clone();
    let blobs =
        made.files.into_values().chain([made.layer]).map(|artefact| (artefact.digest, artefact.bytes)).collect();
    Ok(Some(Image { run: maker.id, main: made.main, signatures: made.signatures, layer, blobs }))
}

fn broken(what: &str, error: &(dyn std::error::Error + 'static)) -> Fault {
    tracing::error!(error, what, "manifest not made");
    Fault::Refused(Refusal::broken("what the run left in staging cannot be read"))
}

/// The blob that every artefact shares.
pub(super) fn shared_blob(digest: &Digest) -> Option<&'static [u8]> {
    let (config, bytes) = empty_config();
    (config.digest == *digest).then_some(bytes)
}
