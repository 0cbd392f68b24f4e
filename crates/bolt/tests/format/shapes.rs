//! Trees of every shape come back as they went in.

use std::fs;
use std::io::Cursor;

use export_bolt::MAX_KEY;
use proptest::prelude::*;

use crate::checker::check;
use crate::tree::{Node, Tree, assert_round_trip, noise, numbered, read, trees, write};

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_comes_back_and_always_gives_the_same_bytes(tree in trees()) {
        assert_round_trip(&tree);
    }
}

/// A database of one bucket.
fn of(bucket: Tree) -> Tree {
    Tree::from([(b"bucket".to_vec(), Node::Bucket(bucket))])
}

#[test]
fn database_without_buckets_is_one_empty_leaf() {
    assert_eq!(assert_round_trip(&Tree::new()).pages, 4);
}

#[test]
fn bucket_moves_out_of_its_parent_above_a_quarter_of_a_page() {
    // 16 of the page, 16 of the element, 1 of the key.
    let sized = |size: usize| of(Tree::from([(b"k".to_vec(), Node::Value(noise(size - 33, 1)))]));
    assert_eq!(assert_round_trip(&sized(1024)).pages, 4);
    assert_eq!(assert_round_trip(&sized(1025)).pages, 5);
    // A bucket that holds a bucket is never inside of its parent, however small.
    assert_eq!(assert_round_trip(&of(of(Tree::new()))).pages, 5);
}

#[test]
fn leaf_is_full_to_its_last_byte() {
    let two = |second: usize| {
        of(Tree::from([(b"a".to_vec(), Node::Value(noise(2000, 1))), (b"b".to_vec(), Node::Value(noise(second, 2)))]))
    };
    let room = 4096 - 16 - 2 * 17 - 2000;
    assert_eq!(assert_round_trip(&two(room)).pages, 3 + 1 + 1);
    assert_eq!(assert_round_trip(&two(room + 1)).pages, 3 + 1 + 3);
}

#[test]
fn large_value_overflows_to_as_many_pages_as_it_needs() {
    let one = |size: usize| of(Tree::from([(b"a".to_vec(), Node::Value(noise(size, 1)))]));
    assert_eq!(assert_round_trip(&one(4096 - 33)).pages, 3 + 1 + 1);
    assert_eq!(assert_round_trip(&one(4096 - 33 + 1)).pages, 3 + 1 + 2);
    assert_eq!(assert_round_trip(&one(3_000_000)).pages, 3 + 1 + 733);
}

#[test]
fn any_number_of_leaves_has_branches_of_two_children_at_least() {
    // A leaf holds one of these keys, and a branch four.
    for count in 1..150 {
        assert_round_trip(&of(numbered(count, 1000, 3900, 7)));
    }
    // A leaf holds one, a branch page three, two, or not even two.
    for key in [1300, 1350, 2020, 2030, 2040, 4000, 5000] {
        for count in 1..40 {
            assert_round_trip(&of(numbered(count, key, 2800, 7)));
        }
    }
}

#[test]
fn keys_of_greatest_size_are_found_through_branches_that_overflow() {
    for count in [1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 32, 33, 100] {
        assert_round_trip(&of(numbered(count, MAX_KEY, 3, 9)));
    }
    // Short and long keys in turn: branches are full at different counts.
    let mixed = (0_u32..300).map(|n| {
        let size = [1, 3000, MAX_KEY - 4, 10, 4070, 2000][n as usize % 6];
        ([&n.to_be_bytes()[..], &noise(size, n.into())].concat(), Node::Value(noise(3000, n.into())))
    });
    assert_round_trip(&of(mixed.collect()));
}

#[test]
fn trees_of_three_levels_of_branches_come_back() {
    let tree = of(numbered(120_000, 60, 40, 3));
    let pages = assert_round_trip(&tree).pages;
    assert!(pages > 2500, "{pages} pages need only two levels");
}

#[test]
fn buckets_nest_deeply() {
    let mut tree = of(numbered(3, 10, 10, 1));
    for depth in 0..60 {
        let mut around = numbered(usize::from(depth % 7 == 0) * 400, 8, 30, depth);
        around.insert(b"j".to_vec(), Node::Bucket(tree));
        around.insert(b"z".to_vec(), Node::Bucket(Tree::new()));
        tree = of(around);
    }
    assert_round_trip(&tree);
}

/// The judge is judged: no byte of a database can change without that being noticed.
#[test]
fn checker_notices_a_change_of_any_byte() {
    let mut bucket = numbered(150, 30, 50, 5);
    bucket.insert(b"inline".to_vec(), Node::Bucket(numbered(3, 8, 8, 6)));
    bucket.insert(b"large".to_vec(), Node::Value(noise(5000, 8)));
    let tree = of(bucket);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    write(&tree, &path).unwrap();
    assert!(read(&path).unwrap() == tree);
    let good = fs::read(&path).unwrap();
    let events = |bytes: &[u8]| {
        let mut events = Vec::new();
        check(Cursor::new(bytes), &mut |event| events.push(format!("{event:?}"))).map(|()| events)
    };
    let expected = events(&good).unwrap();
    let mut bytes = good.clone();
    // Every byte that is not zero, and some of the many that are.
    for at in (0..bytes.len()).filter(|at| good[*at] != 0 || at % 61 == 0) {
        bytes[at] ^= 1;
        assert!(!events(&bytes).is_ok_and(|found| found == expected), "byte {at} has no meaning");
        bytes[at] = good[at];
    }
    assert!(events(&good[..good.len() - 4096]).is_err());
    assert!(events(&[&good[..], &[0; 4096]].concat()).is_err());
}
