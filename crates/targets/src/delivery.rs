//! What is handed over.

use bytes::Bytes;
use export_blobs::{BlobKey, ByteStream, Workspace};
use export_canon::digesting::Digester;
use export_contract::message::{Artefact, RunSigned};
use export_contract::run::RunRef;
use export_contract::{Digest, RunId, Timestamp};
use export_pipeline::StageContext;
use futures::stream::BoxStream;
use futures::{StreamExt as _, stream};

use crate::error::TargetError;

/// Name of the bundle among the files that are handed over.
pub const BUNDLE: &str = "bundle.tar";

/// A signed run with its staging.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// What the run made.
    pub signed: &'a RunSigned,
    /// Its staging, cancellation and progress.
    pub cx: &'a StageContext,
    /// When it may be pruned.
    pub expires_at: Option<Timestamp>,
}

impl<'a> Delivery<'a> {
    /// Which run hands over.
    pub fn run(&self) -> &'a RunRef {
        &self.signed.manifest.plan.run
    }

    /// The run that made the tar: an earlier one, where this one only confirms its bundle.
    pub fn made_by(&self) -> &'a RunId {
        self.signed.manifest.plan.refresh.as_ref().map_or(&self.run().run, |refresh| &refresh.run)
    }

    /// The bundle.
    pub fn tar(&self) -> &'a Artefact {
        &self.signed.manifest.bundle
    }

    /// The files beside the bundle, by name.
    pub fn sidecars(&self) -> impl Iterator<Item = (&'a str, &'a Artefact)> {
        self.signed.sidecars.iter().map(|(name, artefact)| (name.as_str(), artefact))
    }

    /// The bundle's bytes from staging. The stream ends with an error when they are not what the run wrote.
    ///
    /// # Errors
    /// When staging cannot be read.
    pub async fn read_tar(&self) -> Result<BoxStream<'a, Result<Bytes, TargetError>>, TargetError> {
        self.read_made(BUNDLE, self.tar()).await
    }

    /// The bytes of something else that the run staged which made the bundle, in the same way.
    ///
    /// # Errors
    /// When staging cannot be read.
    pub async fn read_made(
        &self,
        name: &str,
        artefact: &Artefact,
    ) -> Result<BoxStream<'a, Result<Bytes, TargetError>>, TargetError> {
        let key = Workspace::artefact_key(&self.run().tenant, self.made_by(), &artefact.digest);
        self.read(name, key, artefact).await
    }

    /// The bytes of a file beside the bundle, or of another artefact of the run, in the same way.
    ///
    /// # Errors
    /// When staging cannot be read.
    pub async fn read_file(
        &self,
        name: &str,
        artefact: &Artefact,
    ) -> Result<BoxStream<'a, Result<Bytes, TargetError>>, TargetError> {
        let key = Workspace::artefact_key(&self.run().tenant, &self.run().run, &artefact.digest);
        self.read(name, key, artefact).await
    }

    async fn read(
        &self,
        name: &str,
        key: BlobKey,
        artefact: &Artefact,
    ) -> Result<BoxStream<'a, Result<Bytes, TargetError>>, TargetError> {
        let bytes = self.cx.workspace().store().read(&key, None).await.map_err(TargetError::Staging)?;
        Ok(checked(bytes, name.to_owned(), artefact.clone(), self.cx.clone()))
    }
}

/// The bytes of `source`, with an error in the place of their end if they are not those of `artefact`.
fn checked(
    source: ByteStream,
    name: String,
    artefact: Artefact,
    cx: StageContext,
) -> BoxStream<'static, Result<Bytes, TargetError>> {
    struct State {
        source: Option<ByteStream>,
        digester: Digester,
    }
    let state = State { source: Some(source), digester: Digester::new() };
    stream::unfold(state, move |mut state| {
        let (name, artefact, cx) = (name.clone(), artefact.clone(), cx.clone());
        async move {
            let next = match cx.check() {
                Ok(()) => state.source.as_mut()?.next().await,
                Err(cancelled) => {
                    state.source = None;
                    return Some((Err(TargetError::Cancelled(cancelled)), state));
                }
            };
            match next {
                Some(Ok(bytes)) => {
                    state.digester.update(&bytes);
                    Some((Ok(bytes), state))
                }
                Some(Err(error)) => {
                    state.source = None;
                    Some((Err(TargetError::Staging(error)), state))
                }
                None => {
                    state.source = None;
                    let length = state.digester.bytes();
                    let found = std::mem::take(&mut state.digester).finish().sha256;
                    let same = length == artefact.bytes && Digest::from_bytes(*found.as_bytes()) == artefact.digest;
                    if same { None } else { Some((Err(TargetError::Damaged { what: name }), state)) }
                }
            }
        }
    })
    .boxed()
}
