//! Zip and tar archives. Archives inside them are not opened, and entries that are no plain files are passed over.

use std::io::{BufRead, BufReader, Read, Seek};

use super::{FileReader, GivenUp, Item};
use crate::import::refusal::{Position, RefusalCode};
use crate::import::walk::{self, Shape};

/// Longest name of a tar entry that is followed; the headers that carry such names are read whole.
const MAX_NAME_BYTES: u64 = 1 << 20;

impl FileReader<'_> {
    /// Reads entries in the order of the central directory.
    pub(super) fn read_zip(&mut self, file: impl Read + Seek) -> Result<(), GivenUp> {
        let mut archive = match zip::ZipArchive::new(BufReader::new(file)) {
            Ok(archive) => archive,
            Err(cause) => {
                return self.refuse_unreadable(self.position(), &std::io::Error::other(cause));
            }
        };
        if archive.len() as u64 > self.limits.entries {
            return self.refuse_limit("more entries than the limit allows");
        }
        let mut left = self.limits.plain_bytes_of(self.file.bytes);
        for index in 0..archive.len() {
            let mut entry = match archive.by_index(index) {
                Ok(entry) => entry,
                Err(cause) => {
                    let reason = format!("cannot open entry {index} of the archive: {cause}");
                    self.refuse(self.position(), RefusalCode::Unreadable, reason)?;
                    continue;
                }
            };
            if !entry.is_file() {
                continue;
            }
            let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
            let mut counted = Metered { inner: &mut entry, left };
            self.read_entry(&mut counted, &name)?;
            left = counted.left;
            if left == 0 {
                return self.refuse_limit("the archive unpacks to more than the limit allows");
            }
        }
        Ok(())
    }

    /// Reads entries as they come. Long names are followed in both of their forms (GNU and pax).
    pub(super) fn read_tar(&mut self, reader: impl Read) -> Result<(), GivenUp> {
        let mut archive = tar::Archive::new(reader);
        // Raw: the reader's own handling of long names would read headers of any length into memory.
        let entries = match archive.entries() {
            Ok(entries) => entries.raw(true),
            Err(cause) => return self.refuse_unreadable(self.position(), &cause),
        };
        let mut long_name = None;
        for (count, entry) in (1_u64..).zip(entries) {
            if count > self.limits.entries {
                return self.refuse_limit("more entries than the limit allows");
            }
            let mut entry = match entry {
                Ok(entry) => entry,
                Err(cause) => return self.refuse_unreadable(self.position(), &cause),
            };
            let kind = entry.header().entry_type();
            if kind.is_gnu_longname() || kind.is_pax_local_extensions() {
                let mut text = Vec::new();
                match (&mut entry).take(MAX_NAME_BYTES).read_to_end(&mut text) {
                    Ok(_) if kind.is_gnu_longname() => long_name = Some(gnu_name(&text)),
                    Ok(_) => long_name = pax_path(&text).or(long_name),
                    Err(cause) => return self.refuse_unreadable(self.position(), &cause),
                }
                continue;
            }
            let name = long_name.take().unwrap_or_else(|| String::from_utf8_lossy(&entry.path_bytes()).into_owned());
            if kind.is_file() || kind.is_contiguous() {
                self.read_entry(&mut entry, &name)?;
            }
        }
        Ok(())
    }

    fn read_entry(&mut self, reader: &mut dyn Read, name: &str) -> Result<(), GivenUp> {
        let name: String = name.chars().map(|c| if c.is_control() { '_' } else { c }).collect();
        let file_name = name.rsplit(['/', '\\']).next().unwrap_or(&name);
        if walk::is_passed_over(file_name) || name.split(['/', '\\']).any(|folder| folder == "LICENSES") {
            return self.out.push(Item::Skipped(self.file.source.clone()));
        }
        let position = Position { entry: Some(name.clone()), ..self.position() };
        match walk::shape(file_name) {
            (Shape::Document, false) => self.read_document(reader, position, name),
            (Shape::Lines, false) => self.read_lines(&mut BufReader::new(reader) as &mut dyn BufRead, Some(&name)),
            (Shape::Foreign(advice), _) => self.refuse(position, RefusalCode::UnsupportedFormat, advice.to_owned()),
            _ => {
                let reason =
                    "an archive or compressed file inside an archive is not opened; unpack the outer one".to_owned();
                self.refuse(position, RefusalCode::NestedArchive, reason)
            }
        }
    }
}

fn gnu_name(text: &[u8]) -> String {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    String::from_utf8_lossy(text.get(..end).unwrap_or_default()).into_owned()
}

fn pax_path(text: &[u8]) -> Option<String> {
    let records = tar::PaxExtensions::new(text).filter_map(Result::ok);
    records
        .filter(|record| record.key_bytes() == b"path")
        .last()
        .map(|record| String::from_utf8_lossy(record.value_bytes()).into_owned())
}

/// Stops at a number of bytes that counts over all entries of an archive.
struct Metered<'a> {
    inner: &'a mut dyn Read,
    left: u64,
}

impl Read for Metered<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            return Err(std::io::Error::other("the archive unpacks to more than the limit allows"));
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let got = self.inner.read(&mut buf[..most])?;
        self.left -= got as u64;
        Ok(got)
    }
}
