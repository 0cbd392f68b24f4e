//! The child server.

use export_jetstream::server::{ServerConfig, ServerError};
use export_jetstream::topology::{self, LOG_STREAM};
use export_jetstream::{Credentials, NatsServer, Topology, connect};

use crate::rig::{Rig, eventually, folder, kill};

fn is_alive(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_takes_nobody_without_the_password() {
    let rig = Rig::new().await;
    for stranger in
        [Credentials::None, Credentials::Password { user: "export".to_owned(), password: "export".to_owned() }]
    {
        assert!(connect(&rig.server.url(), stranger).await.is_err());
    }
    let settings = rig.dir.path().join("nats/nats-server.conf");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(settings).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(!format!("{:?} {:?}", rig.server, rig.server.credentials()).contains(&password(&rig)));
    rig.stop().await;
}

fn password(rig: &Rig) -> String {
    let Credentials::Password { password, .. } = rig.server.credentials() else { panic!("no password") };
    password
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_comes_back_at_its_address_with_its_data() {
    let rig = Rig::new().await;
    let run = rig.admit_new("x").await;
    let url = rig.server.url();
    rig.kill_server().await;
    assert_eq!(rig.server.url(), url);
    rig.event(&run, "admitted").await;
    let pid = rig.server.pid();
    rig.stop().await;
    assert!(!is_alive(pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_on_the_log_is_there_after_a_restart_of_everything() {
    let dir = tempfile::tempdir().unwrap();
    let server = NatsServer::start(folder(&dir)).await.unwrap();
    let nats = connect(&server.url(), server.credentials()).await.unwrap();
    topology::ensure(&nats, &Topology { log_max_bytes: 64 << 20, ..Topology::default() }).await.unwrap();
    nats.jetstream().publish("export.x", "kept".into()).await.unwrap().await.unwrap();
    server.stop().await;
    let again = NatsServer::start(folder(&dir)).await.unwrap();
    let nats = connect(&again.url(), again.credentials()).await.unwrap();
    let stream = nats.jetstream().get_stream(LOG_STREAM).await.unwrap();
    assert_eq!(stream.get_last_raw_message_by_subject("export.x").await.unwrap().payload, "kept");
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_serves_one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let server = NatsServer::start(folder(&dir)).await.unwrap();
    assert!(matches!(NatsServer::start(folder(&dir)).await, Err(ServerError::InUse(_))));
    assert!(is_alive(server.pid()));
    server.stop().await;
    NatsServer::start(folder(&dir)).await.unwrap().stop().await;
}

/// As after a `kill -9` of the parent: a server runs that nobody watches.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_outlived_its_parent_is_ended_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let server = NatsServer::start(folder(&dir)).await.unwrap();
    server.stop().await;
    let settings = dir.path().canonicalize().unwrap().join("nats/nats-server.conf");
    let program = which().await;
    let mut leftover =
        tokio::process::Command::new(program).arg("--config").arg(&settings).kill_on_drop(true).spawn().unwrap();
    let pid_file = dir.path().join("nats/nats-server.pid");
    let pid = leftover.id().unwrap().to_string();
    eventually("the pid file", async || std::fs::read_to_string(&pid_file).is_ok_and(|text| text.trim() == pid)).await;
    let waiting = tokio::spawn(async move { leftover.wait().await });
    let next = NatsServer::start(folder(&dir)).await.unwrap();
    crate::rig::soon("the end of the leftover", waiting).await.unwrap().unwrap();
    next.stop().await;
}

/// A pid file may name a process that has nothing to do with us.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_with_the_number_of_an_old_server_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("nats")).unwrap();
    let mut stranger = tokio::process::Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap();
    std::fs::write(dir.path().join("nats/nats-server.pid"), stranger.id().unwrap().to_string()).unwrap();
    let server = NatsServer::start(folder(&dir)).await.unwrap();
    assert_eq!(stranger.try_wait().unwrap(), None);
    server.stop().await;
    kill(stranger.id().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_wrong_program_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let with = |binary: &str| ServerConfig { binary: Some(binary.into()), ..folder(&dir) };
    assert!(matches!(NatsServer::start(with("/no/such/program")).await, Err(ServerError::NotFound)));
    assert!(matches!(NatsServer::start(with("/bin/true")).await, Err(ServerError::UnknownVersion(_))));
    let old = dir.path().join("old-server");
    std::fs::write(&old, "#!/bin/sh\necho nats-server: v2.12.1\n").unwrap();
    std::fs::set_permissions(&old, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let refused = NatsServer::start(with(old.to_str().unwrap())).await.unwrap_err();
    assert!(matches!(&refused, ServerError::TooOld { .. }), "{refused}");
    assert!(refused.to_string().contains("make tools"));
}

/// The program that the tests run, found as the server finds it.
async fn which() -> std::path::PathBuf {
    let on_path = tokio::process::Command::new("nats-server").arg("--version").output().await;
    if on_path.is_ok() {
        return "nats-server".into();
    }
    let me = std::env::current_exe().unwrap();
    me.ancestors().map(|folder| folder.join(".tools/bin/nats-server")).find(|path| path.is_file()).unwrap()
}
