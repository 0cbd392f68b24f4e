//! Prints megabytes a second of the canonicaliser and of the frames pipeline over a folder of evidence packs.
//!
//! `cargo run --release -p export-canon --example throughput -- FOLDER`. A megabyte is 10^6 bytes of raw JSON going in;
//! every figure is the median of five rounds.
#![allow(clippy::print_stdout, reason = "printing figures is what this program is for")]

use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use export_canon::CanonError;
use export_canon::chunk::Chunker;
use export_canon::digesting::Digester;
use export_canon::json::{Canonicalizer, Limits};
use export_canon::jsonl::LineReader;
use export_canon::zst::{BoundedDecoder, Frame, ParallelFrames};

type Documents = Arc<Vec<Vec<u8>>>;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: throughput FOLDER")?;
    let mut packs = Vec::new();
    find_packs(Path::new(&folder), &mut packs)?;
    let published = read(&packs)?;
    let mut canonicalizer = Canonicalizer::new(Limits::default()).keep_duplicates();
    let mut sorted = Vec::with_capacity(published.len());
    let mut unsorted = Vec::new();
    for document in &published {
        let canonical = canonicalizer.canonicalize(document)?.into_owned();
        if canonical != *document {
            unsorted.push(document.clone());
        }
        sorted.push(canonical);
    }
    println!("{} documents, {} bytes", published.len(), size(&published));
    println!("{} of them ({} bytes) are not canonical", unsorted.len(), size(&unsorted));

    report("serde_json Value and back (reference)", &published, || by_value(&published))?;
    report("canonicalise, all as published", &published, || canonicalise(&published))?;
    report("canonicalise, only those not canonical", &unsorted, || canonicalise(&unsorted))?;
    report("canonicalise, all in order already", &sorted, || canonicalise(&sorted))?;

    let published: Documents = Arc::new(published);
    let sorted: Documents = Arc::new(sorted);
    report("zstd 3 alone, 1 thread (reference)", &sorted, || frames(&sorted, 1, false))?;
    report("zstd 3 alone, 2 threads (reference)", &sorted, || frames(&sorted, 2, false))?;
    report("canonical + zstd 3 + sha256, 1 thread", &published, || frames(&published, 1, true))?;
    report("canonical + zstd 3 + sha256, 2 threads", &published, || frames(&published, 2, true))?;
    Ok(())
}

fn find_packs(folder: &Path, packs: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries = folder.read_dir()?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            find_packs(&entry, packs)?;
        } else if entry.ends_with("docs.jsonl.zst") {
            packs.push(entry);
        }
    }
    Ok(())
}

fn read(packs: &[PathBuf]) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut documents = Vec::new();
    for pack in packs {
        let plain = BoundedDecoder::new(File::open(pack)?, 4 << 30)?;
        let mut lines = LineReader::new(BufReader::with_capacity(1 << 20, plain), 64 << 20);
        while let Some(line) = lines.next_line()? {
            documents.push(line.bytes.to_vec());
        }
    }
    Ok(documents)
}

fn size(documents: &[Vec<u8>]) -> usize {
    documents.iter().map(Vec::len).sum()
}

/// Runs five rounds and prints the median; a round gives the bytes that came out, which must not be none.
fn report(
    what: &str,
    documents: &[Vec<u8>],
    run: impl Fn() -> Result<u64, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut rounds = Vec::new();
    let mut out = 0;
    for _ in 0..5 {
        let start = Instant::now();
        out = std::hint::black_box(run()?);
        rounds.push(start.elapsed().as_secs_f64());
    }
    rounds.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let speed = size(documents) as f64 / 1e6 / rounds[rounds.len() / 2];
    println!("{what:<42} {speed:>6.0} MB/s   {out:>10} bytes out");
    Ok(())
}

fn by_value(documents: &[Vec<u8>]) -> Result<u64, Box<dyn Error>> {
    let mut total = 0;
    for document in documents {
        let value: serde_json::Value = serde_json::from_slice(document)?;
        total += serde_json::to_vec(&value)?.len() as u64;
    }
    Ok(total)
}

fn canonicalise(documents: &[Vec<u8>]) -> Result<u64, Box<dyn Error>> {
    let mut canonicalizer = Canonicalizer::new(Limits::default()).keep_duplicates();
    let mut out = Vec::new();
    let mut total = 0;
    for document in documents {
        out.clear();
        canonicalizer.canonicalize_into(document, &mut out)?;
        total += out.len() as u64;
    }
    Ok(total)
}

/// Ranges of documents, one a frame.
fn cut(documents: &[Vec<u8>]) -> Vec<std::ops::Range<usize>> {
    let mut chunker = Chunker::default();
    let mut start = 0;
    let mut chunks = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        if chunker.push(document.len() as u64 + 1) {
            chunks.push(start..index + 1);
            start = index + 1;
        }
    }
    chunks.push(start..documents.len());
    chunks
}

/// Compresses and hashes all documents; `canonical` says whether they are canonicalised on the workers or only copied.
fn frames(documents: &Documents, threads: usize, canonical: bool) -> Result<u64, Box<dyn Error>> {
    let mut digester = Digester::new();
    let sink = |frame: Frame<'_, ()>| {
        digester.update(frame.bytes);
        Ok(())
    };
    let threads = NonZeroUsize::new(threads).ok_or("no threads")?;
    let mut row = ParallelFrames::new(threads, 3, sink)?;
    for chunk in cut(documents) {
        let documents = Arc::clone(documents);
        row.submit(move |plain: &mut Vec<u8>| {
            let mut canonicalizer = Canonicalizer::new(Limits::default()).keep_duplicates();
            for document in documents.get(chunk).unwrap_or_default() {
                if canonical {
                    canonicalizer.canonicalize_into(document, plain)?;
                } else {
                    plain.extend_from_slice(document);
                }
                plain.push(b'\n');
            }
            Ok::<(), CanonError>(())
        })?;
    }
    row.finish()?;
    Ok(digester.finish().bytes)
}
