//! The law of deltas, on lines and frames alone: rebuilding from a base and what differs gives the new file, byte for byte.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation, reason = "tests")]

use std::collections::BTreeMap;
use std::io::Cursor;

use export_canon::digesting::sha256;
use export_canon::zst::{FrameEncoder, seek_table};
use export_contract::{Digest, RecordKey};
use export_mirror::difference::{Change, compare, unshared};
use export_mirror::merge::Merged;
use export_mirror::rebuild::rebuild;
use export_mirror::{FileIndex, FrameEntry, FrameLines, LineForm, MirrorError, StreamLines, Tombstone, TombstoneLines};
use proptest::prelude::*;

const PATH: &str = "data/raw/advisories.jsonl.zst";
const LEVEL: i32 = 3;

/// Records of a file: subject to content.
type Records = BTreeMap<u16, u16>;

fn key(subject: u16) -> RecordKey {
    RecordKey { subject: format!("S-{subject:05}"), document_id: "d".into(), source: "s".into() }
}

fn line(subject: u16, content: u16) -> String {
    let key = key(subject);
    format!(
        "{{\"content\":{{\"raw\":{{\"source\":\"another\",\"n\":{content}}}}},\"document_id\":\"{}\",\"source\":\"{}\",\"subject\":\"{}\"}}\n",
        key.document_id, key.source, key.subject
    )
}

/// A lines file whose frames end before every subject that `cut` divides, and its index.
fn file(records: &Records, cut: u16) -> (Vec<u8>, FileIndex) {
    let mut encoder = FrameEncoder::new(LEVEL).unwrap();
    let (mut bytes, mut infos, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    let mut groups: Vec<Vec<(u16, u16)>> = Vec::new();
    for (&subject, &content) in records {
        if groups.is_empty() || subject.is_multiple_of(cut) {
            groups.push(Vec::new());
        }
        groups.last_mut().unwrap().push((subject, content));
    }
    for group in groups {
        let plain: String = group.iter().map(|(subject, content)| line(*subject, *content)).collect();
        let mut frame = Vec::new();
        let info = encoder.encode(plain.as_bytes(), &mut frame).unwrap();
        entries.push(FrameEntry {
            offset: 0,
            bytes: frame.len() as u64,
            plain: plain.len() as u64,
            records: group.len() as u64,
            first: key(group[0].0),
            digest: Digest::from_bytes(*sha256(&frame).as_bytes()),
        });
        infos.push(info);
        bytes.extend(frame);
    }
    bytes.extend(seek_table(&infos).unwrap());
    (bytes, FileIndex::new(PATH.into(), LineForm::Evidence, entries))
}

fn fetch(bytes: &[u8]) -> impl FnMut(&FrameEntry) -> Result<Vec<u8>, MirrorError> {
    move |frame| Ok(bytes[frame.offset as usize..(frame.offset + frame.bytes) as usize].to_vec())
}

#[derive(Default)]
struct Delta {
    changes: Vec<u8>,
    tombstones: Vec<u8>,
    count: (usize, usize),
}

impl Delta {
    fn take(&mut self, change: Change<'_>) {
        match change {
            Change::Added { new, .. } | Change::Changed { new, .. } => {
                self.changes.extend_from_slice(new);
                self.count.0 += 1;
            }
            Change::Gone { key, .. } => {
                let tombstone = Tombstone { file: PATH.into(), key: key.clone() };
                serde_json::to_writer(&mut self.tombstones, &tombstone).unwrap();
                self.tombstones.push(b'\n');
                self.count.1 += 1;
            }
        }
    }
}

fn lines(bytes: &[u8], frames: Vec<FrameEntry>) -> FrameLines<impl FnMut(&FrameEntry) -> Result<Vec<u8>, MirrorError>> {
    FrameLines::new(PATH, LineForm::Evidence, frames, fetch(bytes)).unwrap()
}

fn delta(base: &(Vec<u8>, FileIndex), new: &(Vec<u8>, FileIndex)) -> Delta {
    let (old_frames, new_frames) = unshared(&base.1, &new.1);
    let mut delta = Delta::default();
    compare(lines(&base.0, old_frames), lines(&new.0, new_frames), |change| {
        delta.take(change);
        Ok(())
    })
    .unwrap();
    delta
}

fn apply(base: &(Vec<u8>, FileIndex), index: &FileIndex, delta: &Delta) -> Result<Vec<u8>, MirrorError> {
    let (old_frames, _) = unshared(&base.1, index);
    let changes = StreamLines::new("changes", LineForm::Evidence, Cursor::new(&delta.changes))?;
    let gone = TombstoneLines::new(PATH, Cursor::new(&delta.tombstones))?;
    let merged = Merged::new(PATH, lines(&base.0, old_frames), changes, gone)?;
    let mut out = Vec::new();
    rebuild(&base.1, index, LEVEL, fetch(&base.0), merged, &mut out)?;
    Ok(out)
}

fn records() -> impl Strategy<Value = Records> {
    prop::collection::btree_map(0..400_u16, 0..4_u16, 1..120)
}

proptest! {
    #[test]
    fn base_and_difference_give_the_new_file(before in records(), after in records(), cut in 1..40_u16, other in 1..40_u16) {
        let (base, new) = (file(&before, cut), file(&after, other));
        let delta = delta(&base, &new);
        prop_assert_eq!(apply(&base, &new.1, &delta).unwrap(), new.0);
        // No more is shipped than what differs.
        let put = after.iter().filter(|(subject, content)| before.get(*subject) != Some(content)).count();
        let gone = before.keys().filter(|subject| !after.contains_key(*subject)).count();
        prop_assert_eq!(delta.count, (put, gone));
    }

    #[test]
    fn a_delta_that_was_made_from_another_base_is_refused(before in records(), after in records(), other in records()) {
        prop_assume!(before != other);
        let (base, new, wrong) = (file(&before, 16), file(&after, 16), file(&other, 16));
        // It may by chance give the right file; it never gives another one.
        if let Ok(made) = apply(&wrong, &new.1, &delta(&base, &new)) {
            prop_assert_eq!(made, new.0);
        }
    }
}

#[test]
fn frames_that_did_not_change_are_not_opened() {
    let before: Records = (0..400).map(|subject| (subject, 0)).collect();
    let mut after = before.clone();
    after.insert(33, 1);
    let (base, new) = (file(&before, 16), file(&after, 16));
    let (old_frames, new_frames) = unshared(&base.1, &new.1);
    assert_eq!((old_frames.len(), new_frames.len(), new.1.frames.len()), (1, 1, 25));
    assert_eq!(old_frames[0].first, key(32));
}

#[test]
fn a_damaged_base_is_named_by_its_frame() {
    let before: Records = (0..100).map(|subject| (subject, 0)).collect();
    let mut after = before.clone();
    after.insert(33, 1);
    let (mut base, new) = (file(&before, 16), file(&after, 16));
    let delta = delta(&base, &new);
    base.0[3] ^= 1;
    let error = apply(&base, &new.1, &delta).unwrap_err().to_string();
    assert!(error.contains("the frame at byte 0"), "{error}");
}
