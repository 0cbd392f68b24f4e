//! Prints megabytes a second of the canonicaliser and of the frames pipeline over a folder of evidence packs.
//!
//! `cargo run --release -p export-canon --example throughput -- FOLDER`. A megabyte is 10^6 bytes of raw JSON going in;
//! every figure is the median of five rounds.
#![allow(
    clippy::print_stdout,
    reason = "printing figures is what this program is for"
)]

use std::convert::Infallible;
use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

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
    let unsorted = Arc::new(read(&packs)?);
    let mut canonicalizer = Canonicalizer::new(Limits::default());
    // A handful of documents with duplicate keys are left out of both sets.
    let pairs: Vec<(Vec<u8>, Vec<u8>)> = unsorted
        .iter()
        .filter_map(|document| {
            Some((
                document.clone(),
                canonicalizer.canonicalize(document).ok()?.into_owned(),
            ))
        })
        .collect();
    let (unsorted, sorted): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let (unsorted, sorted) = (Arc::new(unsorted), Arc::new(sorted));
    println!("{} documents, {} bytes", unsorted.len(), size(&unsorted));

    report("canonicalise, as published", &unsorted, || {
        canonicalise(&unsorted)
    });
    report("canonicalise, in order already", &sorted, || {
        canonicalise(&sorted)
    });
    let small: Documents = Arc::new(
        unsorted
            .iter()
            .filter(|document| document.len() < 64 << 10)
            .cloned()
            .collect(),
    );
    report("canonicalise, documents under 64 KiB", &small, || {
        canonicalise(&small)
    });
    for threads in [1, 2] {
        let chunks = Arc::new(cut(&unsorted));
        report(
            &format!("canonicalise + zstd 3 + sha256, {threads} threads"),
            &unsorted,
            || frames(&unsorted, &chunks, threads),
        );
    }
    Ok(())
}

fn find_packs(folder: &Path, packs: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries = folder
        .read_dir()?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
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

fn report(what: &str, documents: &[Vec<u8>], mut run: impl FnMut() -> usize) {
    let mut rounds: Vec<f64> = (0..5)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(run());
            start.elapsed().as_secs_f64()
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let speed = size(documents) as f64 / 1e6 / rounds[rounds.len() / 2];
    println!("{what:<48} {speed:>8.0} MB/s");
}

fn canonicalise(documents: &[Vec<u8>]) -> usize {
    let mut canonicalizer = Canonicalizer::new(Limits::default());
    let mut out = Vec::new();
    let mut total = 0;
    for document in documents {
        out.clear();
        if canonicalizer.canonicalize_into(document, &mut out).is_ok() {
            total += out.len();
        }
    }
    total
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

fn frames(documents: &Documents, chunks: &[std::ops::Range<usize>], threads: usize) -> usize {
    let mut digester = Digester::new();
    let sink = |frame: Frame<'_, ()>| {
        digester.update(frame.bytes);
        Ok::<(), Infallible>(())
    };
    let threads = NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN);
    let Ok(mut row) = ParallelFrames::new(threads, 3, sink) else {
        return 0;
    };
    for chunk in chunks.iter().cloned() {
        let documents = Arc::clone(documents);
        let submitted = row.submit(move |plain: &mut Vec<u8>| {
            let mut canonicalizer = Canonicalizer::new(Limits::default());
            for document in documents.get(chunk).unwrap_or_default() {
                if canonicalizer.canonicalize_into(document, plain).is_ok() {
                    plain.push(b'\n');
                }
            }
            Ok(())
        });
        if submitted.is_err() {
            return 0;
        }
    }
    usize::from(row.finish().is_ok()) + usize::try_from(digester.bytes()).unwrap_or_default()
}
