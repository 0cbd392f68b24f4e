use super::*;

const SCHEMA: [&str; 2] = ["CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)", "INSERT INTO t VALUES (1, 'first')"];

fn count(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0))
}

fn insert(key: i64) -> impl FnOnce(&Transaction<'_>) -> rusqlite::Result<usize> + Send + 'static {
    move |transaction| transaction.execute("INSERT INTO t VALUES (?1, 'x')", [key])
}

#[tokio::test]
async fn schema_steps_are_applied_once_and_a_newer_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    drop(Database::open(&path, &SCHEMA[..1]).unwrap());
    for _ in 0..2 {
        let database = Database::open(&path, &SCHEMA).unwrap();
        assert_eq!(database.read("count", count).await.unwrap(), 1);
    }
    let refused = Database::open(&path, &SCHEMA[..1]).unwrap_err();
    assert!(matches!(refused, SqliteError::NewerSchema { found: 2, known: 1, .. }));
    assert!(!refused.is_transient());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_open_a_fresh_file_at_the_same_moment() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..10 {
        let path = folder.path().join(format!("{round}.db"));
        let openers: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || Database::open(&path, &SCHEMA))
            })
            .collect();
        let open: Vec<_> = openers.into_iter().map(|opener| opener.join().unwrap().unwrap()).collect();
        for (key, database) in open.iter().enumerate() {
            database.write("insert", insert(i64::try_from(key).unwrap() + 2)).await.unwrap();
        }
        assert_eq!(open[0].read("count", count).await.unwrap(), 9);
    }
}

#[tokio::test]
async fn refusal_error_and_panic_roll_back_and_the_database_stays_usable() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("a.db"), &SCHEMA).unwrap();
    let refused = database
        .try_write("refuse", |transaction| {
            insert(2)(transaction)?;
            Ok(Err::<(), _>("no"))
        })
        .await
        .unwrap();
    assert_eq!(refused, Err("no"));
    let duplicate = database
        .write("insert twice", |transaction| {
            insert(3)(transaction)?;
            insert(3)(transaction)
        })
        .await
        .unwrap_err();
    assert!(duplicate.is_duplicate() && !duplicate.is_transient());
    assert_eq!(duplicate.to_string(), "cannot insert twice");
    let panicked = database
        .write("panic", |transaction| {
            insert(4)(transaction)?;
            assert!(count(transaction)? == 0, "on purpose");
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(matches!(panicked, SqliteError::Stopped { .. }) && !panicked.is_transient());
    assert_eq!(database.read("count", count).await.unwrap(), 1);
    database.write("insert", insert(2)).await.unwrap();
    assert_eq!(database.read("count", count).await.unwrap(), 2);
}

#[tokio::test]
async fn a_read_sees_one_snapshot_while_others_write_and_cannot_write_itself() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("a.db"), &SCHEMA).unwrap();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (go, may_go) = std::sync::mpsc::channel::<()>();
    let reading = tokio::spawn({
        let database = database.clone();
        async move {
            database
                .read("count twice", move |connection| {
                    let before = count(connection)?;
                    begun.send(()).unwrap();
                    may_go.recv().unwrap();
                    Ok((before, count(connection)?))
                })
                .await
        }
    });
    has_begun.await.unwrap();
    database.write("insert", insert(2)).await.unwrap();
    go.send(()).unwrap();
    assert_eq!(reading.await.unwrap().unwrap(), (1, 1));
    assert_eq!(database.read("count", count).await.unwrap(), 2);
    let refused = database.read("write", |connection| connection.execute("DELETE FROM t", [])).await;
    assert!(refused.is_err());
    let reader = database.dedicated_reader().unwrap();
    assert_eq!(count(&reader).unwrap(), 2);
    assert!(reader.execute("DELETE FROM t", []).is_err());
}

#[tokio::test]
async fn a_missing_folder_is_named_by_the_act_and_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let error = Database::open(&folder.path().join("absent/a.db"), &SCHEMA).unwrap_err();
    assert_eq!(error.to_string(), "cannot open the database");
}
