//! A tar of `bundle.tar` and the files that travel with it, as anybody's `tar` writes it.
//!
//! This archive is packing, nobody signed it, so times, owners and the order of members are free. It is a flat one: regular files in
//! one folder, each name once, no links. The strict reader of the signed tar inside is another one (`export_canon::tar`).

use std::collections::BTreeSet;
use std::io::{self, Read};

use crate::error::{Problem, VerifyError, shown};

const BLOCK: usize = 512;
const BLOCK_BYTES: u64 = BLOCK as u64;
/// Most members; a delivery has eight, and some more for people.
const MAX_MEMBERS: usize = 256;
/// Most bytes of an extended header.
const MAX_EXTENDED: u64 = 16 << 10;
/// Most zero bytes after the end; `tar` pads to 10 KiB, some to 1 MiB.
const MAX_TRAILER: u64 = 1 << 20;
/// Most bytes of a member.
const MAX_MEMBER: u64 = 512 << 30;
/// Longest name of a member.
const MAX_NAME: usize = 255;

/// Reads members one after the other; reading it gives the body of the current one.
pub(crate) struct Delivery<R> {
    inner: R,
    what: &'static str,
    /// Bytes of the current body still to come, and the padding after it.
    left: u64,
    padding: u64,
    folder: Option<String>,
    /// Lower-case names.
    seen: BTreeSet<String>,
    finished: bool,
}

/// A regular file of a delivery.
#[derive(Debug)]
pub(crate) struct Member {
    /// Without its folder.
    pub(crate) name: String,
    pub(crate) size: u64,
}

/// What an extended header says of the member after it.
#[derive(Default)]
struct Extended {
    path: Option<String>,
    size: Option<u64>,
}

struct Header {
    path: String,
    size: u64,
    kind: u8,
}

impl<R: Read> Delivery<R> {
    /// `what` is how messages call it.
    pub(crate) fn new(inner: R, what: &'static str) -> Self {
        Self { inner, what, left: 0, padding: 0, folder: None, seen: BTreeSet::new(), finished: false }
    }

    /// The next regular file; what is left of the one before is passed over.
    pub(crate) fn next_member(&mut self) -> Result<Option<Member>, VerifyError> {
        if self.finished {
            return Ok(None);
        }
        self.pass_over()?;
        let mut extended: Option<Extended> = None;
        loop {
            let block = self.block()?;
            if block == [0; BLOCK] {
                if extended.is_some() {
                    return Err(self.rule("an extended header has no member after it"));
                }
                self.trailer()?;
                self.finished = true;
                return Ok(None);
            }
            let header = parse(&block).map_err(|problem| self.rule(problem))?;
            match header.kind {
                b'x' if extended.is_none() => extended = Some(self.extended(header.size)?),
                b'x' => return Err(self.rule("two extended headers stand in a row")),
                b'5' => {
                    let path = extended.take().unwrap_or_default().path.unwrap_or(header.path);
                    self.enter(&path, header.size)?;
                }
                b'0' | 0 => return self.admit(header, extended.unwrap_or_default()).map(Some),
                _ => return Err(self.rule("it holds something that is no regular file: a link, a device or the like")),
            }
        }
    }

    fn rule(&self, rule: &'static str) -> VerifyError {
        VerifyError::rule(self.what, rule)
    }

    /// A folder may stand there for the files in it.
    fn enter(&mut self, path: &str, size: u64) -> Result<(), VerifyError> {
        if size != 0 {
            return Err(self.rule("a folder has bytes"));
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        if path == "." {
            return Ok(());
        }
        let path = path.strip_prefix("./").unwrap_or(path);
        check_name(path).map_err(|problem| self.rule(problem))?;
        self.same_folder(path)
    }

    fn same_folder(&mut self, folder: &str) -> Result<(), VerifyError> {
        if self.folder.get_or_insert_with(|| folder.to_owned()) == folder {
            return Ok(());
        }
        Err(self.rule("its files are not in one folder, as those of a delivery are"))
    }

    fn admit(&mut self, header: Header, extended: Extended) -> Result<Member, VerifyError> {
        let path = extended.path.unwrap_or(header.path);
        let path = path.strip_prefix("./").unwrap_or(&path);
        let (folder, name) = path.split_once('/').unwrap_or(("", path));
        check_name(name).map_err(|problem| self.rule(problem))?;
        if folder.is_empty() && path.contains('/') {
            return Err(self.rule("a name is absolute"));
        }
        if !folder.is_empty() {
            check_name(folder).map_err(|problem| self.rule(problem))?;
            self.same_folder(folder)?;
        }
        if !self.seen.insert(name.to_lowercase()) {
            return Err(self.rule("a name occurs twice, or twice but for its case"));
        }
        if self.seen.len() > MAX_MEMBERS {
            return Err(self.rule("it has more than 256 members"));
        }
        let size = extended.size.unwrap_or(header.size);
        if size > MAX_MEMBER {
            return Err(VerifyError::malformed(name, Problem::TooLarge { bytes: size, limit: MAX_MEMBER }));
        }
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK_BYTES) - size;
        Ok(Member { name: name.to_owned(), size })
    }

    fn extended(&mut self, size: u64) -> Result<Extended, VerifyError> {
        if size > MAX_EXTENDED {
            return Err(self.rule("an extended header has more than 16 KiB"));
        }
        let mut records = vec![0; usize::try_from(size.next_multiple_of(BLOCK_BYTES)).unwrap_or_default()];
        self.exact(&mut records)?;
        records.truncate(usize::try_from(size).unwrap_or_default());
        parse_records(&records).map_err(|problem| self.rule(problem))
    }

