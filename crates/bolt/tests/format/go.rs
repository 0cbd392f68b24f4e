//! bbolt's own verdict, through the small Go program in `tests/judge`.

use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::tree::{Node, Tree, digest, numbered, trees, write};

/// Builds the judge, or says why there is none.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn judge(folder: &Path) -> Option<PathBuf> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judge");
    // Modules that cannot be had are no fault of ours; a program that does not build is.
    match Command::new("go").current_dir(&module).args(["mod", "download"]).output() {
        Err(cause) => {
            eprintln!("skipped: no `go` to ask bbolt itself ({cause})");
            return None;
        }
        Ok(output) if !output.status.success() => {
            eprintln!("skipped: cannot get bbolt: {}", String::from_utf8_lossy(&output.stderr));
            return None;
        }
        Ok(_) => {}
    }
    let program = folder.join("judge");
    let built = Command::new("go")
        .current_dir(&module)
        .args(["build", "-buildvcs=false", "-o"])
        .arg(&program)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some(program)
}

/// Random trees, the same in each run, and some that random ones would hardly reach.
fn cases() -> Vec<Tree> {
    #[expect(clippy::disallowed_methods, reason = "tests know no configuration")]
    let soak = std::env::var_os("EXPORT_TESTS_SOAK").is_some();
    let mut runner = TestRunner::deterministic();
    let strategy = trees();
    let mut cases: Vec<_> =
        (0..if soak { 400 } else { 40 }).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
    cases.push(Tree::new());
    for (count, key, value) in [(3000, 12, 300), (40, 32_768, 3), (60_000, 60, 10), (7, 2030, 3000)] {
        let bucket = Node::Bucket(numbered(count, key, value, 4));
        let two = Tree::from([(b"b".to_vec(), bucket.clone()), (b"c".to_vec(), Node::Bucket(Tree::new()))]);
        cases.push(Tree::from([(b"a".to_vec(), Node::Bucket(two)), (b"d".to_vec(), bucket)]));
    }
    cases
}

#[test]
fn bbolt_finds_no_fault_reads_the_same_and_can_go_on_writing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(judge) = judge(folder.path()) else { return };
    for (at, tree) in cases().iter().enumerate() {
        let path = folder.path().join("a.db");
        write(tree, &path).unwrap();
        let verdict = Command::new(&judge).arg("-write").arg(&path).output().unwrap();
        let told = String::from_utf8_lossy(&verdict.stderr);
        assert!(verdict.status.success(), "case {at}: {told}");
        assert_eq!(String::from_utf8_lossy(&verdict.stdout).trim(), digest(tree), "case {at}");
    }
}
