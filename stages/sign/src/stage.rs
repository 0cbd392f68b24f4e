//! The stage.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use export_canon::digesting::sha256;
use export_canon::jcs;
use export_contract::manifest::TARGET_PATH;
use export_contract::message::{Artefact, ManifestWritten, RunSigned};
use export_contract::profile::ProvenanceDetail;
use export_contract::run::Phase;
use export_contract::{Digest, Timestamp, Version};
use export_pipeline::{Stage, StageContext};
use export_signing::bundle::{Bundle, to_base64};
use export_signing::dsse::{Envelope, IN_TOTO, pre_authentication};
use export_signing::{SignError, Signer, Signers};

use crate::error::SignStageError;
use crate::provenance::{BuilderIdentity, statement};

/// Tells the time for `finishedOn`; nothing else reads it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Is told of every failure to sign, before it is judged; for metrics.
pub type OnFailure = Arc<dyn Fn(&SignError) + Send + Sync>;

/// Largest `export.json` that is signed; the verifier reads no larger one.
const MAX_MANIFEST: u64 = 64 << 20;

/// Signs runs.
pub struct Sign {
    signers: Signers,
    clock: Clock,
    on_failure: OnFailure,
    builder: Option<BuilderIdentity>,
}

impl fmt::Debug for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sign").field("signers", &self.signers).finish_non_exhaustive()
    }
}

impl Sign {
    /// A stage that signs with the key that `signers` name for a run, and tells `on_failure` when that gives nothing.
    pub fn new(signers: Signers, clock: Clock, on_failure: OnFailure) -> Self {
        Self { signers, clock, on_failure, builder: None }
    }

    /// Names the builder, which profiles that ask for full provenance need.
    #[must_use]
    pub fn built_by(mut self, builder: BuilderIdentity) -> Self {
        self.builder = Some(builder);
        self
    }

    /// The builder that the profile wants to be told of.
    fn builder(&self, detail: ProvenanceDetail) -> Result<Option<&BuilderIdentity>, SignStageError> {
        match detail {
            ProvenanceDetail::Standard => Ok(None),
            ProvenanceDetail::Full => self.builder.as_ref().map(Some).ok_or(SignStageError::NoBuilder),
        }
    }

    /// A staged manifest, for sure the one that was written.
    async fn staged(&self, manifest: &Artefact, cx: &StageContext) -> Result<Bytes, SignStageError> {
        let read = cx.workspace().get_artefact(&manifest.digest, MAX_MANIFEST).await;
        let text = read.map_err(SignStageError::Manifest)?;
        if Digest::from_bytes(*sha256(&text).as_bytes()) == manifest.digest {
            Ok(text)
        } else {
            Err(SignStageError::Corrupt)
        }
    }

    async fn signature(
        &self,
        signer: &dyn Signer,
        what: &'static str,
        message: &[u8],
    ) -> Result<Vec<u8>, SignStageError> {
        let failed = |cause| {
            (self.on_failure)(&cause);
            SignStageError::Sign { what, cause }
        };
        let signature = signer.sign(message).await.map_err(failed)?;
        // Whatever keeps the key, a signature that does not verify leaves this stage under no circumstances.
        let verified = signer.public_key().verify(message, &signature);
        verified.map_err(|cause| failed(SignError::Invalid(cause)))?;
        Ok(signature)
    }
}

impl Stage for Sign {
    const PHASE: Phase = Phase::Sign;
    type Input = ManifestWritten;
    type Output = RunSigned;
    type Error = SignStageError;

    async fn handle(&self, manifest: ManifestWritten, cx: &StageContext) -> Result<RunSigned, SignStageError> {
        cx.check().map_err(SignStageError::Cancelled)?;
        let plan = &manifest.plan;
        let signer = self.signers.of(plan.run.tenant.as_str(), plan.profile.id.as_str()).as_ref();
        let key = signer.public_key();
        let export_json = self.staged(&manifest.export_json, cx).await?;
        let export = serde_json::from_slice(&export_json).map_err(SignStageError::Parse)?;
        let builder = self.builder(plan.profile.config.provenance)?;
        let signature = self.signature(signer, "export.json", &export_json).await?;

        let statement = statement(&manifest, &export, builder, (self.clock)());
        let provenance =
            jcs::to_vec(&statement).map_err(|cause| SignStageError::Write { what: "provenance.json", cause })?;
        let mut files: Vec<(&'static str, Vec<u8>)> = vec![
            ("export.json.sig", to_base64(&signature).into_bytes()),
            (
                "export.json.sigstore.json",
                bundle_text("export.json.sigstore.json", &Bundle::of_message(key, &export_json, &signature))?,
            ),
            ("cosign.pub", key.pem().as_bytes().to_vec()),
        ];
        if plan.profile.config.attestation {
            let message = pre_authentication(IN_TOTO, &provenance);
            let over_provenance = self.signature(signer, "provenance.json", &message).await?;
            let envelope = Envelope::new(IN_TOTO, &provenance, &over_provenance);
            let name = "provenance.sigstore.json";
            files.push((name, bundle_text(name, &Bundle::of_envelope(key, envelope))?));
        }
        files.push(("provenance.json", provenance));
        if let Some(target) = &manifest.target {
            // Whoever applies a delta has the new mirror then, signed like one that was downloaded whole.
            let text = self.staged(target, cx).await?;
            let signature = self.signature(signer, TARGET_PATH, &text).await?;
            files.push(("target.json.sig", to_base64(&signature).into_bytes()));
            let name = "target.json.sigstore.json";
            files.push((name, bundle_text(name, &Bundle::of_message(key, &text, &signature))?));
        }
        let mut sidecars: BTreeMap<String, Artefact> =
            BTreeMap::from([("export.json".to_owned(), manifest.export_json.clone())]);
        for (what, bytes) in files {
            let staged = cx.workspace().put_artefact(Bytes::from(bytes)).await;
            sidecars.insert(what.to_owned(), staged.map_err(|cause| SignStageError::Stage { what, cause })?);
        }
        Ok(RunSigned { v: Version, manifest, key_id: key.key_id(), sidecars })
    }
}

fn bundle_text(what: &'static str, bundle: &Bundle) -> Result<Vec<u8>, SignStageError> {
    serde_json::to_vec(bundle).map_err(|cause| SignStageError::Serialise { what, cause })
}
