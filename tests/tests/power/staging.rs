//! Staging in a folder.

use export_blobs::folder::FolderBlobs;
use export_blobs::{BlobError, BlobKey, BlobStore as _};

use crate::cuts::{Cut, mark, record_test, root};

/// What is done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// A record, which the first writer makes.
    Record(u32),
    /// A checkpoint, which replaces the one before.
    Checkpoint(u32),
    /// An artefact, whose key is known at its end.
    Artefact(u32),
    Delete,
}

const STEPS: [(&str, Act); 12] = [
    ("demo/run-1/g1/plan.json", Act::Record(1)),
    ("demo/run-1/g1/scratch/part-1", Act::Checkpoint(1)),
    ("demo/run-1/artefacts/sha256-1", Act::Artefact(1)),
    ("demo/run-1/g1/scratch/part-1", Act::Checkpoint(2)),
    ("demo/run-1/artefacts/sha256-2", Act::Artefact(2)),
    ("demo/run-2/g1/plan.json", Act::Record(2)),
    ("demo/run-1/g1/plan.json", Act::Record(9)),
    ("demo/run-1/g1/scratch/part-1", Act::Checkpoint(3)),
    ("demo/run-1/g1/scratch/part-1", Act::Delete),
    ("other/run-3/artefacts/sha256-1", Act::Artefact(3)),
    ("demo/run-1/artefacts/sha256-1", Act::Delete),
    ("demo/run-1/artefacts/sha256-1", Act::Artefact(1)),
];

/// What a version of a key holds: some sectors, all of which say which they are.
fn content(version: u32) -> Vec<u8> {
    (0..1_500_u32).flat_map(|number| (number ^ (version << 16)).to_le_bytes()).collect()
}

fn key(name: &str) -> BlobKey {
    name.parse().unwrap()
}

async fn work(blobs: &FolderBlobs, name: &str, act: Act) -> Result<(), BlobError> {
    match act {
        Act::Record(version) => blobs.put_if_absent(&key(name), content(version).into()).await.map(|_| ()),
        Act::Checkpoint(version) => blobs.put(&key(name), content(version).into()).await,
        Act::Artefact(version) => {
            let mut writer = blobs.writer().await?;
            for piece in content(version).chunks(1_000) {
                writer.write(piece.to_vec().into()).await?;
            }
            writer.finish(&key(name)).await
        }
        Act::Delete => blobs.delete(&key(name)).await,
    }
}

#[tokio::test]
#[ignore = "the process that another test records"]
async fn recorded() {
    let Some(root) = root() else { return };
    let blobs = FolderBlobs::open(&root.join("staging")).await.unwrap();
    for (name, act) in STEPS {
        work(&blobs, name, act).await.unwrap();
        mark(name);
    }
}

/// The same without a sync anywhere.
#[test]
#[ignore = "the process that another test records"]
fn recorded_without_sync() {
    let Some(root) = root() else { return };
    for (number, (name, act)) in STEPS.iter().enumerate() {
        let (target, spool) = (root.join("staging").join(name), root.join(format!("spool-{number}")));
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        match act {
            Act::Record(_) if target.exists() => {}
            Act::Record(version) | Act::Checkpoint(version) | Act::Artefact(version) => {
                std::fs::write(&spool, content(*version)).unwrap();
                std::fs::rename(spool, target).unwrap();
            }
            Act::Delete => std::fs::remove_file(target).unwrap(),
        }
        mark(name);
    }
}

/// What a key may hold after so many steps: the outcome of the last one that was confirmed, or of the one at work. `None` is no blob.
fn allowed(name: &str, confirmed: usize) -> Vec<Option<u32>> {
    let mut now: Option<u32> = None;
    let mut allowed = vec![None];
    for (number, (_, act)) in STEPS.iter().enumerate().filter(|(_, (of, _))| *of == name) {
        let next = match act {
            Act::Record(_) if now.is_some() => now,
            Act::Record(version) | Act::Checkpoint(version) | Act::Artefact(version) => Some(*version),
            Act::Delete => None,
        };
        match number {
            number if number < confirmed => allowed = vec![next],
            // A delete promises nothing: what is removed anew by the next pass may come back.
            number if number == confirmed => allowed.push(next),
            _ => {}
        }
        now = next;
    }
    // That a blob is gone is no promise over a cut: it is removed by whoever meets it again.
    if let Some((_, (_, Act::Delete))) =
        STEPS.iter().enumerate().rfind(|(number, (of, _))| *of == name && *number < confirmed)
    {
        allowed.extend([1, 2, 3].map(Some));
    }
    allowed
}

async fn check(cut: &Cut<'_>) -> Vec<String> {
    let blobs = match FolderBlobs::open(&cut.folder.join("staging")).await {
        Ok(blobs) => blobs,
        Err(error) => return vec![format!("staging does not open: {error}")],
    };
    let mut broken = Vec::new();
    let mut names: Vec<&str> = STEPS.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let allowed = allowed(name, cut.confirmed.len());
        match blobs.get(&key(name), 1 << 20).await {
            Ok(bytes) if allowed.iter().flatten().any(|version| bytes == content(*version)) => {}
            Ok(bytes) => broken.push(format!("`{name}` has {} bytes of none of {allowed:?}", bytes.len())),
            Err(BlobError::NotFound(_)) if allowed.contains(&None) => {}
            Err(error) => broken.push(format!("`{name}`: {error}, and may be {allowed:?}")),
        }
    }
    // Whatever is there, the work goes on.
    for (name, act) in STEPS {
        if let Err(error) = work(&blobs, name, act).await {
            broken.push(format!("`{name}` cannot be done again: {error}"));
        }
    }
    broken
}

#[test]
fn staging_survives_a_cut_at_any_write() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let recording = record_test("staging::recorded");
    let (cuts, broken) = recording.cut(8, |cut| runtime.block_on(check(cut)));
    eprintln!("staging: {cuts} different disks after a cut");
    assert!(broken.is_empty(), "{} of {cuts}: {:#?}", broken.len(), &broken[..broken.len().min(8)]);
    assert!(cuts > 150, "only {cuts} cuts made a difference");
}

#[test]
fn staging_that_does_not_sync_is_caught() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let recording = record_test("staging::recorded_without_sync");
    let (_, broken) = recording.cut(4, |cut| runtime.block_on(check(cut)));
    assert!(broken.iter().any(|line| line.contains("not found") || line.contains("no blob")), "{:#?}", broken.first());
    assert!(broken.iter().any(|line| line.contains("bytes of none")), "no half-written blob was seen");
}
