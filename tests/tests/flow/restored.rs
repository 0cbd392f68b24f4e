//! The drill of `docs/operations.md`, sections *Back up* and *Restore*, while runs are at work.

use std::path::{Path, PathBuf};
use std::process::Command;

use export_contract::run::RunStatus;
use export_tests::{Bundle, Deployment, LOCAL_TENANT, Setup, Store, finish, heavy, resume, start, suspend};
use serde_json::Value;

use crate::{corner, is, small_parts, wait_for};

fn done(program: &str, arguments: &[&str]) {
    let said = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(said.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&said.stderr));
}

/// Ledgers in a folder of data.
fn ledgers(data: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let ledgers: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "db")).collect();
    assert!(!ledgers.is_empty(), "no ledger in {}", data.display());
    ledgers
}

fn back_up_ledgers(data: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for ledger in ledgers(data) {
        let copy = to.join(ledger.file_name().unwrap());
        done("sqlite3", &[ledger.to_str().unwrap(), &format!(".backup {}", copy.display())]);
    }
}

fn copy(from: &Path, to: &Path) {
    done("cp", &["-a", from.to_str().unwrap(), to.to_str().unwrap()]);
}

/// Ledgers and staging are gone, and what was kept of them is in their place.
fn lose_and_restore(data: &Path, kept: &Path) {
    for ledger in ledgers(data) {
        for file in ["", "-wal", "-shm"] {
            drop(std::fs::remove_file(format!("{}{file}", ledger.display())));
        }
    }
    std::fs::remove_dir_all(data.join("staging")).unwrap();
    for ledger in ledgers(&kept.join("ledgers")) {
        copy(&ledger, &data.join(ledger.file_name().unwrap()));
    }
    copy(&kept.join("staging"), &data.join("staging"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_backed_up_under_runs_is_whole_once_it_is_restored_and_those_runs_end_well() {
    let _turn = heavy().await;
    let mut deployment = Deployment::start(Setup::apart(Store::Sqlite, 1)).await.unwrap();
    deployment.generate(LOCAL_TENANT, 5, 800).unwrap();
    let client = deployment.client().unwrap();
    small_parts(&client, 200).await;
    let ended = deployment.run("small-parts").await.unwrap();
    let manifest = deployment.pid("manifest").unwrap();
    suspend(manifest).unwrap();
    let under_way = start(&client, "small-parts").await.unwrap();
    wait_for(&client, &under_way, |event| is(event, "stage.completed adapt")).await;

    let kept = deployment.folder().join("backup");
    std::fs::create_dir(&kept).unwrap();
    back_up_ledgers(&deployment.data(), &kept.join("ledgers"));
    // Comes between the two copies: the ledger's knows nothing of it.
    let between = start(&client, "small-parts").await.unwrap();
    wait_for(&client, &between, |event| is(event, "stage.completed adapt")).await;
    copy(&deployment.data().join("staging"), &kept.join("staging"));

    resume(manifest).unwrap();
    deployment.kill_all().await.unwrap();
    lose_and_restore(&deployment.data(), &kept);
    deployment.kill_and_restart_broker(true).await.unwrap();
    deployment.start_all().await.unwrap();

    let client = deployment.client().unwrap();
    let finished = finish(&client, under_way.id.as_str()).await.unwrap();
    finished.assert_once();
    assert_eq!((finished.run.status, finished.digest()), (RunStatus::Succeeded, ended.digest()));
    let bundle = deployment.download(&ended).await.unwrap();
    assert_eq!(Bundle::digest(&bundle.tar()).unwrap(), ended.digest().as_str(), "the bundle from before");
    assert!(client.run(between.id.as_str()).await.is_err(), "no ledger knows it");
    assert!(corner(&deployment, &between.id).exists());
    let table = deployment.exportd(&["retention", "run", "--dry-run", "--output", "json"]).unwrap();
    let table: Value = serde_json::from_str(&table).unwrap();
    let orphans = table["runs"].as_array().unwrap().iter().filter(|run| run["deed"] == "orphan");
    assert_eq!(orphans.map(|run| run["run"].as_str().unwrap()).collect::<Vec<_>>(), [between.id.as_str()], "{table:#}");
    let next = deployment.run("small-parts").await.unwrap();
    assert_eq!(next.digest(), ended.digest(), "the evidence is what it was");
}
