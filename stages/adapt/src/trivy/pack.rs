//! The archive that scanners load: tar in gzip, the same bytes for the same members.

use std::fs::File;
use std::io::{self, Cursor, Read, Write};
use std::path::PathBuf;

use bytes::Bytes;
use export_canon::tar::TarWriter;
use flate2::{Compression, GzBuilder};
use tokio::sync::mpsc;

use super::error::TrivyError;

/// Bytes that are handed on at a time.
const PIECE: usize = 1 << 20;

/// A member of the archive.
#[derive(Debug)]
pub(crate) enum Member {
    /// A file of the scratch folder.
    File(PathBuf),
    /// A short text.
    Text(String),
}

/// Hands what is written on as pieces.
struct Pieces {
    sender: mpsc::Sender<Bytes>,
    open: Vec<u8>,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.open, Vec::with_capacity(PIECE));
        self.sender.blocking_send(Bytes::from(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.open.extend_from_slice(bytes);
        if self.open.len() >= PIECE {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Packs `members` in the order given. Blocks.
pub(crate) fn pack(members: Vec<(&str, Member)>, sender: mpsc::Sender<Bytes>) -> Result<(), TrivyError> {
    let pieces = Pieces { sender, open: Vec::with_capacity(PIECE) };
    // No name, no time; the operating system that gzip notes is "unknown", whatever this one is.
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(pieces, Compression::new(6));
    let mut tar = TarWriter::new(gzip);
    for (name, member) in members {
        let (bytes, body): (u64, Box<dyn Read>) = match member {
            Member::Text(text) => (text.len() as u64, Box::new(Cursor::new(text))),
            Member::File(path) => {
                let failed = |cause| TrivyError::Scratch { act: "read", path: path.clone(), cause };
                let file = File::open(&path).map_err(failed)?;
                (file.metadata().map_err(failed)?.len(), Box::new(file))
            }
        };
        tar.append(name, bytes, body).map_err(|cause| TrivyError::Pack { name: name.to_owned(), cause })?;
    }
    let gzip = tar.finish().map_err(|cause| TrivyError::Pack { name: "the archive".to_owned(), cause })?;
    let mut pieces = gzip.finish().map_err(TrivyError::Gzip)?;
    pieces.send().map_err(TrivyError::Gzip)
}
