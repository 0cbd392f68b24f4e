//! The bundle: one deterministic tar of every file, streamed.

use bytes::Bytes;
use export_blobs::BlobError;
use export_blobs::workspace::ArtefactWriter;
use export_canon::digesting::Digester;
use export_canon::tar::{END_OF_ARCHIVE, Headers, padding};
use export_contract::Digest;
use export_contract::event::ProgressStep;
use export_contract::message::Artefact;
use export_pipeline::StageContext;
use futures::TryStreamExt as _;

use crate::error::ManifestError;

/// Writes `files` (path and artefact) as a tar in path order and gives its digest. Each file is checked against its digest on
/// its way.
pub(crate) async fn write(files: &[(String, Artefact)], cx: &StageContext) -> Result<Artefact, ManifestError> {
    let mut sorted: Vec<&(String, Artefact)> = files.iter().collect();
    sorted.sort();
    let begun = cx.workspace().artefact_writer().await;
    let mut writer = begun.map_err(|cause| staging("the bundle", cause))?;
    match append_all(&mut writer, &sorted, cx).await {
        Ok(()) => writer.finish().await.map_err(|cause| staging("the bundle", cause)),
        Err(error) => {
            writer.abort().await.map_err(|cause| staging("the bundle", cause))?;
            Err(error)
        }
    }
}

async fn append_all(
    writer: &mut ArtefactWriter,
    files: &[&(String, Artefact)],
    cx: &StageContext,
) -> Result<(), ManifestError> {
    let mut headers = Headers::new();
    let mut written = 0;
    for (path, artefact) in files {
        let header =
            headers.file(path, artefact.bytes).map_err(|cause| ManifestError::Archive { path: path.clone(), cause })?;
        put(writer, path, Bytes::from(header)).await?;
        append_body(writer, path, artefact, written, cx).await?;
        written += artefact.bytes;
        put(writer, path, Bytes::from_static(padding(artefact.bytes))).await?;
    }
    put(writer, "the bundle", Bytes::from_static(&END_OF_ARCHIVE)).await
}

async fn append_body(
    writer: &mut ArtefactWriter,
    path: &str,
    artefact: &Artefact,
    written: u64,
    cx: &StageContext,
) -> Result<(), ManifestError> {
    let read = cx.workspace().read_artefact(&artefact.digest).await;
    let mut pieces = read.map_err(|cause| staging(path, cause))?;
    let mut digester = Digester::new();
    while let Some(piece) = pieces.try_next().await.map_err(|cause| staging(path, cause))? {
        cx.check().map_err(ManifestError::Cancelled)?;
        digester.update(&piece);
        cx.progress(ProgressStep::StageProgress, 0, written + digester.bytes());
        put(writer, path, piece).await?;
    }
    let found = digester.finish();
    if Digest::from_bytes(*found.sha256.as_bytes()) == artefact.digest && found.bytes == artefact.bytes {
        Ok(())
    } else {
        Err(ManifestError::Corrupt { path: path.to_owned() })
    }
}

async fn put(writer: &mut ArtefactWriter, path: &str, bytes: Bytes) -> Result<(), ManifestError> {
    if bytes.is_empty() {
        return Ok(());
    }
    writer.write(bytes).await.map_err(|cause| staging(path, cause))
}

fn staging(path: &str, cause: BlobError) -> ManifestError {
    ManifestError::Stage { path: path.to_owned(), cause }
}
