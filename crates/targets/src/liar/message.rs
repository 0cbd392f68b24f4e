//! As much of HTTP/1.1 as a proxy needs that passes on one message per connection.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Longest head that is read.
const MAX_HEAD: u64 = 64 << 10;
/// Bytes that are passed on at a time.
const PIECE: u64 = 64 << 10;

/// How a body ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

/// First line and headers.
#[derive(Clone, Debug)]
pub(super) struct Head {
    first: String,
    headers: Vec<(String, String)>,
}

impl Head {
    /// `None` when the connection ends before one.
    pub(super) async fn read(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Self>> {
        let mut lines = Vec::new();
        let mut left = from.take(MAX_HEAD);
        loop {
            let mut line = String::new();
            if left.read_line(&mut line).await? == 0 {
                return Ok(None);
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            lines.push(line.to_owned());
        }
        let mut lines = lines.into_iter();
        let Some(first) = lines.next() else { return Ok(None) };
        let headers = lines
            .filter_map(|line| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned())))
            .collect();
        Ok(Some(Self { first, headers }))
    }

    /// The head of an answer after which the connection ends.
    pub(super) fn answer(status: u16, headers: &[(String, String)]) -> Vec<u8> {
        Self { first: format!("HTTP/1.1 {status} Told"), headers: headers.to_vec() }.closing()
    }

    pub(super) fn method(&self) -> &str {
        self.first.split(' ').next().unwrap_or_default()
    }

    pub(super) fn path(&self) -> &str {
        self.first.split(' ').nth(1).unwrap_or_default()
    }

    /// Of an answer: whether another one follows, as after `100 Continue`.
    pub(super) fn is_interim(&self) -> bool {
        self.path().starts_with('1')
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn set(&mut self, name: &str, value: Option<String>) {
        self.headers.retain(|(found, _)| !found.eq_ignore_ascii_case(name));
        self.headers.extend(value.map(|value| (name.to_owned(), value)));
    }

    /// Of a request: a body without a length is none.
    pub(super) fn framing(&self) -> Framing {
        if self.value("transfer-encoding").is_some() {
            return Framing::Chunked;
        }
        Framing::Length(self.value("content-length").and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    pub(super) fn as_it_is(&self) -> Vec<u8> {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{}\r\n{headers}\r\n", self.first).into_bytes()
    }

    /// The same for a connection that ends after this message.
    pub(super) fn closing(&self) -> Vec<u8> {
        let mut head = self.clone();
        head.set("connection", Some("close".to_owned()));
        head.as_it_is()
    }
}

/// Reads a body to its end, or `most` bytes of it, and passes it on. Goes on reading when nobody takes it any more.
pub(super) async fn pass_body(
    from: &mut (impl AsyncBufRead + Unpin),
    mut to: Option<&mut (impl AsyncWrite + Unpin)>,
    framing: Framing,
    most: u64,
    counted: &mut impl FnMut(u64),
) -> io::Result<()> {
    let mut left = most;
    match framing {
        Framing::Length(bytes) => pass(from, &mut to, bytes.min(left), counted).await.map(drop),
        Framing::Chunked => loop {
            let mut line = String::new();
            from.read_line(&mut line).await?;
            let size = line.trim().split(';').next().unwrap_or_default();
            let size =
                u64::from_str_radix(size, 16).map_err(|cause| io::Error::new(io::ErrorKind::InvalidData, cause))?;
            write(&mut to, line.as_bytes()).await;
            left -= pass(from, &mut to, size.min(left), counted).await?;
            if left == 0 {
                return Ok(());
            }
            // The line feed after a piece, or the end: trailers are not passed on.
            let mut end = String::new();
            from.read_line(&mut end).await?;
            write(&mut to, b"\r\n").await;
            if size == 0 {
                return Ok(());
            }
        },
    }
}

async fn pass(
    from: &mut (impl AsyncBufRead + Unpin),
    to: &mut Option<&mut (impl AsyncWrite + Unpin)>,
    bytes: u64,
    counted: &mut impl FnMut(u64),
) -> io::Result<u64> {
    let mut left = bytes;
    while left > 0 {
        let mut piece = Vec::new();
        let read = (&mut *from).take(left.min(PIECE)).read_to_end(&mut piece).await? as u64;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        counted(read);
        write(to, &piece).await;
        left -= read;
    }
    Ok(bytes)
}

/// Whoever hung up gets no more.
async fn write(to: &mut Option<&mut (impl AsyncWrite + Unpin)>, bytes: &[u8]) {
    if let Some(open) = to
        && open.write_all(bytes).await.is_err()
    {
        *to = None;
    }
}
