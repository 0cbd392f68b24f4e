//! Downloading a bundle, again and again from where it broke off.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use export_canon::digesting::Digester;
use export_contract::Digest;
use futures::StreamExt as _;
use reqwest::header::{CONTENT_RANGE, ETAG, IF_RANGE, RANGE};
use reqwest::{Method, StatusCode};
use tokio::fs::{File, OpenOptions, rename};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::time::{Duration, sleep};

use crate::{Client, ClientError};

/// Why a bundle was not downloaded.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The server refused or stayed unreachable.
    #[error("the bundle cannot be downloaded")]
    Server(#[source] ClientError),
    /// The file cannot be written.
    #[error("cannot write `{}`", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// What arrived is not what the server says it is.
    #[error("the downloaded bundle has digest {found}, the server promised {expected}")]
    Mismatch {
        /// What the run says.
        expected: Digest,
        /// What arrived.
        found: Digest,
    },
}

/// A finished download.
#[derive(Clone, Debug)]
pub struct Downloaded {
    /// The file.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// Its digest, checked.
    pub digest: Digest,
}

/// Attempts in a row without a new byte, after which the download gives up.
const MAX_STALLS: u32 = 10;

impl Client {
    /// Downloads the bundle of `run` to `path` by way of `path.part`. A `.part` file of an earlier attempt is gone on
    /// with if the server still has the same bytes, and a file at `path` that is the bundle already is left as it is. `progress`
    /// hears how many bytes are there.
    ///
    /// # Errors
    /// See [`DownloadError`]; the `.part` file stays for the next attempt.
    pub async fn download(
        &self,
        run: &str,
        expected: &Digest,
        length: u64,
        path: &Path,
        progress: impl Fn(u64) + Send,
    ) -> Result<Downloaded, DownloadError> {
        if is_there(path, expected, length).await {
            progress(length);
            return Ok(Downloaded { path: path.to_owned(), bytes: length, digest: expected.clone() });
        }
        let part = path.with_extension("part");
        let failed = |cause| DownloadError::File { path: part.clone(), cause };
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&part).await.map_err(failed)?;
        let mut have = file.metadata().await.map_err(failed)?.len();
        if have > length {
            file.set_len(0).await.map_err(failed)?;
            have = 0;
        }
        let mut stalls = 0;
        while have < length {
            let before = have;
            match self.fetch(run, expected, &mut file, &mut have, &progress).await {
                Ok(()) => {}
                Err(DownloadError::Server(error)) if error.passes() && stalls < MAX_STALLS => {
                    tracing::debug!(error = &error as &dyn std::error::Error, have, "download broke off, going on");
                    sleep(Duration::from_secs(1)).await;
                }
                Err(error) => return Err(error),
            }
            stalls = if have > before { 0 } else { stalls + 1 };
            if stalls > MAX_STALLS {
                break;
            }
        }
        file.sync_all().await.map_err(failed)?;
        let found = digest_of(&mut file).await.map_err(failed)?;
        if found != *expected {
            // Keeping the wrong bytes would make every further attempt fail the same way.
            file.set_len(0).await.map_err(failed)?;
            return Err(DownloadError::Mismatch { expected: expected.clone(), found });
        }
        rename(&part, path).await.map_err(failed)?;
        Ok(Downloaded { path: path.to_owned(), bytes: length, digest: found })
    }

    async fn fetch(
        &self,
        run: &str,
        expected: &Digest,
        file: &mut File,
        have: &mut u64,
        progress: &(impl Fn(u64) + Send),
    ) -> Result<(), DownloadError> {
        let failed = |cause| DownloadError::File { path: PathBuf::from("bundle"), cause };
        let etag = format!("\"{expected}\"");
        let mut request = self.request(Method::GET, &format!("/api/export/runs/{run}/download"));
        if *have > 0 {
            request = request.header(RANGE, format!("bytes={have}-")).header(IF_RANGE, &etag);
        }
        let response = self.send(request).await.map_err(DownloadError::Server)?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        // Only a 206 that begins where we asked, of the very same bytes, may be appended; anything else starts anew.
        let continues = response.status() == StatusCode::PARTIAL_CONTENT
            && header(CONTENT_RANGE).is_some_and(|range| range.starts_with(&format!("bytes {have}-")))
            && header(ETAG) == Some(etag.as_str());
        if !continues {
            *have = 0;
            file.set_len(0).await.map_err(failed)?;
            if response.status() != StatusCode::OK {
                return Ok(());
            }
        }
        file.seek(SeekFrom::Start(*have)).await.map_err(failed)?;
        let mut body = response.bytes_stream();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|cause| DownloadError::Server(self.unreachable(cause)))?;
            file.write_all(&piece).await.map_err(failed)?;
            *have += piece.len() as u64;
            progress(*have);
        }
        file.flush().await.map_err(failed)
    }
}

/// Whether the bundle lies at `path`; what cannot be read does not.
async fn is_there(path: &Path, expected: &Digest, length: u64) -> bool {
    let Ok(mut file) = File::open(path).await else { return false };
    file.metadata().await.is_ok_and(|meta| meta.is_file() && meta.len() == length)
        && digest_of(&mut file).await.is_ok_and(|found| found == *expected)
}

async fn digest_of(file: &mut File) -> Result<Digest, std::io::Error> {
    file.seek(SeekFrom::Start(0)).await?;
    let mut digester = Digester::new();
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        let read = file.read(&mut buffer).await?;
        if read == 0 {
            return Ok(Digest::from_bytes(*digester.finish().sha256.as_bytes()));
        }
        digester.update(buffer.get(..read).unwrap_or_default());
    }
}
