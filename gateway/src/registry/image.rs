//! What a run made, as it is pulled.

use std::collections::BTreeMap;
use std::sync::Arc;

use export_blobs::{BlobError, BlobKey, Workspace};
use export_canon::CanonError;
use export_canon::digesting::sha256;
use export_contract::message::{Artefact, RunAdapted, RunSigned};
use export_contract::run::{Phase, Run};
use export_contract::{Digest, RunId};
use export_oci::{BESIDE, Descriptor, Manifest, Origin, TrivyLayer, empty_config, trivy_layer};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::name::Repository;
use super::refusal::Refusal;
use crate::state::Gateway;

/// Longest result record or `export.json` that is read for a manifest.
const MAX_RECORD: u64 = 64 << 20;
/// The signed manifest of the bundle.
const EXPORT_JSON: &str = "export.json";

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

/// The part of `export.json` that says whether a file may be served as it is staged.
#[derive(Deserialize)]
struct Contents {
    contents: Vec<Content>,
    /// Files are encrypted in the bundle, and staged in the clear.
    #[serde(default)]
    encryption: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Content {
    path: String,
    digest: Digest,
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

impl From<CanonError> for Fault {
    fn from(error: CanonError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "manifest not made");
        Self::Refused(Refusal::broken("the manifest cannot be made"))
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
    let signed: RunSigned = record(&workspace, Phase::Sign).await?;
    let plan = &signed.manifest.plan;
    let origin = Origin { profile: plan.profile.kind.to_string(), tenant: plan.run.tenant.clone(), as_of: plan.as_of };
    let (layer, main) = match trivy_layer(plan.profile.kind) {
        None => {
            let Artefact { digest, bytes } = signed.manifest.bundle.clone();
            (signed.manifest.bundle.clone(), export_oci::bundle(&origin, digest, bytes)?)
        }
        Some(layer) => {
            let Some(archive) = database(&workspace, &signed, layer).await? else { return Ok(None) };
            (archive.clone(), export_oci::database(&origin, layer, archive.digest, archive.bytes)?)
        }
    };
    let mut blobs = BTreeMap::from([(layer.digest.clone(), layer.bytes)]);
    let mut files = Vec::new();
    for (name, media) in BESIDE {
        if let Some(Artefact { digest, bytes }) = signed.sidecars.get(name) {
            files.push(Descriptor::new(media, digest.clone(), *bytes).titled(name));
            blobs.insert(digest.clone(), *bytes);
        }
    }
    let signatures = export_oci::signatures(&main, files)?;
    Ok(Some(Image { run: maker.id, main, signatures, layer: layer.digest, blobs }))
}

/// The archive of a database, which lies in staging as a file of its own: the one that the signed `export.json` names.
async fn database(workspace: &Workspace, signed: &RunSigned, layer: TrivyLayer) -> Result<Option<Artefact>, Fault> {
    let export_json = &signed.manifest.export_json.digest;
    let text = workspace.get_artefact(export_json, MAX_RECORD).await?;
    if digest_of(&text) != *export_json {
        return Err(Fault::Refused(Refusal::broken("`export.json` is not what was signed")));
    }
    let named: Contents = parsed(EXPORT_JSON, &text)?;
    if named.encryption.is_some() {
        return Ok(None);
    }
    let named = named.contents.into_iter().find(|content| content.path == layer.path);
    let adapted: RunAdapted = record(workspace, Phase::Adapt).await?;
    let staged = adapted.files.into_iter().find(|file| file.path == layer.path);
    Ok(match (named, staged) {
        (Some(named), Some(staged)) if named.digest == staged.artefact.digest => Some(staged.artefact),
        _ => None,
    })
}

/// The result record of a stage.
async fn record<T: DeserializeOwned>(workspace: &Workspace, phase: Phase) -> Result<T, Fault> {
    let key = workspace.result_key(phase, None);
    let bytes = workspace.store().get(&key, MAX_RECORD).await?;
    parsed(key.as_str(), &bytes)
}

fn parsed<T: DeserializeOwned>(what: &str, text: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(text).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, what, "staged record not read");
        Fault::Refused(Refusal::broken("what the run left in staging cannot be read"))
    })
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(*sha256(bytes).as_bytes())
}

/// The blob that every artefact shares.
pub(super) fn shared_blob(digest: &Digest) -> Option<&'static [u8]> {
    let (config, bytes) = empty_config();
    (config.digest == *digest).then_some(bytes)
}
