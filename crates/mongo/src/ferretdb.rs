//! A FerretDB on SQLite for tests: a server that speaks MongoDB's protocol and needs no installation beyond one binary.

use std::ffi::OsStr;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mongodb::Database;
use tempfile::TempDir;

use crate::{MongoError, connect, ping};

/// Why there is no FerretDB.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The binary is neither among the project's tools nor on the search path.
    #[error(
        "found no `ferretdb`; run `make tools`, or set EXPORT_TESTS_WITHOUT=ferretdb to pass over tests that need it"
    )]
    Missing,
    /// It could not be started.
    #[error("cannot {act}")]
    Failed {
        /// What was tried.
        act: &'static str,
        /// Why it failed.
        #[source]
        cause: io::Error,
    },
    /// It was started, but did not answer.
    #[error("ferretdb does not answer; its log: {log}")]
    Silent {
        /// What it printed.
        log: String,
    },
}

/// A running server with its data in a folder of its own. Dropping it kills it and removes the folder.
#[derive(Debug)]
pub struct FerretDb {
    child: Child,
    uri: String,
    port: u16,
    binary: PathBuf,
    folder: TempDir,
}

impl FerretDb {
    /// Starts a server on a free port and waits until it answers. `None` means that the one who runs the tests chose to
    /// do without (`EXPORT_TESTS_WITHOUT` names `ferretdb`).
    ///
    /// # Errors
    /// See [`StartError`]; a test should fail on it.
    #[expect(clippy::disallowed_methods, reason = "a tool for tests, which are told by the environment")]
    pub async fn start() -> Result<Option<Self>, StartError> {
        let without = std::env::var_os("EXPORT_TESTS_WITHOUT").unwrap_or_default();
        if without.to_string_lossy().split(',').any(|name| name.trim() == "ferretdb") {
            tracing::warn!("EXPORT_TESTS_WITHOUT names ferretdb: a test that needs it is passed over");
            return Ok(None);
        }
        let binary = binary().ok_or(StartError::Missing)?;
        let mut log = String::new();
        // A port that was free may be taken before the server binds it.
        for _ in 0..5 {
            match Self::start_on_some_port(&binary).await? {
                Ok(server) => return Ok(Some(server)),
                Err(what_it_said) => log = what_it_said,
            }
        }
        Err(StartError::Silent { log })
    }

    async fn start_on_some_port(binary: &Path) -> Result<Result<Self, String>, StartError> {
        let failed = |act| move |cause| StartError::Failed { act, cause };
        let folder = tempfile::tempdir().map_err(failed("make a folder for ferretdb"))?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .map_err(failed("find a free port for ferretdb"))?
            .port();
        std::fs::create_dir(folder.path().join("data")).map_err(failed("make a folder for ferretdb"))?;
        let child = spawn(binary, folder.path(), port)?;
        let log = folder.path().join("log");
        let uri = format!("mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=1000");
        let mut server = Self { child, uri, port, binary: binary.to_owned(), folder };
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        if server.answers().await { Ok(Ok(server)) } else { Ok(Err(said())) }
    }

    async fn answers(&mut self) -> bool {
        let Ok(database) = self.database("admin").await else {
            return false;
        };
        for _ in 0..30 {
            let answers = ping(&database).await.is_ok();
            // Whoever answers on the port of a dead child is somebody else.
            match self.child.try_wait() {
                Ok(None) if answers => return true,
                Ok(None) => tokio::time::sleep(Duration::from_millis(20)).await,
                _ => break,
            }
        }
        false
    }

    /// Process id of the server.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(|_| ())
    }

    /// Starts it again on its data, at the address that it had.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn restart(&mut self) -> Result<(), StartError> {
        self.child = spawn(&self.binary, self.folder.path(), self.port)?;
        if self.answers().await {
            return Ok(());
        }
        Err(StartError::Silent { log: std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default() })
    }

    /// Its connection string, without a database.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// A database of it, made on first write.
    ///
    /// # Errors
    /// See [`connect`].
    pub async fn database(&self, name: &str) -> Result<Database, MongoError> {
        connect(&self.uri, name).await
    }
}

fn spawn(binary: &Path, folder: &Path, port: u16) -> Result<Child, StartError> {
    let failed = |act| move |cause| StartError::Failed { act, cause };
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log"));
    let data = folder.join("data");
    Command::new(binary)
        .arg(format!("--listen-addr=127.0.0.1:{port}"))
        .arg("--handler=sqlite")
        // It commits each document of an update by itself; its data need not outlive a power failure.
        .arg(format!("--sqlite-url=file:{}/?_pragma=synchronous(off)", data.display()))
        .arg(format!("--state-dir={}", data.display()))
        .args(["--telemetry=disable", "--debug-addr=-", "--log-level=warn"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.map_err(failed("write the log of ferretdb"))?)
        .spawn()
        .map_err(failed("start ferretdb"))
}

impl Drop for FerretDb {
    fn drop(&mut self) {
        // Nothing can be done about a server that has ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The project's own tool, else the first on the search path.
#[expect(clippy::disallowed_methods, reason = "a tool for tests, which are told by the environment")]
fn binary() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let tool = workspace.join(".tools/bin/ferretdb");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(tool)
        .chain(std::env::split_paths::<OsStr>(&path).map(|folder| folder.join("ferretdb")))
        .find(|file| file.is_file())
}
