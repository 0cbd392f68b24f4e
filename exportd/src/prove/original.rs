//! The run that is to be proven, as far as a key vouches for it.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use export_blobs::{BlobStore, Workspace};
use export_canon::digesting::sha256;
use export_contract::manifest::ExportManifest;
use export_contract::message::BaseRun;
use export_contract::profile::Profile;
use export_contract::run::{RunRef, RunStatus};
use export_contract::selectors::Selectors;
use export_contract::{Digest, ProfileId, RunId, Sequence};
use export_signing::bundle::Bundle;
use export_signing::dsse::{IN_TOTO, pre_authentication};
use export_signing::statement::Statement;
use export_signing::{PublicKey, Signers};
use serde::Deserialize;

use super::{Wanted, manifest};
use crate::config::Config;
use crate::stores;

/// Largest file beside a bundle that is read.
const MAX_SIDECAR: u64 = 64 << 20;

/// What a rebuild starts from and is compared with.
#[derive(Debug)]
pub(crate) struct Original {
    pub(crate) run: RunRef,
    pub(crate) profile_id: ProfileId,
    /// The revision that the run kept.
    pub(crate) profile: Profile,
    pub(crate) selectors: Selectors,
    pub(crate) watermark: Sequence,
    /// What a delta builds upon.
    pub(crate) base: Option<BaseRun>,
    /// Digest of `bundle.tar`.
    pub(crate) bundle: Digest,
    /// Digest of `export.json`.
    pub(crate) export_json: Digest,
    pub(crate) manifest: ExportManifest,
    pub(crate) staging: Arc<dyn BlobStore>,
}

/// What of provenance a rebuild needs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct External {
    selectors: Selectors,
    watermark: Sequence,
    #[serde(default)]
    base: Option<ExternalBase>,
}

/// The base of a delta as provenance names it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExternalBase {
    run: RunId,
    manifest_digest: Digest,
}

impl Original {
    /// Reads the run, its manifest and its provenance, and checks the signature over the latter.
    pub(crate) async fn read(config: &Config, signers: &Signers, wanted: &Wanted) -> anyhow::Result<Self> {
        let runs = stores::runs(config).await?;
        let run = runs.run(&wanted.tenant, &wanted.run).await?;
        let run = run.with_context(|| format!("tenant {} has no run {}", wanted.tenant, wanted.run))?;
        ensure!(
            run.status == RunStatus::Succeeded,
            "run {} is {}: only a run that succeeded can be proven",
            run.id,
            run.status
        );
        if let Some(expiry) = run.expiry {
            ensure!(!expiry.is_final(), "run {} is no longer kept: its retention ended at {}", run.id, expiry.since);
        }
        let bundle = run.bundle.as_ref().context("the run has no bundle")?;
        let staging = stores::staging(config).await?;
        let workspace = Workspace::new(staging.clone(), run.reference());
        let read = async |name: &str, digest: &Digest| -> anyhow::Result<Vec<u8>> {
            let bytes = workspace.get_artefact(digest, MAX_SIDECAR).await;
            let bytes = bytes.with_context(|| format!("cannot read the run's {name}"))?;
            ensure!(Digest::from_bytes(*sha256(&bytes).as_bytes()) == *digest, "the run's {name} is damaged");
            Ok(bytes.to_vec())
        };
        let manifest = manifest(&read("export.json", &bundle.manifest_digest).await?)?;
        let name = "provenance.sigstore.json";
        let digest = bundle.sidecars.get(name);
        let digest = digest.context("the run's provenance was not signed, so nothing vouches for what went in")?;
        let statement = signed(&read(name, digest).await?, &known(config, signers)?)?;
        ensure!(
            statement.subject.iter().any(|subject| {
                subject.name == "bundle.tar"
                    && subject.digest.get("sha256").is_some_and(|hex| hex == bundle.digest.hex())
            }),
            "the provenance is about another bundle"
        );
        let external = External::deserialize(statement.predicate.build_definition.external_parameters);
        let External { selectors, watermark, base } =
            external.context("the provenance does not say what was asked for")?;
        let base = match base {
            Some(base) => {
                let found = runs.run(&wanted.tenant, &base.run).await?;
                let found = found.with_context(|| format!("the base, run {}, is gone", base.run))?;
                Some(BaseRun { run: found.reference(), state_digest: base.manifest_digest })
            }
            None => None,
        };
        let profile = runs.profile(&run.tenant, &run.profile_id, Some(run.profile_revision)).await?;
        let mut profile =
            profile.with_context(|| format!("revision {} of the profile is gone", run.profile_revision))?;
        // Its name may have changed since, and is no part of the revision.
        profile.name.clone_from(&manifest.profile.name);
        // A run that only confirmed a bundle is proven by proving the one that made it.
        let made_by = bundle.refreshes.clone().unwrap_or_else(|| run.id.clone());
        Ok(Self {
            run: RunRef { run: made_by, ..run.reference() },
            profile_id: run.profile_id.clone(),
            profile,
            selectors,
            watermark,
            base,
            bundle: bundle.digest.clone(),
            export_json: bundle.manifest_digest.clone(),
            manifest,
            staging,
        })
    }

    /// The workspace that the run left.
    pub(crate) fn workspace(&self) -> Workspace {
        Workspace::new(self.staging.clone(), self.run.clone())
    }
}

/// The keys that sign or signed here.
fn known(config: &Config, signers: &Signers) -> anyhow::Result<Vec<PublicKey>> {
    let keys = stores::public_keys(config, signers)?;
    keys.iter().map(|key| PublicKey::from_pem(&key.pem).context("a known key cannot be read")).collect()
}

fn signed(text: &[u8], keys: &[PublicKey]) -> anyhow::Result<Statement> {
    let bundle = Bundle::parse(text).context("the provenance's signature cannot be read")?;
    let opened = bundle.dsse_envelope.as_ref().and_then(export_signing::dsse::Envelope::open);
    let (payload, signature) = opened.context("the provenance's signature holds no envelope")?;
    let message = pre_authentication(IN_TOTO, &payload);
    if !keys.iter().any(|key| key.verify(&message, &signature).is_ok()) {
        bail!("no key of this deployment signed the provenance; name a former one in `signing.former_keys`");
    }
    serde_json::from_slice(&payload).context("the provenance cannot be read")
}
