//! Reading a Findings Ledger's export over HTTP:
//! `GET {base}/ledger/export/{stream}?shape=canonical&limit=&page_token=`, in pages of JSON lines (see [`crate::remote`]).

use bytes::Bytes;
use export_mongo::bson::{Bson, RawBson, RawBsonRef};

use super::spool::Spool;
use super::take::{Taken, Taker};
use super::{PeerCollection, PullError, line};
use crate::import::{ImportOptions, ImportProgress};
use crate::remote::{Page, Pages, Question, Remote, RemoteError};

/// What comes behind the base, and how refused documents are named.
pub(super) const PLACE: &str = "ledger/export";

/// Documents in a page. Where a page of them is too long, fewer are asked for.
const DOCUMENTS_PER_PAGE: u32 = 200;

/// Reads one stream to its end, from where the spool says.
pub(super) async fn stream(
    remote: &Remote,
    stream: &PeerCollection,
    spool: &Spool,
    options: &ImportOptions,
    progress: &dyn ImportProgress,
) -> Result<(), PullError> {
    let reader = Reader { remote, stream, spool, options, progress };
    let mut per_page = DOCUMENTS_PER_PAGE;
    let mut may_begin_anew = true;
    loop {
        let cursor = spool.cursor(&stream.name).await?;
        if cursor.is_done {
            return Ok(());
        }
        let after = cursor.after.as_ref().and_then(Bson::as_str).filter(|token| !token.is_empty());
        let (resumes, before) = (after.is_some(), cursor.clone());
        match reader.read(after.map(str::to_owned), per_page).await {
            Err(PullError::Remote { cause: RemoteError::TooLong(_), .. }) if per_page > 1 => per_page /= 8,
            // Tokens may not live as long as a spool. What was read is known by its ids, and nothing is taken twice.
            Err(PullError::Remote { cause: RemoteError::Status { status: 400 | 404 | 410 | 422, .. }, .. })
                if resumes && may_begin_anew && spool.cursor(&stream.name).await? == before =>
            {
                tracing::warn!(
                    stream = stream.name,
                    "the peer does not know the page any more, beginning at the first"
                );
                may_begin_anew = false;
                spool.keep(stream, Vec::new(), Some(Bson::String(String::new())), false).await?;
            }
            outcome => outcome?,
        }
    }
}

struct Reader<'a> {
    remote: &'a Remote,
    stream: &'a PeerCollection,
    spool: &'a Spool,
    options: &'a ImportOptions,
    progress: &'a dyn ImportProgress,
}

impl Reader<'_> {
    async fn read(&self, after: Option<String>, per_page: u32) -> Result<(), PullError> {
        let failed = |cause| PullError::Remote { stream: self.stream.name.clone(), cause };
        let path = PLACE.split('/').chain([self.stream.name.as_str()]).map(str::to_owned).collect();
        let query = vec![("shape", "canonical".to_owned()), ("limit", per_page.to_string())];
        let question = Question { path, query, tenant: self.options.tenant.clone() };
        let mut pages = Pages::new(self.remote.clone(), question, "page_token", after);
        while let Some(Page { lines, next }) = pages.next().await.map_err(failed)? {
            let (documents, bytes) = (lines.len() as u64, lines.iter().map(Bytes::len).sum::<usize>() as u64);
            let (stream, options) = (self.stream.clone(), self.options.clone());
            let taken = tokio::task::spawn_blocking(move || take(&stream, &options, &lines)).await;
            let taken = taken.map_err(|_| PullError::Stopped("converter"))??;
            let is_last = next.is_none();
            self.spool.keep(self.stream, taken, next.map(Bson::String), is_last).await?;
            self.progress.bytes_read(bytes);
            self.progress.documents(documents);
        }
        Ok(())
    }
}

fn take(stream: &PeerCollection, options: &ImportOptions, lines: &[Bytes]) -> Result<Vec<Taken>, PullError> {
    let mut taker = Taker::new(PLACE, stream, options).map_err(|_| PullError::Stopped("compression"))?;
    let mut taken = Vec::with_capacity(lines.len());
    for text in lines {
        let line::Line { name, document } = line::read(text, &options.tenant)
            .map_err(|cause| PullError::Remote { stream: stream.name.clone(), cause })?;
        taken.push(match document {
            Ok(document) => {
                let id = document.get("_id").ok().flatten().map(RawBsonRef::to_raw_bson);
                let id = id.unwrap_or(RawBson::String(name));
                taker.take(&document, id.as_raw_bson_ref())
            }
            Err(refused) => taker.refused(name, refused),
        });
    }
    Ok(taken)
}
