//! What callers may do, what they are told when they may not, and what a crash leaves.

use std::fs;
use std::path::Path;

use export_bolt::{BoltError, BoltWriter, MAX_KEY, MAX_VALUE};

use crate::tree::{Node, Tree, read};

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn refused_acts_name_the_key_and_leave_the_writer_usable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let mut writer = BoltWriter::create(&path).unwrap();
    let says = |result: Result<(), BoltError>| result.unwrap_err().to_string();

    assert_eq!(says(writer.put(b"k", b"")), "key `k` is put outside of any bucket");
    assert_eq!(says(writer.leave()), "a bucket is left, but none was entered");
    writer.enter(b"b").unwrap();
    writer.put(b"k\xFF", b"1").unwrap();
    assert_eq!(says(writer.put(b"k\xFF", b"2")), "key `k\\xff` comes twice in one bucket");
    assert_eq!(says(writer.enter(b"k\xFF")), "key `k\\xff` comes twice in one bucket");
    assert_eq!(says(writer.put(b"k", b"2")), "key `k` comes after `k\\xff`, but sorts before it");
    assert_eq!(says(writer.put(b"", b"2")), "a key is empty");
    assert_eq!(says(writer.enter(b"")), "a key is empty");
    let long = vec![b'z'; MAX_KEY + 1];
    for told in [says(writer.put(&long, b"2")), says(writer.enter(&long))] {
        assert!(told.ends_with("` has 32769 bytes, more than the 32768 that bbolt allows"), "{told}");
        assert!(told.len() < 500, "{told}");
    }
    // Zeroed memory that nobody touches costs nothing.
    assert_eq!(
        says(writer.put(b"large", &vec![0; MAX_VALUE + 1])),
        "the value of key `large` has 2147483647 bytes, more than the 2147483646 that bbolt allows"
    );
    // A name of a bucket takes its place before it is left, also against what is put in the bucket around it.
    writer.enter(b"m").unwrap();
    writer.put(b"a", b"").unwrap();
    writer.leave().unwrap();
    assert_eq!(says(writer.put(b"m", b"")), "key `m` comes twice in one bucket");
    assert_eq!(says(writer.put(b"l", b"")), "key `l` comes after `m`, but sorts before it");
    writer.leave().unwrap();
    assert_eq!(says(writer.enter(b"a")), "key `a` comes after `b`, but sorts before it");
    writer.finish().unwrap();

    let inner = Tree::from([(b"a".to_vec(), Node::Value(Vec::new()))]);
    let bucket = Tree::from([(b"k\xFF".to_vec(), Node::Value(b"1".to_vec())), (b"m".to_vec(), Node::Bucket(inner))]);
    assert_eq!(read(&path).unwrap(), Tree::from([(b"b".to_vec(), Node::Bucket(bucket))]));
}

#[test]
fn database_inside_of_a_bucket_cannot_be_finished() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = BoltWriter::create(folder.path().join("a.db")).unwrap();
    writer.enter(b"outer").unwrap();
    writer.enter(b"inner").unwrap();
    let told = writer.finish().unwrap_err().to_string();
    assert_eq!(told, "the database is finished inside of bucket `inner`");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn dropped_writer_leaves_nothing_and_what_was_there_stays() {
    let folder = tempfile::tempdir().unwrap();
    for before in [None, Some("old")] {
        let path = folder.path().join("a.db");
        if let Some(before) = before {
            fs::write(&path, before).unwrap();
        }
        let mut writer = BoltWriter::create(&path).unwrap();
        writer.enter(b"b").unwrap();
        // More than any buffer, so that the disk has some of it.
        for n in 0_u32..600 {
            writer.put(&n.to_be_bytes(), &[7; 10_000]).unwrap();
        }
        assert_eq!(names(folder.path()).len(), 1 + before.iter().count(), "one file beside the database");
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), before);
        drop(writer);
        assert_eq!(names(folder.path()).len(), before.iter().count());
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), before);
    }
}

#[test]
fn killed_process_leaves_no_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let mut writer = BoltWriter::create(&path).unwrap();
    writer.enter(b"b").unwrap();
    writer.put(b"k", &vec![7; 3 << 20]).unwrap();
    writer.leave().unwrap();
    // Nothing of it runs any more, as if the process were gone.
    std::mem::forget(writer);
    assert!(!path.exists());
    let left = names(folder.path());
    assert!(left.len() == 1 && left[0].starts_with(".bolt-") && left[0].ends_with(".partial"), "{left:?}");
}

#[test]
fn finished_database_replaces_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    fs::write(&path, "old").unwrap();
    let written = BoltWriter::create(&path).unwrap().finish().unwrap();
    assert_eq!(written.bytes, 4 * 4096);
    assert_eq!(read(&path).unwrap(), Tree::new());
    assert_eq!(names(folder.path()), ["a.db"]);
}

#[test]
fn place_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing").join("a.db");
    let refused = BoltWriter::create(&missing).unwrap_err();
    assert!(matches!(&refused, BoltError::Create { path, .. } if *path == missing), "{refused:?}");
    assert!(refused.to_string().contains("missing"), "{refused}");

    let taken = folder.path().join("taken");
    fs::create_dir(&taken).unwrap();
    let refused = BoltWriter::create(&taken).unwrap().finish().unwrap_err();
    assert!(matches!(&refused, BoltError::Rename { path, .. } if *path == taken), "{refused:?}");
    assert_eq!(names(folder.path()), ["taken"]);
}

#[cfg(unix)]
#[test]
fn database_has_the_permissions_of_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let [plain, database] = ["plain", "a.db"].map(|name| folder.path().join(name));
    fs::write(&plain, "").unwrap();
    BoltWriter::create(&database).unwrap().finish().unwrap();
    let [plain, database] = [plain, database].map(|path| fs::metadata(path).unwrap().permissions().mode());
    assert_eq!(plain, database);
}
