//! A connection on which parts of files are sent by the kernel (`sendfile`), without a copy of theirs in this process.
//!
//! hyper knows bodies of bytes only. A body that is part of a file is therefore made of *placeholders*: pieces of one buffer that exists for
//! nothing else, each as long as the bytes that it stands for. Where hyper hands such a piece to the connection, the connection sends as many bytes
//! of the file that is next in line. Bodies leave a connection in the order in which their answers were begun (RFC 9112 section 9.3.2), so a queue is
//! all that is kept.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Bytes that one placeholder stands for at most.
const PIECE: usize = 1 << 20;

/// Nobody else has a slice of this buffer, so its addresses are a mark; its zeros are never sent, and never even touched.
static PLACEHOLDER: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![0; PIECE]));

/// An empty slice stands for nothing: it may point anywhere.
fn stands_for_a_file(buffer: &[u8]) -> bool {
    !buffer.is_empty() && PLACEHOLDER.as_ptr_range().contains(&buffer.as_ptr())
}

/// Part of a file that is the body of an answer.
#[derive(Clone, Debug)]
pub(crate) struct FilePart {
    pub(crate) file: Arc<File>,
    pub(crate) range: Range<u64>,
}

/// The parts that a connection is to send, first first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts(Arc<Mutex<VecDeque<FilePart>>>);

impl Parts {
    /// Puts a part behind those that are under way; the placeholders of the body must follow in the same order.
    pub(crate) fn push(&self, part: FilePart) {
        self.lock().push_back(part);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<FilePart>> {
        // Nothing under this lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends at most `most` bytes of the first part.
    fn send(&self, socket: &TcpStream, most: usize) -> io::Result<usize> {
        let mut parts = self.lock();
        let Some(part) = parts.front_mut() else {
            return Err(io::Error::other("a placeholder without a file"));
        };
        let left = usize::try_from(part.range.end - part.range.start).unwrap_or(usize::MAX);
        let sent = rustix::fs::sendfile(socket, &*part.file, Some(&mut part.range.start), left.min(most))?;
        if sent == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it was"));
        }
        if part.range.is_empty() {
            parts.pop_front();
        }
        Ok(sent)
    }
}

/// The placeholders of a part, one after the other.
#[derive(Debug)]
pub(crate) struct Placeholders {
    part: FilePart,
    fetching: Option<JoinHandle<io::Result<()>>>,
}

impl Placeholders {
    pub(crate) fn new(part: FilePart) -> Self {
        // A hint: the kernel reads further ahead.
        let _no_matter = rustix::fs::fadvise(&*part.file, 0, None, rustix::fs::Advice::Sequential);
        Self { part, fetching: None }
    }

    pub(crate) fn left(&self) -> u64 {
        self.part.range.end - self.part.range.start
    }

    /// The next placeholder, once what it stands for can be sent without waiting for a disk: that would hold up every other connection of the
    /// thread.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let length = usize::try_from(self.left()).unwrap_or(usize::MAX).min(PIECE);
        if length == 0 {
            return Poll::Ready(None);
        }
        let end = self.part.range.start + length as u64;
        if self.fetching.is_none() && !in_memory(&self.part.file, end - 1) {
            let (file, from) = (Arc::clone(&self.part.file), self.part.range.start);
            self.fetching = Some(tokio::task::spawn_blocking(move || fetch(&file, from..end)));
        }
        if let Some(fetching) = &mut self.fetching {
            let fetched = ready!(Pin::new(fetching).poll(cx)).unwrap_or_else(|cause| Err(io::Error::other(cause)));
            self.fetching = None;
            if let Err(error) = fetched {
                return Poll::Ready(Some(Err(error)));
            }
        }
        self.part.range.start = end;
        Poll::Ready(Some(Ok(PLACEHOLDER.slice(..length))))
    }
}

/// Whether the byte at `at` can be had without waiting. Bytes come to memory in order, so those before it can.
fn in_memory(file: &File, at: u64) -> bool {
    let mut byte = [0];
    let read = rustix::io::preadv2(file, &mut [io::IoSliceMut::new(&mut byte)], at, rustix::io::ReadWriteFlags::NOWAIT);
    // Where the file system does not know the question, sending finds out.
    !matches!(read, Err(rustix::io::Errno::AGAIN))
}

/// Brings a range of a file to memory; takes as long as the disk does.
fn fetch(file: &File, range: Range<u64>) -> io::Result<()> {
    let length = std::num::NonZeroU64::new(range.end - range.start);
    rustix::fs::fadvise(file, range.start, length, rustix::fs::Advice::WillNeed)?;
    rustix::io::pread(file, &mut [0], range.end - 1)?;
    Ok(())
}

/// A TCP connection that sends parts of files in the place of placeholders.
#[derive(Debug)]
pub(crate) struct Outgoing {
    socket: TcpStream,
    parts: Parts,
}

impl Outgoing {
    pub(crate) fn new(socket: TcpStream, parts: Parts) -> Self {
        Self { socket, parts }
    }

    fn poll_send(&self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_write_ready(cx))?;
            match self.socket.try_io(Interest::WRITABLE, || self.parts.send(&self.socket, most)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncRead for Outgoing {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Outgoing {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        if stands_for_a_file(buffer) {
            self.poll_send(cx, buffer.len())
        } else {
            Pin::new(&mut self.socket).poll_write(cx, buffer)
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = buffers.iter().position(|buffer| !buffer.is_empty()).unwrap_or(0);
        let buffers = buffers.get(first..).unwrap_or_default();
        match buffers.iter().position(|buffer| stands_for_a_file(buffer)) {
            Some(0) => self.poll_send(cx, buffers.first().map_or(0, |buffer| buffer.len())),
            Some(before) => {
                Pin::new(&mut self.socket).poll_write_vectored(cx, buffers.get(..before).unwrap_or_default())
            }
            None => Pin::new(&mut self.socket).poll_write_vectored(cx, buffers),
        }
    }

    fn is_write_vectored(&self) -> bool {
        // hyper copies the pieces of a body together where this is not so, and a copied placeholder is none.
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
