//! What goes into a database and comes out of it, as a tree; and random ones.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use export_bolt::{BoltError, BoltWriter, Written};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::checker::{self, Event};

pub(crate) type Tree = BTreeMap<Vec<u8>, Node>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Value(Vec<u8>),
    Bucket(Tree),
}

/// Writes the tree, whose root holds buckets only.
pub(crate) fn write(tree: &Tree, path: &Path) -> Result<Written, BoltError> {
    let mut writer = BoltWriter::create(path)?;
    fill(&mut writer, tree)?;
    writer.finish()
}

fn fill(writer: &mut BoltWriter, tree: &Tree) -> Result<(), BoltError> {
    for (key, node) in tree {
        match node {
            Node::Value(value) => writer.put(key, value)?,
            Node::Bucket(inner) => {
                writer.enter(key)?;
                fill(writer, inner)?;
                writer.leave()?;
            }
        }
    }
    Ok(())
}

/// Reads the file with the checker.
pub(crate) fn read(path: &Path) -> Result<Tree, String> {
    let mut open = vec![(Vec::new(), Tree::new())];
    checker::check(BufReader::new(File::open(path).unwrap()), &mut |event| match event {
        Event::Enter(name) => open.push((name.to_vec(), Tree::new())),
        Event::Put(key, value) => {
            open.last_mut().unwrap().1.insert(key.to_vec(), Node::Value(value.to_vec()));
        }
        Event::Leave => {
            let (name, inner) = open.pop().unwrap();
            open.last_mut().unwrap().1.insert(name, Node::Bucket(inner));
        }
    })?;
    Ok(open.pop().unwrap().1)
}

/// Writes the tree twice, and asserts that what is read is the tree and that both files are one.
#[track_caller]
pub(crate) fn assert_round_trip(tree: &Tree) -> Written {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a.db", "b.db"].map(|name| folder.path().join(name));
    let written = write(tree, &paths[0]).unwrap();
    // Not `assert_eq!`: nobody reads a megabyte of differences.
    assert!(read(&paths[0]).unwrap() == *tree, "the database holds something else");
    assert_eq!(write(tree, &paths[1]).unwrap(), written);
    let [first, second] = paths.map(|path| fs::read(path).unwrap());
    assert!(first == second, "the second file has other bytes");
    assert_eq!((first.len() as u64, written.pages * 4096), (written.bytes, written.bytes));
    written
}

/// SHA-256 of a tree: a letter for each event, and its strings with their lengths in front.
pub(crate) fn digest(tree: &Tree) -> String {
    let mut hasher = Sha256::new();
    hash(tree, &mut hasher);
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash(tree: &Tree, hasher: &mut Sha256) {
    let text = |hasher: &mut Sha256, bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for (key, node) in tree {
        match node {
            Node::Value(value) => {
                hasher.update(b"V");
                text(hasher, key);
                text(hasher, value);
            }
            Node::Bucket(inner) => {
                hasher.update(b"B");
                text(hasher, key);
                hash(inner, hasher);
                hasher.update(b"E");
            }
        }
    }
}

/// Bytes that look random, any number of them at no cost for proptest.
pub(crate) fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..size.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(size);
    bytes
}

/// Buckets of buckets and values, with everything that is a special case of the format.
pub(crate) fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        9 => values().prop_map(Node::Value),
        2 => many().prop_map(Node::Bucket),
    ];
    let node =
        leaf.prop_recursive(5, 60, 8, |node| prop::collection::btree_map(keys(), node, 0..8).prop_map(Node::Bucket));
    let bucket = prop::collection::btree_map(keys(), node, 0..12).prop_map(Node::Bucket);
    prop::collection::btree_map(keys(), bucket, 0..6)
}

fn keys() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 1..4),
        6 => "[a-c]{1,12}".prop_map(String::into_bytes),
        3 => (1_usize..200, any::<u64>()).prop_map(|(size, seed)| noise(size, seed)),
        1 => (200_usize..=32_768, any::<u64>()).prop_map(|(size, seed)| noise(size, seed)),
        // Long keys that differ at the end only.
        1 => (any::<u8>(), any::<u8>()).prop_map(|(one, two)| [vec![0xFF; 32_766], vec![one, two]].concat()),
    ]
}

fn values() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => Just(Vec::new()),
        8 => (0_usize..300, any::<u64>()).prop_map(|(size, seed)| noise(size, seed)),
        // Around the limits of an inline bucket and of a page.
        2 => (900_usize..1100, any::<u64>()).prop_map(|(size, seed)| noise(size, seed)),
        2 => (3900_usize..4300, any::<u64>()).prop_map(|(size, seed)| noise(size, seed)),
        1 => (4300_usize..100_000, any::<u64>()).prop_map(|(size, seed)| noise(size, seed)),
    ]
}

/// A bucket with so many values that its tree has branches.
fn many() -> impl Strategy<Value = Tree> {
    let sizes = prop_oneof![
        4 => (2_usize..600, 4_usize..40, 0_usize..200),
        1 => (2_usize..4000, 4_usize..8, 0_usize..4),
        1 => (2_usize..60, 500_usize..5000, 0_usize..10),
        1 => (2_usize..12, 20_000_usize..32_768, 0_usize..10),
    ];
    (sizes, any::<u64>()).prop_map(|((count, key, value), seed)| numbered(count, key, value, seed))
}

/// `count` values of at most `value` bytes, under keys of `key` bytes.
pub(crate) fn numbered(count: usize, key: usize, value: usize, seed: u64) -> Tree {
    (0..count)
        .map(|n| {
            let number = u32::try_from(n).unwrap().to_be_bytes();
            // The number comes last when the keys are long, so that what tells them apart is far behind.
            let key = [vec![b'k'; key.saturating_sub(number.len())], number.to_vec()].concat();
            (key, Node::Value(noise(value.min(n % (value + 1)), seed.wrapping_add(n as u64))))
        })
        .collect()
}
