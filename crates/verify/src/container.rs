//! Where the files of a bundle are: in a folder, in an OCI image layout, in an archive, or in a stream that passes by once.
//!
//! Files are opened one by one by their known names and closed lengths; nothing is unpacked, and nothing is followed from one
//! container into another.

mod delivery;
mod folder;
mod layout;
mod plain;
mod tree;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use export_canon::digesting::sha256;
use export_canon::tar::{TarLimits, TarReader};
use export_contract::Digest;
use export_contract::manifest::PATH;
use export_signing::bundle::MAX_BYTES;

use crate::archive::Archive;
use crate::error::{Problem, VerifyError};
use crate::unpack::Unpack;
pub(crate) use delivery::Delivery;
use folder::Folder;
use layout::Layout;
#[cfg(feature = "testing")]
pub(crate) use layout::{LayoutIndex, LayoutManifest};

/// Name of the tar in a folder, and as a subject of provenance.
pub(crate) const BUNDLE: &str = "bundle.tar";
/// Name of the manifest beside the tar, and as a subject of provenance.
pub(crate) const EXPORT_JSON: &str = "export.json";
/// Name of the detached signature.
pub(crate) const DETACHED: &str = "export.json.sig";
/// Name of the signature as a Sigstore bundle.
pub(crate) const BUNDLED: &str = "export.json.sigstore.json";
/// Name of the key that comes along.
pub(crate) const KEY: &str = "cosign.pub";
/// Name of the statement.
pub(crate) const PROVENANCE: &str = "provenance.json";
/// Name of the signed statement.
pub(crate) const ATTESTATION: &str = "provenance.sigstore.json";
/// Name of the signed statement that the bundle is unchanged.
pub(crate) const REFRESH: &str = export_contract::refresh::FILE;

/// Name of the detached signature over the manifest of the mirror that a delta leads to.
pub(crate) const TARGET_DETACHED: &str = "target.json.sig";
/// Name of that signature as a Sigstore bundle.
pub(crate) const TARGET_BUNDLED: &str = "target.json.sigstore.json";

/// Largest `export.json` that is read; the sign stage signs no larger one.
pub(crate) const MAX_MANIFEST: u64 = 64 << 20;
/// Bytes read at a time.
const PIECE: usize = 256 << 10;

/// The files that travel with a tar, and the most bytes that are read of each.
const BESIDE: [(&str, u64); 9] = [
    (KEY, 16 << 10),
    (EXPORT_JSON, MAX_MANIFEST),
    // A P-256 signature has at most 72 bytes in DER, 96 in base64.
    (DETACHED, 1 << 10),
    (BUNDLED, 64 << 10),
    (PROVENANCE, 16 << 20),
    (ATTESTATION, MAX_BYTES as u64),
    (TARGET_DETACHED, 1 << 10),
    (TARGET_BUNDLED, 64 << 10),
    // The statement has a fixed number of members.
    (REFRESH, 64 << 10),
];
/// What must be known before a tar that passes by only once can be judged.
const FIRST: [&str; 3] = [EXPORT_JSON, DETACHED, BUNDLED];

/// A bundle's files.
pub(crate) enum Container<'a> {
    /// In a folder, or a tar with the others beside it.
    Folder(Folder),
    /// In an OCI image layout.
    Layout(Layout),
    /// In an archive that can be read again.
    Archive { path: PathBuf, held: Held },
    /// In an archive that passes by.
    Stream(Box<Stream<'a>>),
}

/// Files kept in memory.
#[derive(Default)]
pub(crate) struct Held {
    files: BTreeMap<&'static str, Vec<u8>>,
    others: Vec<String>,
}

/// An archive that stands at its tar or behind it.
pub(crate) struct Stream<'a> {
    delivery: Delivery<Box<dyn Read + 'a>>,
    /// Bytes of the tar, if it was reached.
    bundle: Option<u64>,
    held: Held,
}

/// The bytes of `export.json`.
#[derive(Debug)]
pub(crate) struct ExportJson {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
}

