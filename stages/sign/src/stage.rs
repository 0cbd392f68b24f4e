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
use export_contract::refresh::{self, Refresh};
use export_contract::run::Phase;
use export_contract::{Digest, Timestamp, Version};
use export_pipeline::{Stage, StageContext};
use export_signing::bundle::{Bundle, to_base64};
use export_signing::dsse::{Envelope, IN_TOTO, pre_authentication};
use export_signing::{SignError, Signer, Signers};
use serde::Serialize;

use crate::error::SignStageError;
use crate::provenance::{self, BuilderIdentity};
use crate::refresh::{earlier_files, statement};

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

    /// An in-toto statement in an envelope in a Sigstore bundle.
    async fn envelope(
        &self,
        signer: &dyn Signer,
        what: &'static str,
        statement: &[u8],
    ) -> Result<Vec<u8>, SignStageError> {
        let signature = self.signature(signer, what, &pre_authentication(IN_TOTO, statement)).await?;
        let envelope = Envelope::new(IN_TOTO, statement, &signature);
        bundle_text(what, &Bundle::of_envelope(signer.public_key(), envelope))
    }

    /// What is signed of a bundle, by name, and the key.
    async fn signatures(
        &self,
        signer: &dyn Signer,
        export_json: &[u8],
        provenance: Bytes,
        attestation: bool,
    ) -> Result<BTreeMap<String, Bytes>, SignStageError> {
        let key = signer.public_key();
        let signature = self.signature(signer, "export.json", export_json).await?;
        let name = "export.json.sigstore.json";
        let bundled = bundle_text(name, &Bundle::of_message(key, export_json, &signature))?;
        let mut files = BTreeMap::from([
            ("export.json.sig".to_owned(), to_base64(&signature).into_bytes().into()),
            (name.to_owned(), bundled.into()),
            ("cosign.pub".to_owned(), Bytes::copy_from_slice(key.pem().as_bytes())),
        ]);
        if attestation {
            let name = "provenance.sigstore.json";
            files.insert(name.to_owned(), self.envelope(signer, name, &provenance).await?.into());
        }
        files.insert("provenance.json".to_owned(), provenance);
        Ok(files)
    }

    /// The files beside a bundle that the run made.
    async fn made(
        &self,
        signer: &dyn Signer,
        manifest: &ManifestWritten,
        cx: &StageContext,
    ) -> Result<BTreeMap<String, Bytes>, SignStageError> {
        let config = &manifest.plan.profile.config;
        let export_json = staged("export.json", &manifest.export_json, cx).await?;
        let export = serde_json::from_slice(&export_json).map_err(SignStageError::Parse)?;
        let statement = provenance::statement(manifest, &export, self.builder(config.provenance)?, (self.clock)());
        let provenance = canonical("provenance.json", &statement)?;
        let mut files = self.signatures(signer, &export_json, provenance.into(), config.attestation).await?;
        if let Some(target) = &manifest.target {
            // Whoever applies a delta has the new mirror then, signed like one that was downloaded whole.
            let text = staged(TARGET_PATH, target, cx).await?;
            let signature = self.signature(signer, TARGET_PATH, &text).await?;
            files.insert("target.json.sig".to_owned(), to_base64(&signature).into_bytes().into());
            let name = "target.json.sigstore.json";
            let bundle = Bundle::of_message(signer.public_key(), &text, &signature);
            files.insert(name.to_owned(), bundle_text(name, &bundle)?.into());
        }
        Ok(files)
    }

    /// The files beside a bundle that an earlier run made, and the statement that it is unchanged. What the present key signed is kept
    /// to the byte; after a change of the key everything is signed anew, as a new run would be.
    async fn confirmed(
        &self,
        signer: &dyn Signer,
        manifest: &ManifestWritten,
        found: &Refresh,
        cx: &StageContext,
    ) -> Result<BTreeMap<String, Bytes>, SignStageError> {
        let mut files = earlier_files(found, cx).await?;
        if found.key_id != signer.public_key().key_id() {
            let file =
                |name: &str| files.get(name).cloned().ok_or_else(|| SignStageError::Gone { what: name.to_owned() });
            let (export_json, provenance) = (file("export.json")?, file("provenance.json")?);
            let attestation = manifest.plan.profile.config.attestation;
            files.extend(self.signatures(signer, &export_json, provenance, attestation).await?);
        }
        let statement = canonical(refresh::FILE, &statement(manifest, found))?;
        files.insert(refresh::FILE.to_owned(), self.envelope(signer, refresh::FILE, &statement).await?.into());
        Ok(files)
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
        let files = match &plan.refresh {
            None => self.made(signer, &manifest, cx).await?,
            Some(found) => self.confirmed(signer, &manifest, found, cx).await?,
        };
        let mut sidecars: BTreeMap<String, Artefact> =
            BTreeMap::from([("export.json".to_owned(), manifest.export_json.clone())]);
        for (what, bytes) in files {
            match cx.workspace().put_artefact(bytes).await {
                Ok(staged) => sidecars.insert(what, staged),
                Err(cause) => return Err(SignStageError::Stage { what, cause }),
            };
        }
        Ok(RunSigned { v: Version, manifest, key_id: signer.public_key().key_id(), sidecars })
    }
}

/// A staged manifest, for sure the one that was written: signing another one would vouch for the damage.
async fn staged(what: &str, manifest: &Artefact, cx: &StageContext) -> Result<Bytes, SignStageError> {
    let read = cx.workspace().get_artefact(&manifest.digest, MAX_MANIFEST).await;
    let text = read.map_err(SignStageError::Manifest)?;
    if Digest::from_bytes(*sha256(&text).as_bytes()) == manifest.digest {
        return Ok(text);
    }
    Err(SignStageError::Corrupt { what: what.to_owned() })
}

fn canonical(what: &'static str, statement: &impl Serialize) -> Result<Vec<u8>, SignStageError> {
    jcs::to_vec(statement).map_err(|cause| SignStageError::Write { what, cause })
}

fn bundle_text(what: &'static str, bundle: &Bundle) -> Result<Vec<u8>, SignStageError> {
    serde_json::to_vec(bundle).map_err(|cause| SignStageError::Serialise { what, cause })
}
