//! A SeaweedFS for tests: a server that speaks S3 and needs no installation beyond one binary.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use crate::s3::{S3Blobs, S3Settings};
use crate::store::{BlobError, BlobStore as _};

/// It answers after some three seconds, on a busy machine much later.
const PATIENCE: Duration = Duration::from_secs(40);
/// Access key that it knows.
const ACCESS_KEY: &str = "test";
/// Secret of that key.
const SECRET_KEY: &str = "test-secret";
/// Each listener has a second one this much higher, for gRPC.
const GRPC: u16 = 10_000;

/// Why there is no SeaweedFS. Its `Debug` is its message, because that is what a test that unwraps it prints.
#[derive(thiserror::Error)]
pub enum StartError {
    /// The binary is neither among the project's tools nor on the search path.
    #[error("found no `weed`; run `make tools`, or set EXPORT_TESTS_WITHOUT=seaweedfs to pass over tests that need it")]
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
    #[error("seaweedfs does not answer; the end of its log: {log}")]
    Silent {
        /// What it printed last.
        log: String,
    },
}

impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { cause, .. } => write!(f, "{self}: {cause}"),
            Self::Missing | Self::Silent { .. } => write!(f, "{self}"),
        }
    }
}

/// A running server with its data in a folder of its own. Dropping it kills it and removes the folder.
#[derive(Debug)]
pub struct SeaweedFs {
    child: Child,
    ports: Ports,
    binary: PathBuf,
    folder: TempDir,
}

/// Where its four servers listen.
#[derive(Clone, Copy, Debug)]
struct Ports {
    master: u16,
    volume: u16,
    filer: u16,
    s3: u16,
}

impl SeaweedFs {
    /// Starts a server on free ports and waits until it stores a blob. `None` means that the one who runs the tests chose
    /// to do without (`EXPORT_TESTS_WITHOUT` names `seaweedfs`).
    ///
    /// # Errors
    /// See [`StartError`]; a test should fail on it.
    #[expect(clippy::disallowed_methods, clippy::print_stderr, reason = "a tool for tests, told by the environment")]
    pub async fn start() -> Result<Option<Self>, StartError> {
        let without = std::env::var_os("EXPORT_TESTS_WITHOUT").unwrap_or_default();
        if without.to_string_lossy().split(',').any(|name| name.trim() == "seaweedfs") {
            eprintln!("EXPORT_TESTS_WITHOUT names seaweedfs: a test that needs it is passed over");
            return Ok(None);
        }
        let binary = binary().ok_or(StartError::Missing)?;
        let until = Instant::now() + PATIENCE;
        let mut log = String::new();
        // A port that was free may be taken before the server binds it; it then ends at once.
        while Instant::now() < until {
            let mut server = Self::spawn(&binary)?;
            if server.answers(until).await {
                return Ok(Some(server));
            }
            log = server.log();
        }
        Err(StartError::Silent { log })
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

    /// Starts it again on its data, at the addresses that it had.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn restart(&mut self) -> Result<(), StartError> {
        self.remove_sockets();
        self.child = run(&self.binary, self.folder.path(), self.ports)?;
        if self.answers(Instant::now() + PATIENCE).await { Ok(()) } else { Err(StartError::Silent { log: self.log() }) }
    }

    /// Settings of a bucket of it, which is made.
    ///
    /// # Errors
    /// When the server does not answer any more.
    pub async fn bucket(&self, name: &str) -> Result<S3Settings, BlobError> {
        let settings = self.settings(name);
        // The server makes the bucket of a first write.
        S3Blobs::open(&settings)?.check().await?;
        Ok(settings)
    }

    fn settings(&self, bucket: &str) -> S3Settings {
        S3Settings {
            access: None,
            endpoint: format!("http://127.0.0.1:{}", self.ports.s3),
            bucket: bucket.to_owned(),
            access_key_id: ACCESS_KEY.to_owned(),
            secret_access_key: SECRET_KEY.to_owned(),
            ..S3Settings::default()
        }
    }

