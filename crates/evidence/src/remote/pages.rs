//! Lists in pages of JSON lines.
//!
//! A page is `application/x-ndjson`. Where the next one begins stands in the header `X-Next-Page-Token` or `X-Next-Cursor`, or in the last
//! line: an object with `next_page_token` or `next_cursor`. A list without either ends with its page. The last line may also be, or be
//! joined with, a manifest of the whole list, `{"record_count": …, "sha256": …}`: the digest is over all lines of all pages, each with its
//! line feed. It is then checked.

use bytes::Bytes;
use export_canon::digesting::Digester;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use super::{Question, Remote, RemoteError, answer};

/// Pages in a row without a line, after which a server is taken to go round in circles.
const EMPTY_PAGES: u32 = 100;

/// Most lines of a list; the limit of an import.
const MAX_LINES: u64 = 50_000_000;

/// One page.
#[derive(Debug)]
pub(crate) struct Page {
    /// Its lines, without their line feeds.
    pub(crate) lines: Vec<Bytes>,
    /// Where the next one begins; `None` after the last.
    pub(crate) next: Option<String>,
}

/// Goes from page to page.
#[derive(Debug)]
pub(crate) struct Pages {
    remote: Remote,
    question: Question,
    /// What the parameter of the place is called.
    parameter: &'static str,
    next: Option<String>,
    is_done: bool,
    /// The place that is waited for to come again (Brent, "An improved Monte Carlo factorization algorithm", section 2): a loop is found
    /// in memory that does not grow.
    mark: Option<String>,
    /// Pages so far.
    number: u64,
    empty: u32,
    lines: u64,
    /// Of all lines; `None` where the beginning was read by somebody else.
    digester: Option<Digester>,
}

/// What stands in a last line that is no row.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Trailer {
    #[serde(alias = "nextPageToken")]
    next_page_token: Option<String>,
    #[serde(alias = "nextCursor")]
    next_cursor: Option<String>,
    #[serde(alias = "recordCount")]
    record_count: Option<u64>,
    sha256: Option<String>,
}

impl Pages {
    /// From the beginning, or from a place that an earlier page named.
    pub(crate) fn new(remote: Remote, question: Question, parameter: &'static str, after: Option<String>) -> Self {
        Self {
            remote,
            question,
            parameter,
            digester: after.is_none().then(Digester::new),
            next: after,
            is_done: false,
            mark: None,
            number: 0,
            empty: 0,
            lines: 0,
        }
    }

    /// The next page that has lines, or the last one; `None` behind it. The digests of a page are checked before it is given, that of
    /// the whole list before its last page is.
    pub(crate) async fn next(&mut self) -> Result<Option<Page>, RemoteError> {
        while !self.is_done {
            let page = self.fetch().await?;
            if page.next.is_none() || !page.lines.is_empty() {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    async fn fetch(&mut self) -> Result<Page, RemoteError> {
        let place = self.next.clone().map(|next| (self.parameter, next));
        let answer = self.remote.ask(&self.question, place.as_slice(), "application/x-ndjson").await?;
        answer::expect_media(&answer.headers, "application/x-ndjson")?;
        let mut lines = split(&answer.body)?;
        let trailer = trailer(&mut lines);
        if let Some(digester) = &mut self.digester {
            for line in &lines {
                digester.update(line);
                digester.update(b"\n");
            }
        }
        self.lines += lines.len() as u64;
        if self.lines > MAX_LINES {
            return Err(RemoteError::Endless("more lines came than are read"));
        }
        let next = header(&answer.headers).or(trailer.next_page_token).or(trailer.next_cursor);
        let next = next.filter(|next| !next.is_empty());
        self.advance(lines.is_empty(), next.clone())?;
        if self.is_done {
            self.check(trailer.record_count, trailer.sha256)?;
        }
        Ok(Page { lines, next })
    }

    fn advance(&mut self, is_empty: bool, next: Option<String>) -> Result<(), RemoteError> {
        self.empty = if is_empty { self.empty + 1 } else { 0 };
        if self.empty > EMPTY_PAGES {
            return Err(RemoteError::Endless("page after page came without a line"));
        }
        if next.is_some() && (next == self.mark || next == self.next) {
            return Err(RemoteError::Endless("a page leads back to one that was read before"));
        }
        self.number += 1;
        if self.number.is_power_of_two() {
            self.mark.clone_from(&next);
        }
        self.is_done = next.is_none();
        self.next = next;
        Ok(())
    }

    fn check(&mut self, count: Option<u64>, sha256: Option<String>) -> Result<(), RemoteError> {
        let Some(digester) = self.digester.take() else { return Ok(()) };
        if let Some(count) = count.filter(|count| *count != self.lines) {
            return Err(RemoteError::Manifest(format!("{} lines came, it counts {count}", self.lines)));
        }
        let found = digester.finish().sha256;
        let promised = sha256.map(|text| text.trim_start_matches("sha256:").to_ascii_lowercase());
        match promised {
            Some(promised) if promised != found.hex() => Err(RemoteError::Manifest(format!(
                "the lines that came have the digest {found}, it says sha256:{promised}"
            ))),
            _ => Ok(()),
        }
    }
}

/// The lines of a body. A last line without its line feed is whole only if the body was, which the transfer has made sure of.
fn split(body: &Bytes) -> Result<Vec<Bytes>, RemoteError> {
    let mut lines = Vec::new();
    for line in body.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        if line.first() != Some(&b'{') {
            return Err(RemoteError::Form("a line is no object".to_owned()));
        }
        lines.push(body.slice_ref(line));
    }
    Ok(lines)
}

/// Takes the last line away if it is no row.
fn trailer(lines: &mut Vec<Bytes>) -> Trailer {
    /// Longest last line that is looked at; a token has a few hundred bytes.
    const MAX_TRAILER: usize = 16 << 10;
    let found = lines.last().filter(|line| line.len() <= MAX_TRAILER);
    let Some(found) = found.and_then(|line| serde_json::from_slice::<Trailer>(line).ok()) else {
        return Trailer::default();
    };
    let is_manifest = found.record_count.is_some() && found.sha256.is_some();
    if is_manifest || found.next_page_token.is_some() || found.next_cursor.is_some() {
        lines.pop();
        return found;
    }
    Trailer::default()
}

fn header(headers: &HeaderMap) -> Option<String> {
    let found = ["x-next-page-token", "x-next-cursor"].iter().find_map(|name| headers.get(*name));
    found.and_then(|value| value.to_str().ok()).map(str::to_owned)
}
