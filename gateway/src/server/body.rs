//! Bodies of answers: what the routes made, with a trailer where one is due, or part of a file.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use export_blobs::ByteStream;
use export_blobs::folder::pieces;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::{Body, Frame, SizeHint};

use super::outgoing::{FilePart, Parts, Placeholders};

/// Set on a response: end its body with this `Repr-Digest` trailer.
#[derive(Clone, Debug)]
pub(crate) struct ChecksumTrailer(pub(crate) String);

/// Set on a response: its body is this part of a file, and not what it carries. The part is not empty.
#[derive(Clone, Debug)]
pub(crate) struct FileBody(FilePart);

impl FileBody {
    pub(crate) fn new(file: std::fs::File, range: std::ops::Range<u64>) -> Self {
        Self(FilePart { file: Arc::new(file), range })
    }
}

/// The body of an answer on its way out.
pub(super) enum Answer<B> {
    Made { body: Pin<Box<B>>, trailers: Option<HeaderMap> },
    Sent(Placeholders),
    Read { pieces: ByteStream, left: u64 },
}

impl<B> Answer<B> {
    /// The body that `response` asks for; `file` decides how a part of a file is sent.
    pub(super) fn of(mut response: Response<B>, file: impl FnOnce(FilePart) -> Self) -> Response<Self> {
        if let Some(FileBody(part)) = response.extensions_mut().remove() {
            return response.map(|_| file(part));
        }
        let trailers = response.extensions_mut().remove::<ChecksumTrailer>().and_then(|ChecksumTrailer(digest)| {
            let value = HeaderValue::from_str(&digest).ok()?;
            Some(HeaderMap::from_iter([(HeaderName::from_static("repr-digest"), value)]))
        });
        response.map(|body| Self::Made { body: Box::pin(body), trailers })
    }

    /// A part that the connection with these `parts` sends.
    pub(super) fn sent_by_kernel(parts: &Parts, part: FilePart) -> Self {
        parts.push(part.clone());
        Self::Sent(Placeholders::new(part))
    }

    /// A part that is read piece by piece.
    pub(super) fn read(part: FilePart) -> Self {
        let left = part.range.end - part.range.start;
        Self::Read { pieces: pieces(part.file, part.range), left }
    }
}

type Failed = Box<dyn Error + Send + Sync>;

impl<B: Body<Data = Bytes, Error: Into<Failed>>> Body for Answer<B> {
    type Data = Bytes;
    type Error = Failed;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failed>>> {
        Poll::Ready(match &mut *self {
            Self::Made { body, trailers } => match ready!(body.as_mut().poll_frame(cx)) {
                None => trailers.take().map(|trailers| Ok(Frame::trailers(trailers))),
                Some(frame) => Some(frame.map_err(Into::into)),
            },
            Self::Sent(placeholders) => {
                ready!(placeholders.poll_next(cx)).map(|piece| piece.map(Frame::data).map_err(Into::into))
            }
            Self::Read { pieces, left } => match ready!(pieces.as_mut().poll_next(cx)) {
                Some(Ok(piece)) => {
                    *left = left.saturating_sub(piece.len() as u64);
                    Some(Ok(Frame::data(piece)))
                }
                Some(Err(error)) => Some(Err(error.into())),
                None => None,
            },
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Made { body, trailers } => trailers.is_none() && body.is_end_stream(),
            Self::Sent(placeholders) => placeholders.left() == 0,
            Self::Read { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Made { body, .. } => body.size_hint(),
            Self::Sent(placeholders) => SizeHint::with_exact(placeholders.left()),
            Self::Read { left, .. } => SizeHint::with_exact(*left),
        }
    }
}