    fn spawn(binary: &Path) -> Result<Self, StartError> {
        let failed = |act| move |cause| StartError::Failed { act, cause };
        let folder = tempfile::tempdir().map_err(failed("make a folder for seaweedfs"))?;
        let ports = Ports::free().map_err(failed("find free ports for seaweedfs"))?;
        let at = |name: &str| folder.path().join(name).display().to_string();
        let identities = format!(
            r#"{{"identities":[{{"name":"test","credentials":[{{"accessKey":"{ACCESS_KEY}","secretKey":"{SECRET_KEY}"}}],"actions":["Admin","Read","List","Tagging","Write"]}}]}}"#
        );
        std::fs::write(at("s3.json"), identities).map_err(failed("write the identities of seaweedfs"))?;
        std::fs::create_dir(at("data")).map_err(failed("make a folder for seaweedfs"))?;
        let child = run(binary, folder.path(), ports)?;
        Ok(Self { child, ports, binary: binary.to_owned(), folder })
    }

    /// Waits until a bucket takes a blob; `false` when the server has ended or time is up.
    async fn answers(&mut self, until: Instant) -> bool {
        let Ok(blobs) = S3Blobs::open(&self.settings("ready")) else {
            return false;
        };
        while Instant::now() < until {
            // The client tries again by itself for minutes; that would be too patient here.
            let answered = timeout(Duration::from_secs(5), blobs.check()).await;
            match self.child.try_wait() {
                // Whoever answers on the port of a dead child is somebody else.
                Ok(None) if matches!(answered, Ok(Ok(()))) => return true,
                Ok(None) => sleep(Duration::from_millis(100)).await,
                _ => return false,
            }
        }
        false
    }

    /// Those that it puts outside of its folder.
    fn remove_sockets(&self) {
        let Ports { master, volume, filer, s3 } = self.ports;
        for (name, port) in [("master", master), ("volume", volume), ("filer", filer), ("s3", s3)] {
            let socket = format!("seaweedfs-{name}-grpc-{}.sock", port + GRPC);
            drop(std::fs::remove_file(std::env::temp_dir().join(socket)));
        }
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }
}

fn run(binary: &Path, folder: &Path, ports: Ports) -> Result<Child, StartError> {
    let failed = |act| move |cause| StartError::Failed { act, cause };
    let at = |name: &str| folder.join(name).display().to_string();
    let log = std::fs::File::options().create(true).append(true).open(at("log"));
    Command::new(binary)
        .args(["-logtostderr=true", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"])
        .arg(format!("-dir={}", at("data")))
        .args(["-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=40"])
        .arg(format!("-master.port={}", ports.master))
        .arg(format!("-volume.port={}", ports.volume))
        .args(["-filer".to_owned(), format!("-filer.port={}", ports.filer)])
        .arg(format!("-filer.localSocket={}", at("filer.sock")))
        .args(["-s3".to_owned(), format!("-s3.port={}", ports.s3), format!("-s3.config={}", at("s3.json"))])
        .arg(format!("-s3.localSocket={}", at("s3.sock")))
        // These two have fixed ports, of which two servers would get in each other's way.
        .args(["-s3.port.iceberg=0", "-s3.port.lance=0"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.map_err(failed("write the log of seaweedfs"))?)
        .spawn()
        .map_err(failed("start seaweedfs"))
}

impl Drop for SeaweedFs {
    fn drop(&mut self) {
        // Nothing can be done about a server that has ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
        self.remove_sockets();
    }
}

impl Ports {
    /// Four free ports whose gRPC ports are free as well, all below those that the system gives out for connections.
    fn free() -> io::Result<Self> {
        let seed = ulid::Ulid::generate().random();
        let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        let mut found = (0..10_000_u128)
            .filter_map(|step| u16::try_from(12_000 + seed.wrapping_add(step) % 10_000).ok())
            .filter(|port| free(*port) && free(port + GRPC));
        let mut next = || found.next().ok_or_else(|| io::Error::from(io::ErrorKind::AddrInUse));
        Ok(Self { master: next()?, volume: next()?, filer: next()?, s3: next()? })
    }
}

/// The project's own tool, else the first on the search path.
#[expect(clippy::disallowed_methods, reason = "a tool for tests, which are told by the environment")]
fn binary() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let tools = [".tools/bin/weed", ".venv/bin/weed"].map(|tool| workspace.join(tool));
    let path = std::env::var_os("PATH").unwrap_or_default();
    tools
        .into_iter()
        .chain(std::env::split_paths::<OsStr>(&path).map(|folder| folder.join("weed")))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::StartError;

    #[test]
    fn a_missing_server_names_what_to_do() {
        let missing: Result<(), _> = Err(StartError::Missing);
        let printed = format!("{missing:?}");
        assert!(printed.contains("make tools") && printed.contains("EXPORT_TESTS_WITHOUT=seaweedfs"), "{printed}");
    }
}