    fn pass_over(&mut self) -> Result<(), VerifyError> {
        let mut piece = vec![0; 64 << 10];
        loop {
            let got = self.read(&mut piece).map_err(|cause| VerifyError::of_read(self.what.as_ref(), cause))?;
            if got == 0 {
                break;
            }
        }
        let padding = std::mem::take(&mut self.padding);
        let mut zeros = [0; BLOCK];
        let zeros = zeros.get_mut(..usize::try_from(padding).unwrap_or_default()).unwrap_or_default();
        self.exact(zeros)?;
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(self.rule("there are bytes between its members"));
        }
        Ok(())
    }

    /// A second block of zeros, and nothing but zeros behind it.
    fn trailer(&mut self) -> Result<(), VerifyError> {
        if self.block()? != [0; BLOCK] {
            return Err(self.rule("one block of zeros stands alone"));
        }
        let mut piece = [0; BLOCK];
        let mut passed = 0;
        loop {
            let got = self.some(&mut piece)?;
            if got == 0 {
                return Ok(());
            }
            if piece.iter().take(got).any(|byte| *byte != 0) {
                return Err(self.rule("it goes on after its end"));
            }
            passed += got as u64;
            if passed > MAX_TRAILER {
                return Err(self.rule("more than 1 MiB of zeros stands after its end"));
            }
        }
    }

    fn block(&mut self) -> Result<[u8; BLOCK], VerifyError> {
        let mut block = [0; BLOCK];
        self.exact(&mut block)?;
        Ok(block)
    }

    fn exact(&mut self, mut buffer: &mut [u8]) -> Result<(), VerifyError> {
        while !buffer.is_empty() {
            match self.some(buffer)? {
                0 => return Err(VerifyError::CutOff(shown(self.what))),
                got => buffer = buffer.get_mut(got..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    fn some(&mut self, buffer: &mut [u8]) -> Result<usize, VerifyError> {
        loop {
            match self.inner.read(buffer) {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(|cause| VerifyError::of_read(self.what.as_ref(), cause)),
            }
        }
    }
}

/// The body of the current member. An archive that is cut off is an error, never a short body.
impl<R: Read> Read for Delivery<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..most).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let got = self.inner.read(buffer)?;
        if got == 0 {
            return Err(VerifyError::CutOff(shown(self.what)).inside());
        }
        self.left -= got as u64;
        Ok(got)
    }
}

/// A plain name of one component.
fn check_name(name: &str) -> Result<(), &'static str> {
    let plain = !matches!(name, "" | "." | "..")
        && name.len() <= MAX_NAME
        && !name.contains(|c: char| matches!(c, '/' | '\\' | ':') || c.is_control());
    if plain { Ok(()) } else { Err("a name is none of a delivery: it holds a path, or is no plain name") }
}

/// Reads a header of POSIX or of GNU.
fn parse(block: &[u8; BLOCK]) -> Result<Header, &'static str> {
    let field = |at: usize, length: usize| block.get(at..at + length).unwrap_or_default();
    let posix = match field(257, 8) {
        b"ustar\x0000" => true,
        b"ustar  \0" => false,
        _ => return Err("it is no tar, or one of a kind that is not read"),
    };
    let sum: u64 =
        block.iter().enumerate().map(|(at, byte)| u64::from(if (148..156).contains(&at) { b' ' } else { *byte })).sum();
    if number(field(148, 8)) != Some(sum) {
        return Err("the checksum of a header is wrong");
    }
    let text = |field: &[u8]| {
        let end = memchr::memchr(0, field).unwrap_or(field.len());
        field.get(..end).and_then(|name| std::str::from_utf8(name).ok()).map(str::to_owned).ok_or("a name is no UTF-8")
    };
    let (name, prefix) = (text(field(0, 100))?, if posix { text(field(345, 155))? } else { String::new() });
    let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
    let size = number(field(124, 12)).ok_or("the size of a member is no number")?;
    Ok(Header { path, size, kind: field(156, 1).first().copied().unwrap_or_default() })
}

/// Octal digits between blanks and zero bytes, or, as GNU writes large sizes, a number in base 256 after a first bit.
fn number(field: &[u8]) -> Option<u64> {
    if let [0x80, rest @ ..] = field {
        return rest.iter().try_fold(0_u64, |value, byte| value.checked_mul(256)?.checked_add(u64::from(*byte)));
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    u64::from_str_radix(text, 8).ok()
}

/// Records of an extended header: `length keyword=value` and a line feed each (POSIX.1-2017, pax).
fn parse_records(mut records: &[u8]) -> Result<Extended, &'static str> {
    const DAMAGED: &str = "an extended header is damaged";
    let mut extended = Extended::default();
    while !records.is_empty() {
        let space = memchr::memchr(b' ', records).ok_or(DAMAGED)?;
        let digits = records.get(..space).and_then(|digits| std::str::from_utf8(digits).ok()).ok_or(DAMAGED)?;
        let length: usize = digits.parse().map_err(|_| DAMAGED)?;
        let record = records.get(space + 1..length).and_then(|record| record.strip_suffix(b"\n")).ok_or(DAMAGED)?;
        let equals = memchr::memchr(b'=', record).ok_or(DAMAGED)?;
        let (keyword, value) = record.split_at(equals);
        let value = value.get(1..).unwrap_or_default();
        let text = || std::str::from_utf8(value).map_err(|_| DAMAGED);
        match keyword {
            b"path" => extended.path = Some(text()?.to_owned()),
            b"size" => extended.size = Some(text()?.parse().map_err(|_| DAMAGED)?),
            b"linkpath" => return Err("an extended header makes a link"),
            keyword if keyword.starts_with(b"GNU.sparse") => return Err("a member has holes"),
            _ => {}
        }
        records = records.get(length..).unwrap_or_default();
    }
    Ok(extended)
}