impl<'a> Container<'a> {
    /// Finds out what lies at a path.
    pub(crate) fn open(path: &Path) -> Result<Self, VerifyError> {
        let meta = match fs::metadata(path) {
            Ok(meta) => meta,
            Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(VerifyError::NotFound(path.to_owned()));
            }
            Err(cause) => return Err(VerifyError::Read { path: path.to_owned(), cause }),
        };
        if meta.is_dir() {
            return if path.join(layout::MARKER).is_file() {
                Layout::open(path).map(Self::Layout)
            } else {
                Ok(Self::Folder(Folder::of(path)))
            };
        }
        if !is_delivery(path)? {
            return Ok(Self::Folder(Folder::around(path)));
        }
        let stream = Stream::start(Box::new(plain_file(path, BUNDLE)?), "the archive")?;
        if stream.lacks().is_empty() {
            return Ok(Self::Stream(Box::new(stream)));
        }
        let held = stream.rest()?;
        Ok(Self::Archive { path: path.to_owned(), held })
    }

    /// A delivery that is read once, from its first byte to its last.
    pub(crate) fn stream(reader: impl Read + 'a) -> Result<Self, VerifyError> {
        let reader = plain::decoded(reader, "standard input")?;
        let stream = Stream::start(reader, "standard input")?;
        let missing = stream.lacks();
        if missing.is_empty() || stream.bundle.is_none() {
            return Ok(Self::Stream(Box::new(stream)));
        }
        // Either they come later, or never: only the rest of the stream can tell.
        let held = stream.rest()?;
        match missing.into_iter().find(|name| !held.files.contains_key(name)) {
            Some(EXPORT_JSON) => Err(VerifyError::FileMissing(EXPORT_JSON.to_owned())),
            Some(file) => Err(VerifyError::SignatureMissing { what: EXPORT_JSON, file }),
            None => Err(VerifyError::Order),
        }
    }

    /// The bytes of the tar. A stream gives them once.
    pub(crate) fn bundle(&mut self) -> Result<Box<dyn Read + '_>, VerifyError> {
        match self {
            Self::Folder(folder) => folder.bundle(),
            Self::Layout(layout) => Ok(Box::new(layout.bundle()?)),
            Self::Archive { path, .. } => {
                let mut delivery = Delivery::new(plain_file(path, BUNDLE)?, "the archive");
                while let Some(member) = delivery.next_member()? {
                    if member.name == BUNDLE {
                        return Ok(Box::new(delivery));
                    }
                }
                Err(VerifyError::FileMissing(BUNDLE.to_owned()))
            }
            Self::Stream(stream) if stream.bundle.is_some() => Ok(Box::new(&mut stream.delivery)),
            Self::Stream(_) => Err(VerifyError::FileMissing(BUNDLE.to_owned())),
        }
    }

    /// Takes what comes after the tar, and compares the tar with what the container itself says of it.
    pub(crate) fn close(&mut self, archive: &Archive) -> Result<(), VerifyError> {
        match self {
            Self::Folder(_) | Self::Archive { .. } => Ok(()),
            Self::Layout(layout) => layout.compare(archive),
            Self::Stream(stream) => stream.take_rest(),
        }
    }

    /// Bytes of the tar, or of what it is compressed to.
    pub(crate) fn bundle_bytes(&mut self) -> Result<u64, VerifyError> {
        match self {
            Self::Folder(folder) => folder.bundle_bytes(),
            Self::Layout(layout) => layout.bundle_bytes(),
            Self::Archive { path, .. } => {
                let mut delivery = Delivery::new(plain_file(path, BUNDLE)?, "the archive");
                while let Some(member) = delivery.next_member()? {
                    if member.name == BUNDLE {
                        return Ok(member.size);
                    }
                }
                Err(VerifyError::FileMissing(BUNDLE.to_owned()))
            }
            Self::Stream(stream) => stream.bundle.ok_or_else(|| VerifyError::FileMissing(BUNDLE.to_owned())),
        }
    }

    /// A file that travels with the tar, whole; `None` when there is none.
    pub(crate) fn beside(&self, name: &'static str) -> Result<Option<Cow<'_, [u8]>>, VerifyError> {
        match self {
            Self::Folder(folder) => Ok(folder.beside(name, limit_of(name))?.map(Cow::Owned)),
            Self::Layout(layout) => Ok(layout.beside(name, limit_of(name))?.map(Cow::Owned)),
            Self::Archive { held, .. } => Ok(held.files.get(name).map(|bytes| Cow::Borrowed(bytes.as_slice()))),
            Self::Stream(stream) => Ok(stream.held.files.get(name).map(|bytes| Cow::Borrowed(bytes.as_slice()))),
        }
    }

    /// `export.json`: the one beside the tar, else the one inside.
    pub(crate) fn export_json(&mut self) -> Result<ExportJson, VerifyError> {
        let beside = match self {
            Self::Archive { held, .. } => held.files.remove(EXPORT_JSON),
            Self::Stream(stream) => {
                let found = stream.held.files.remove(EXPORT_JSON);
                Some(found.ok_or_else(|| VerifyError::FileMissing(EXPORT_JSON.to_owned()))?)
            }
            Self::Folder(_) | Self::Layout(_) => self.beside(EXPORT_JSON)?.map(Cow::into_owned),
        };
        let bytes = match beside {
            Some(bytes) => bytes,
            None => self.export_json_inside()?,
        };
        let digest = Digest::from_bytes(*sha256(&bytes).as_bytes());
        Ok(ExportJson { bytes, digest })
    }

    fn export_json_inside(&mut self) -> Result<Vec<u8>, VerifyError> {
        let reader = BufReader::with_capacity(PIECE, self.bundle()?);
        let mut archive = TarReader::new(reader, TarLimits::default());
        while let Some(entry) = archive.next_entry().map_err(|cause| VerifyError::archive(BUNDLE, cause))? {
            if entry.path() != PATH {
                continue;
            }
            if entry.size() > MAX_MANIFEST {
                let problem = Problem::TooLarge { bytes: entry.size(), limit: MAX_MANIFEST };
                return Err(VerifyError::malformed(PATH, problem));
            }
            return whole(entry, MAX_MANIFEST, Path::new(BUNDLE));
        }
        Err(VerifyError::FileMissing(PATH.to_owned()))
    }

    /// Which of the files that travel with a bundle are there, in the order of their names. `export.json` of an archive is only
    /// there until it was taken.
    pub(crate) fn files_beside(&self) -> Vec<&'static str> {
        let there = |name: &&str| match self {
            Self::Folder(folder) => folder.has(name),
            Self::Layout(layout) => layout.has(name),
            Self::Archive { held, .. } => held.files.contains_key(*name),
            Self::Stream(stream) => stream.held.files.contains_key(*name),
        };
        BESIDE.map(|(name, _)| name).into_iter().filter(there).collect()
    }

    /// Gives every file beside the tar to somebody else; `export_json` was taken out before.
    pub(crate) fn copy_beside(&self, export_json: &ExportJson, copies: &mut dyn Unpack) -> Result<(), VerifyError> {
        let write = |name: &str, cause| VerifyError::Write { path: name.to_owned(), cause };
        copies.beside(EXPORT_JSON, &export_json.bytes).map_err(|cause| write(EXPORT_JSON, cause))?;
        for (name, _) in BESIDE.into_iter().filter(|(name, _)| *name != EXPORT_JSON) {
            if let Some(bytes) = self.beside(name)? {
                copies.beside(name, &bytes).map_err(|cause| write(name, cause))?;
            }
        }
        Ok(())
    }

    /// What else the container holds, which nobody signed and nobody looked at; a folder is not searched for it.
    pub(crate) fn others(&self) -> &[String] {
        match self {
            Self::Folder(_) => &[],
            Self::Layout(layout) => layout.others(),
            Self::Archive { held, .. } => &held.others,
            Self::Stream(stream) => &stream.held.others,
        }
    }
}

