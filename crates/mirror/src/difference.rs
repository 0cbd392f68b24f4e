//! What differs between a base and a new file.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use export_contract::{Digest, RecordKey};

use crate::error::MirrorError;
use crate::index::{FileIndex, FrameEntry};
use crate::lines::LineSource;

/// Takes what differs, in order of the keys.
pub trait DifferenceSink {
    /// A line that is new or another one, its line feed included.
    ///
    /// # Errors
    /// The sink's.
    fn put(&mut self, key: &RecordKey, line: &[u8]) -> Result<(), MirrorError>;

    /// A key that is gone.
    ///
    /// # Errors
    /// The sink's.
    fn remove(&mut self, key: &RecordKey) -> Result<(), MirrorError>;
}

/// The frames of each of two files that the other one does not have. Lines rise and no key comes twice, so a frame that both have holds
/// the same lines in both, and leaving it out of both changes nothing of their difference.
pub fn unshared(base: &FileIndex, new: &FileIndex) -> (Vec<FrameEntry>, Vec<FrameEntry>) {
    let digests = |index: &FileIndex| index.frames.iter().map(|frame| frame.digest.clone()).collect::<BTreeSet<Digest>>();
    let (in_base, in_new) = (digests(base), digests(new));
    let without = |index: &FileIndex, others: &BTreeSet<Digest>| {
        index.frames.iter().filter(|frame| !others.contains(&frame.digest)).cloned().collect()
    };
    (without(base, &in_new), without(new, &in_base))
}

/// Compares line by line.
///
/// # Errors
/// Those of the sources and of the sink.
pub fn compare(
    mut base: impl LineSource,
    mut new: impl LineSource,
    sink: &mut impl DifferenceSink,
) -> Result<(), MirrorError> {
    loop {
        let order = match (base.key(), new.key()) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(base), Some(new)) => base.cmp(new),
        };
        if order == Ordering::Less {
            base.key().map_or(Ok(()), |key| sink.remove(key))?;
        } else if order == Ordering::Greater || base.text() != new.text() {
            new.key().map_or(Ok(()), |key| sink.put(key, new.text()))?;
        }
        if order != Ordering::Greater {
            base.advance()?;
        }
        if order != Ordering::Less {
            new.advance()?;
        }
    }
}
