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

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use bytes::Bytes;
    use export_canon::digesting::sha256;
    use export_canon::tar::{TarLimits, TarReader};
    use flate2::read::GzDecoder;
    use tokio::sync::mpsc;

    use super::{Member, pack};
    use crate::trivy::TrivyError;

    fn packed(members: Vec<(&'static str, Member)>) -> Result<Vec<u8>, TrivyError> {
        let (sender, mut pieces) = mpsc::channel::<Bytes>(64);
        pack(members, sender)?;
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.blocking_recv() {
            bytes.extend(piece);
        }
        Ok(bytes)
    }

    /// Some 300 KB that give a compressor choices.
    fn text() -> String {
        (0..20_000_u64).map(|n| format!("{:x} pkg-{} ", n.wrapping_mul(0x9e37_79b9) % 65_521, n % 977)).collect()
    }

    /// Another deflate, or another version of it, gives other bytes: then the adapters' versions rise, and this digest is another one.
    #[test]
    fn the_bytes_of_an_archive_are_the_ones_they_always_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, text()).unwrap();
        let bytes =
            packed(vec![("a.json", Member::Text("{}\n".to_owned())), ("trivy.db", Member::File(path))]).unwrap();
        // RFC 1952 section 2.3: deflate, no flags, no time, no extra flags, unknown system.
        assert_eq!(bytes[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
        assert_eq!(sha256(&bytes).hex(), "e165bcb0bdb9d7890555e2ec43af0efd55c5a0732ecc0b6fab7a3620b3eb4597");
        let mut plain = Vec::new();
        GzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap();
        let mut tar = TarReader::new(&plain[..], TarLimits::default());
        let mut found = Vec::new();
        while let Some(mut entry) = tar.next_entry().unwrap() {
            let mut body = String::new();
            entry.read_to_string(&mut body).unwrap();
            found.push((entry.path().to_owned(), body));
        }
        assert_eq!(found, [("a.json".to_owned(), "{}\n".to_owned()), ("trivy.db".to_owned(), text())]);
    }

    #[test]
    fn a_member_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = packed(vec![("trivy.db", Member::File(folder.path().join("gone")))]).unwrap_err();
        assert!(matches!(&error, TrivyError::Scratch { path, .. } if path.ends_with("gone")), "{error}");
    }
}