impl<'a> Stream<'a> {
    /// Reads up to the tar.
    fn start(reader: Box<dyn Read + 'a>, what: &'static str) -> Result<Self, VerifyError> {
        let mut stream = Self { delivery: Delivery::new(reader, what), bundle: None, held: Held::default() };
        stream.take_until_bundle()?;
        Ok(stream)
    }

    /// Which of the files are not there that must come first.
    fn lacks(&self) -> Vec<&'static str> {
        FIRST.into_iter().filter(|name| !self.held.files.contains_key(name)).collect()
    }

    fn take_until_bundle(&mut self) -> Result<(), VerifyError> {
        while let Some(member) = self.delivery.next_member()? {
            if member.name == BUNDLE {
                self.bundle = Some(member.size);
                return Ok(());
            }
            self.held.take(&member, &mut self.delivery)?;
        }
        Ok(())
    }

    /// The delivery itself refuses a second tar.
    fn take_rest(&mut self) -> Result<(), VerifyError> {
        while let Some(member) = self.delivery.next_member()? {
            self.held.take(&member, &mut self.delivery)?;
        }
        Ok(())
    }

    fn rest(mut self) -> Result<Held, VerifyError> {
        self.take_rest()?;
        Ok(self.held)
    }
}

impl Held {
    fn take<R: Read>(&mut self, member: &delivery::Member, body: &mut Delivery<R>) -> Result<(), VerifyError> {
        let Some((name, limit)) = BESIDE.into_iter().find(|(name, _)| *name == member.name) else {
            self.others.push(crate::error::shown(&member.name));
            return Ok(());
        };
        if member.size > limit {
            return Err(VerifyError::malformed(name, Problem::TooLarge { bytes: member.size, limit }));
        }
        self.files.insert(name, whole(body, limit, Path::new(name))?);
        Ok(())
    }
}

