//! The 512-byte `ustar` header (POSIX.1-2017, pax, "ustar Interchange Format").

use super::{Refusal, TarError, path, pax};

pub(super) const BLOCK: usize = 512;

/// The two zero blocks after the last entry.
pub const END_OF_ARCHIVE: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

const NAME: (usize, usize) = (0, 100);
const MODE: (usize, usize) = (100, 8);
const UID: (usize, usize) = (108, 8);
const GID: (usize, usize) = (116, 8);
const SIZE: (usize, usize) = (124, 12);
const MTIME: (usize, usize) = (136, 12);
const CHECKSUM: (usize, usize) = (148, 8);
const KIND: usize = 156;
const MAGIC: (usize, usize) = (257, 8);
const DEVICE_MAJOR: (usize, usize) = (329, 8);
const DEVICE_MINOR: (usize, usize) = (337, 8);
const PREFIX: (usize, usize) = (345, 155);

/// Largest size that eleven octal digits hold: 8 GiB less one byte.
const MAX_OCTAL_SIZE: u64 = 0o777_7777_7777;

/// Name of the extended header's own entry, the one that Python's `tarfile` uses too.
const PAX_NAME: &str = "././@PaxHeader";

/// The header of a regular file, mode 0644, with an extended header before it if path or size need one.
///
/// # Errors
/// [`TarError::Path`].
pub fn header_bytes(path: &str, size: u64) -> Result<Vec<u8>, TarError> {
    check(path)?;
    Ok(entry(path, size, b'0', 0o644))
}

/// The header of a folder, mode 0755; `path` comes without a trailing slash.
pub(super) fn folder_bytes(path: &str) -> Result<Vec<u8>, TarError> {
    check(path)?;
    Ok(entry(&format!("{path}/"), 0, b'5', 0o755))
}

/// The zeros that fill a body of `size` bytes up to a whole block.
pub fn padding(size: u64) -> &'static [u8] {
    static ZEROS: [u8; BLOCK] = [0; BLOCK];
    let over = usize::try_from(size % BLOCK as u64).unwrap_or_default();
    if over == 0 { &[] } else { &ZEROS[over..] }
}

fn check(path: &str) -> Result<(), TarError> {
    path::check(path).map_err(|problem| TarError::Path { path: path::shown(path.as_bytes()), problem })
}

fn entry(path: &str, size: u64, kind: u8, mode: u64) -> Vec<u8> {
    let mut records = Vec::new();
    let split = if path.is_ascii() { split_path(path) } else { None };
    if split.is_none() {
        pax::push_record("path", path, &mut records);
    }
    if size > MAX_OCTAL_SIZE {
        pax::push_record("size", &size.to_string(), &mut records);
    }
    let mut out = Vec::new();
    if !records.is_empty() {
        let length = records.len() as u64;
        out.extend_from_slice(&block("", PAX_NAME.as_bytes(), length, b'x', 0o644));
        out.extend_from_slice(&records);
        out.extend_from_slice(padding(length));
    }
    let octal_size = if size > MAX_OCTAL_SIZE { 0 } else { size };
    if let Some((prefix, name)) = split {
        out.extend_from_slice(&block(prefix, name.as_bytes(), octal_size, kind, mode));
    } else {
        // Only readers that know no extended headers see this name.
        let name: Vec<u8> = path.bytes().map(|byte| if byte.is_ascii() { byte } else { b'_' }).take(NAME.1).collect();
        out.extend_from_slice(&block("", &name, octal_size, kind, mode));
    }
    out
}

/// Cuts an ASCII path into prefix and name at the first slash that leaves a name that fits.
fn split_path(path: &str) -> Option<(&str, &str)> {
    if path.len() <= NAME.1 {
        return Some(("", path));
    }
    path.match_indices('/')
        .filter_map(|(at, _)| Some((path.get(..at)?, path.get(at + 1..)?)))
        .find(|(_, name)| name.len() <= NAME.1)
        .filter(|(prefix, name)| prefix.len() <= PREFIX.1 && !name.is_empty())
}

fn block(prefix: &str, name: &[u8], size: u64, kind: u8, mode: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |(at, length): (usize, usize), value: &[u8]| {
        for (place, byte) in block.iter_mut().skip(at).take(length).zip(value) {
            *place = *byte;
        }
    };
    let octal = |(_, length): (usize, usize), value: u64| format!("{value:0width$o}", width = length - 1).into_bytes();
    put(NAME, name);
    put(PREFIX, prefix.as_bytes());
    put(MAGIC, b"ustar\x0000");
    put((KIND, 1), &[kind]);
    for (field, value) in
        [(MODE, mode), (UID, 0), (GID, 0), (SIZE, size), (MTIME, 0), (DEVICE_MAJOR, 0), (DEVICE_MINOR, 0)]
    {
        put(field, &octal(field, value));
    }
    let sum = checksum(&block);
    for (place, byte) in block.iter_mut().skip(CHECKSUM.0).zip(format!("{sum:06o}\0 ").bytes()) {
        *place = byte;
    }
    block
}

/// Sum of all bytes, those of the checksum itself taken as blanks.
fn checksum(block: &[u8; BLOCK]) -> u64 {
    let checksum = CHECKSUM.0..CHECKSUM.0 + CHECKSUM.1;
    block.iter().enumerate().map(|(at, byte)| u64::from(if checksum.contains(&at) { b' ' } else { *byte })).sum()
}

/// A header as read.
#[derive(Debug)]
pub(super) struct Header {
    /// Prefix and name joined.
    pub(super) path: Vec<u8>,
    pub(super) size: u64,
    pub(super) kind: u8,
}

/// Reads a header that is not all zero. Old (v7) and GNU headers are refused: what they mean differs between readers.
pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Header, Refusal> {
    if field(block, MAGIC) != b"ustar\x0000" {
        return Err(Refusal::Header("it is no POSIX ustar header"));
    }
    if octal(field(block, CHECKSUM)) != Some(checksum(block)) {
        return Err(Refusal::Header("its checksum is wrong"));
    }
    let name = text(field(block, NAME))?;
    let prefix = text(field(block, PREFIX))?;
    let path = if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() };
    let size = octal(field(block, SIZE)).ok_or(Refusal::Header("its size is no octal number"))?;
    Ok(Header { path, size, kind: block[KIND] })
}

fn field(block: &[u8; BLOCK], (at, length): (usize, usize)) -> &[u8] {
    block.get(at..at + length).unwrap_or_default()
}

/// Text up to the first zero byte. Bytes after it would be read by some and not by others.
fn text(field: &[u8]) -> Result<&[u8], Refusal> {
    let end = memchr::memchr(0, field).unwrap_or(field.len());
    let (text, rest) = field.split_at(end);
    if rest.iter().all(|byte| *byte == 0) { Ok(text) } else { Err(Refusal::Header("a name goes on after its end")) }
}

/// Octal digits, blanks before and blanks or zero bytes after them. The base-256 form of GNU is not taken.
fn octal(field: &[u8]) -> Option<u64> {
    let start = field.iter().position(|byte| *byte != b' ')?;
    let digits = field.get(start..)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if digits.is_empty() || !rest.iter().all(|byte| matches!(byte, b' ' | 0)) {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = char::from(*digit).to_digit(8)?;
        value.checked_mul(8)?.checked_add(u64::from(digit))
    })
}
