//! The bundle: one deterministic tar of every file, streamed. Files that the profile wants encrypted are encrypted on their way.

use bytes::Bytes;
use export_blobs::BlobError;
use export_blobs::workspace::ArtefactWriter;
use export_canon::digesting::Digester;
use export_canon::tar::{END_OF_ARCHIVE, Headers, padding};
use export_contract::Digest;
use export_contract::encryption::EncryptedFile;
use export_contract::event::ProgressStep;
use export_contract::message::Artefact;
use export_pipeline::StageContext;
use export_sealing::{FileSealer, RunSealer};
use futures::TryStreamExt as _;

use crate::error::ManifestError;

/// Plain bytes that are encrypted at once, on a thread that nobody waits for.
const PIECE: usize = 1 << 20;

/// A file and its place in the tar.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Member {
    /// Its name in the tar.
    pub(crate) stored: String,
    /// Its path in `export.json`.
    pub(crate) path: String,
    /// The plain bytes.
    pub(crate) artefact: Artefact,
}

/// Writes `members` as a tar in the order of their names and gives its digest, and those of the encrypted files: the ones whose name
/// is not their path. Each file is checked against its digest on its way.
pub(crate) async fn write(
    mut members: Vec<Member>,
    sealer: Option<&RunSealer>,
    cx: &StageContext,
) -> Result<(Artefact, Vec<EncryptedFile>), ManifestError> {
    members.sort();
    let begun = cx.workspace().artefact_writer().await;
    let writer = begun.map_err(|cause| staging("the bundle", cause))?;
    let mut archive = Archive { writer, sealer, sealed: Vec::new(), written: 0, cx };
    match archive.append_all(&members).await {
        Ok(()) => {
            let bundle = archive.writer.finish().await.map_err(|cause| staging("the bundle", cause))?;
            Ok((bundle, archive.sealed))
        }
        Err(error) => {
            archive.writer.abort().await.map_err(|cause| staging("the bundle", cause))?;
            Err(error)
        }
    }
}

struct Archive<'a> {
    writer: ArtefactWriter,
    sealer: Option<&'a RunSealer>,
    sealed: Vec<EncryptedFile>,
    /// Plain bytes of the files before.
    written: u64,
    cx: &'a StageContext,
}

impl Archive<'_> {
    async fn append_all(&mut self, members: &[Member]) -> Result<(), ManifestError> {
        let mut headers = Headers::new();
        for Member { stored, path, artefact } in members {
            let sealing = match self.sealer.filter(|_| stored != path) {
                Some(sealer) => {
                    Some(sealer.file(path).map_err(|cause| ManifestError::Seal { path: path.clone(), cause })?)
                }
                None => None,
            };
            let bytes = sealing.as_ref().map_or(artefact.bytes, |file| file.sealed_bytes(artefact.bytes));
            let header =
                headers.file(stored, bytes).map_err(|cause| ManifestError::Archive { path: stored.clone(), cause })?;
            self.put(path, Bytes::from(header)).await?;
            match sealing {
                None => self.append_plain(path, artefact).await?,
                Some(file) => {
                    let digest = self.append_sealed(path, artefact, file).await?;
                    self.sealed.push(EncryptedFile { path: stored.clone(), digest, bytes });
                }
            }
            self.written += artefact.bytes;
            self.put(path, Bytes::from_static(padding(bytes))).await?;
        }
        self.put("the bundle", Bytes::from_static(&END_OF_ARCHIVE)).await
    }

    async fn append_plain(&mut self, path: &str, artefact: &Artefact) -> Result<(), ManifestError> {
        let read = self.cx.workspace().read_artefact(&artefact.digest).await;
        let mut pieces = read.map_err(|cause| staging(path, cause))?;
        let mut digester = Digester::new();
        while let Some(piece) = pieces.try_next().await.map_err(|cause| staging(path, cause))? {
            digester.update(&piece);
            self.tick(digester.bytes())?;
            self.put(path, piece).await?;
        }
        promised(path, artefact, digester)
    }

    /// Gives the digest of the encrypted bytes.
    async fn append_sealed(
        &mut self,
        path: &str,
        artefact: &Artefact,
        file: FileSealer,
    ) -> Result<Digest, ManifestError> {
        let read = self.cx.workspace().read_artefact(&artefact.digest).await;
        let mut pieces = read.map_err(|cause| staging(path, cause))?;
        let mut work = Work { file, plain: Digester::new(), sealed: Digester::new() };
        let mut waiting = Vec::with_capacity(PIECE);
        loop {
            let piece = pieces.try_next().await.map_err(|cause| staging(path, cause))?;
            let ends = piece.is_none();
            waiting.extend_from_slice(&piece.unwrap_or_default());
            if ends || waiting.len() >= PIECE {
                let taken = std::mem::take(&mut waiting);
                let out;
                (work, out) = blocking(path, move || work.push(&taken)).await?;
                self.tick(work.plain.bytes())?;
                self.put(path, Bytes::from(out)).await?;
            }
            if ends {
                break;
            }
        }
        let Work { file, plain, mut sealed } = work;
        promised(path, artefact, plain)?;
        let (sealed, out) = blocking(path, move || {
            let out = file.finish()?;
            sealed.update(&out);
            Ok((sealed, out))
        })
        .await?;
        self.put(path, Bytes::from(out)).await?;
        Ok(Digest::from_bytes(*sealed.finish().sha256.as_bytes()))
    }

    /// Looks for a cancellation, and tells how far it got.
    fn tick(&self, of_file: u64) -> Result<(), ManifestError> {
        self.cx.check().map_err(ManifestError::Cancelled)?;
        self.cx.progress(ProgressStep::StageProgress, 0, self.written + of_file);
        Ok(())
    }

    async fn put(&mut self, path: &str, bytes: Bytes) -> Result<(), ManifestError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.writer.write(bytes).await.map_err(|cause| staging(path, cause))
    }
}

/// A file on its way, with the digests of both its forms.
struct Work {
    file: FileSealer,
    plain: Digester,
    sealed: Digester,
}

impl Work {
    fn push(mut self, plain: &[u8]) -> Result<(Self, Vec<u8>), export_sealing::SealError> {
        self.plain.update(plain);
        self.file.push(plain)?;
        let out = self.file.take();
        self.sealed.update(&out);
        Ok((self, out))
    }
}

async fn blocking<T: Send + 'static>(
    path: &str,
    work: impl FnOnce() -> Result<T, export_sealing::SealError> + Send + 'static,
) -> Result<T, ManifestError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|cause| ManifestError::Seal { path: path.to_owned(), cause }),
        Err(cause) => Err(ManifestError::Thread { path: path.to_owned(), cause }),
    }
}

fn promised(path: &str, artefact: &Artefact, found: Digester) -> Result<(), ManifestError> {
    let found = found.finish();
    if Digest::from_bytes(*found.sha256.as_bytes()) == artefact.digest && found.bytes == artefact.bytes {
        Ok(())
    } else {
        Err(ManifestError::Corrupt { path: path.to_owned() })
    }
}

fn staging(path: &str, cause: BlobError) -> ManifestError {
    ManifestError::Stage { path: path.to_owned(), cause }
}