/// Whether a file is an archive of `bundle.tar` and its companions, and not a `bundle.tar` itself: the first name that is known
/// decides, and what cannot be read as a delivery is left to the stricter reader, which says what is wrong.
fn is_delivery(path: &Path) -> Result<bool, VerifyError> {
    let mut delivery = Delivery::new(plain_file(path, BUNDLE)?, "the archive");
    loop {
        match delivery.next_member() {
            Ok(Some(member)) if is_known(&member.name) => return Ok(true),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return Ok(false),
        }
    }
}

fn is_known(name: &str) -> bool {
    name == BUNDLE || BESIDE.iter().any(|(known, _)| *known == name)
}

fn limit_of(name: &str) -> u64 {
    BESIDE.iter().find(|(known, _)| *known == name).map_or(0, |(_, limit)| *limit)
}

/// A file's bytes, decompressed if they are zstd.
fn plain_file(path: &Path, name: &str) -> Result<Box<dyn Read>, VerifyError> {
    let (file, _) = regular(path, name)?.ok_or_else(|| VerifyError::FileMissing(name.to_owned()))?;
    plain::decoded(file, name)
}

/// Reads at most `limit` bytes.
fn whole(reader: impl Read, limit: u64, path: &Path) -> Result<Vec<u8>, VerifyError> {
    let mut bytes = Vec::new();
    reader.take(limit).read_to_end(&mut bytes).map_err(|cause| VerifyError::of_read(path, cause))?;
    Ok(bytes)
}

/// Opens a regular file. Pipes and devices would make a reader wait or read for ever.
fn regular(path: &Path, name: &str) -> Result<Option<(File, u64)>, VerifyError> {
    let read = |cause| VerifyError::Read { path: path.to_owned(), cause };
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => File::open(path).map(|file| Some((file, meta.len()))).map_err(read),
        Ok(_) => Err(VerifyError::malformed(name, Problem::NotAFile)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(read(cause)),
    }
}
