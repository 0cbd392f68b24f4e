//! What is uploaded of a run, and from where.

use bytes::Bytes;
use export_contract::message::Artefact;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};

use crate::delivery::{BUNDLE, Delivery};
use crate::error::TargetError;

/// A blob to be.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    /// Name of the file, for messages.
    pub(super) name: &'static str,
    /// Its digest and length.
    pub(super) artefact: Artefact,
    /// Where its bytes are.
    pub(super) from: From,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum From {
    /// The bundle.
    Tar,
    /// A file inside the bundle, in the staging of the run that made it.
    Made,
    /// A file beside the bundle.
    Beside,
    /// Here.
    Here(&'static [u8]),
}

impl Blob {
    /// Its bytes. The stream ends with an error when they are not what the run wrote.
    pub(super) async fn read<'a>(
        &self,
        delivery: &Delivery<'a>,
    ) -> Result<BoxStream<'a, Result<Bytes, TargetError>>, TargetError> {
        match self.from {
            From::Tar => delivery.read_tar().await,
            From::Made => delivery.read_made(self.name, &self.artefact).await,
            From::Beside => delivery.read_file(self.name, &self.artefact).await,
            From::Here(bytes) => Ok(stream::iter([Ok(Bytes::from_static(bytes))]).boxed()),
        }
    }

    pub(super) fn tar(artefact: Artefact) -> Self {
        Self { name: BUNDLE, artefact, from: From::Tar }
    }
}
