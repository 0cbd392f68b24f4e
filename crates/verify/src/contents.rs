//! The tar against the signed manifest, in one pass.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};

use export_canon::digesting::{Digested, DigestingReader, sha256};
use export_canon::tar::{TarEntry, TarLimits, TarReader};
use export_canon::zst::BoundedDecoder;
use export_contract::Digest;
use export_contract::manifest::{ExportManifest, ManifestContent, PATH};

use crate::error::VerifyError;
use crate::layout::Layout;

/// What was found in the tar.
#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
    pub(crate) files: u64,
    pub(crate) records: u64,
}

pub(crate) fn check(layout: &Layout, manifest: &ExportManifest, export_json: &[u8]) -> Result<Bundle, VerifyError> {
    let mut expected: BTreeMap<&str, &ManifestContent> = BTreeMap::new();
    for content in &manifest.contents {
        if expected.insert(&content.path, content).is_some() || content.path == PATH {
            return Err(VerifyError::Malformed(format!("export.json lists `{}` twice", content.path)));
        }
    }
    check_rerun_hash(manifest)?;
    let limits = TarLimits {
        max_entries: expected.len() as u64 + 2,
        max_total_bytes: manifest
            .contents
            .iter()
            .fold(export_json.len() as u64, |sum, content| sum.saturating_add(content.bytes)),
        ..TarLimits::default()
    };
    let mut source = DigestingReader::new(BufReader::with_capacity(1 << 20, layout.open()?));
    let mut tar = TarReader::new(&mut source, limits);
    let (mut files, mut records, mut manifest_seen) = (0, 0, false);
    while let Some(mut entry) = tar.next_entry().map_err(VerifyError::Tar)? {
        let path = entry.path().to_owned();
        if path == PATH {
            check_manifest(&mut entry, export_json)?;
            manifest_seen = true;
            continue;
        }
        let content = expected.remove(path.as_str()).ok_or_else(|| {
            VerifyError::Malformed(format!("the bundle holds `{path}`, which export.json does not list"))
        })?;
        records += check_file(&mut entry, content)?;
        files += 1;
    }
    if !manifest_seen {
        return Err(VerifyError::Incomplete(PATH.to_owned()));
    }
    if let Some(path) = expected.keys().next() {
        return Err(VerifyError::Incomplete((*path).to_owned()));
    }
    let (_, Digested { sha256, bytes }) = source.finish();
    Ok(Bundle { digest: Digest::from_bytes(*sha256.as_bytes()), bytes, files, records })
}

/// The manifest inside must be the very one that was signed.
fn check_manifest<R: Read>(entry: &mut TarEntry<'_, R>, export_json: &[u8]) -> Result<(), VerifyError> {
    let mut inside = Vec::new();
    let limit = export_json.len() as u64 + 1;
    entry
        .take(limit)
        .read_to_end(&mut inside)
        .map_err(|cause| VerifyError::Decompress { path: PATH.to_owned(), cause })?;
    if inside == export_json {
        return Ok(());
    }
    Err(VerifyError::Digest { what: PATH.to_owned(), expected: digest_of(export_json), found: digest_of(&inside) })
}

/// Digest and length of one file, and what is inside where it is compressed; gives its records.
fn check_file<R: Read>(entry: &mut TarEntry<'_, R>, content: &ManifestContent) -> Result<u64, VerifyError> {
    let path = content.path.as_str();
    expect(path, "bytes", content.bytes, entry.size())?;
    let mut source = DigestingReader::new(entry);
    let inside = if path.ends_with(".zst") {
        // More plain bytes than were signed for are never produced, however small the file is.
        let limit = content.plain_bytes.ok_or_else(|| {
            VerifyError::Malformed(format!("export.json does not say how many plain bytes `{path}` has"))
        })?;
        Some(count(&mut source, path, limit))
    } else {
        None
    };
    // The digest comes first: what does not match it is not worth a closer look.
    drain(&mut source).map_err(|cause| VerifyError::Decompress { path: path.to_owned(), cause })?;
    let (_, found) = source.finish();
    let found = Digest::from_bytes(*found.sha256.as_bytes());
    if found != content.digest {
        return Err(VerifyError::Digest { what: path.to_owned(), expected: content.digest.clone(), found });
    }
    let Some(inside) = inside else { return Ok(0) };
    let Inside { plain, lines, ends_with_newline } = inside?;
    expect(path, "plain bytes", content.plain_bytes.unwrap_or(0), plain)?;
    if path.ends_with(".jsonl.zst") {
        expect(path, "records", content.records.unwrap_or(0), lines)?;
        if !ends_with_newline {
            return Err(VerifyError::Malformed(format!("the last line of `{path}` has no end")));
        }
    }
    Ok(content.records.unwrap_or(0))
}

struct Inside {
    plain: u64,
    lines: u64,
    ends_with_newline: bool,
}

fn count(source: impl Read, path: &str, limit: u64) -> Result<Inside, VerifyError> {
    let failed = |cause| VerifyError::Decompress { path: path.to_owned(), cause };
    let mut decoder = BoundedDecoder::new(source, limit).map_err(|cause| failed(std::io::Error::other(cause)))?;
    let mut buffer = vec![0_u8; 1 << 18];
    let mut inside = Inside { plain: 0, lines: 0, ends_with_newline: true };
    loop {
        let read = decoder.read(&mut buffer).map_err(failed)?;
        let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else { return Ok(inside) };
        inside.plain += read as u64;
        inside.lines += piece.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        inside.ends_with_newline = piece.last() == Some(&b'\n');
    }
}

fn drain(source: &mut impl Read) -> Result<(), std::io::Error> {
    std::io::copy(source, &mut std::io::sink()).map(|_| ())
}

fn expect(path: &str, number: &str, expected: u64, found: u64) -> Result<(), VerifyError> {
    if expected == found {
        Ok(())
    } else {
        Err(VerifyError::Count { what: format!("{number} of `{path}`"), expected, found })
    }
}

fn check_rerun_hash(manifest: &ExportManifest) -> Result<(), VerifyError> {
    let mut digests: Vec<&str> = manifest.contents.iter().map(|content| content.digest.as_str()).collect();
    digests.sort_unstable();
    let found = digest_of(digests.join("\n").as_bytes());
    if found == manifest.rerun_hash {
        Ok(())
    } else {
        Err(VerifyError::Digest { what: "rerunHash".to_owned(), expected: manifest.rerun_hash.clone(), found })
    }
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(*sha256(bytes).as_bytes())
}
