//! What differs between a base and a new file.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use export_contract::{Digest, RecordKey};

use crate::error::MirrorError;
use crate::index::{FileIndex, FrameEntry};
use crate::lines::LineSource;

/// What differs at one key. Lines come with their line feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Only the base has it.
    Gone {
        /// Where.
        key: &'a RecordKey,
        /// The base's line.
        old: &'a [u8],
    },
    /// Only the new file has it.
    Added {
        /// Where.
        key: &'a RecordKey,
        /// The new line.
        new: &'a [u8],
    },
    /// Both have it, with other contents.
    Changed {
        /// Where.
        key: &'a RecordKey,
        /// The base's line.
        old: &'a [u8],
        /// The new line.
        new: &'a [u8],
    },
}

/// The frames of each of two files that the other one does not have. Lines rise and no key comes twice, so a frame that both have holds
/// the same lines in both, and leaving it out of both changes nothing of their difference.
pub fn unshared(base: &FileIndex, new: &FileIndex) -> (Vec<FrameEntry>, Vec<FrameEntry>) {
    let digests =
        |index: &FileIndex| index.frames.iter().map(|frame| frame.digest.clone()).collect::<BTreeSet<Digest>>();
    let (in_base, in_new) = (digests(base), digests(new));
    let without = |index: &FileIndex, others: &BTreeSet<Digest>| {
        index.frames.iter().filter(|frame| !others.contains(&frame.digest)).cloned().collect()
    };
    (without(base, &in_new), without(new, &in_base))
}

/// Compares line by line and tells `take` of each key at which something differs, in order.
///
/// # Errors
/// Those of the sources, and what `take` gives, which ends the comparison.
pub fn compare(
    mut base: impl LineSource,
    mut new: impl LineSource,
    mut take: impl FnMut(Change<'_>) -> Result<(), MirrorError>,
) -> Result<(), MirrorError> {
    loop {
        let (order, change) = match (base.key(), new.key()) {
            (None, None) => return Ok(()),
            (Some(key), None) => (Ordering::Less, Some(Change::Gone { key, old: base.text() })),
            (None, Some(key)) => (Ordering::Greater, Some(Change::Added { key, new: new.text() })),
            (Some(old), Some(key)) => match old.cmp(key) {
                Ordering::Less => (Ordering::Less, Some(Change::Gone { key: old, old: base.text() })),
                Ordering::Greater => (Ordering::Greater, Some(Change::Added { key, new: new.text() })),
                Ordering::Equal if base.text() == new.text() => (Ordering::Equal, None),
                Ordering::Equal => (Ordering::Equal, Some(Change::Changed { key, old: base.text(), new: new.text() })),
            },
        };
        change.map_or(Ok(()), &mut take)?;
        if order != Ordering::Greater {
            base.advance()?;
        }
        if order != Ordering::Less {
            new.advance()?;
        }
    }
}
