//! Registries for tests, each a program of its own with its data in a folder of its own.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

/// Both answer within a second, on a busy machine later.
const PATIENCE: Duration = Duration::from_secs(30);
/// Who may push where that is asked for.
pub const USER: &str = "pusher";
/// That user's password.
pub const PASSWORD: &str = "push-secret";
/// The two of them as `htpasswd -B` writes them.
const HTPASSWD: &str = "pusher:$2b$04$Y327cxlv/BFigXgkdm195eOUyx86jXBIkxAoP9kK3WZ6.ZuOkTuiK\n";

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// CNCF distribution as Debian packages it: no referrers API, and tags that go with their manifest only.
    DockerRegistry,
    /// CUE's `ociregistry`: the referrers API, and everything in memory.
    OciRegistry,
}

impl Program {
    /// Both.
    pub const ALL: [Self; 2] = [Self::DockerRegistry, Self::OciRegistry];

    /// Its name, also in `EXPORT_TESTS_WITHOUT`.
    pub fn name(self) -> &'static str {
        match self {
            Self::DockerRegistry => "docker-registry",
            Self::OciRegistry => "oci-registry",
        }
    }
}

/// How `docker-registry` is set up; the other one takes no settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// Whether it deletes nothing, as it comes.
    pub keeps_everything: bool,
    /// Whether it asks for [`USER`] and [`PASSWORD`].
    pub asks_who: bool,
}

/// Why there is no registry. Its `Debug` is its message, because that is what a test that unwraps it prints.
#[derive(thiserror::Error)]
pub enum StartError {
    /// The binary is neither among the project's tools nor on the search path.
    #[error("found no `{0}`; run `make tools`, or set EXPORT_TESTS_WITHOUT={0} to pass over tests that need it")]
    Missing(&'static str),
    /// It could not be started.
    #[error("cannot start a registry")]
    Failed(#[from] io::Error),
    /// It was started, but did not answer.
    #[error("the registry does not answer; its log: {0}")]
    Silent(String),
}

impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(cause) => write!(f, "{self}: {cause}"),
            Self::Missing(_) | Self::Silent(_) => write!(f, "{self}"),
        }
    }
}

/// A running registry. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct LocalRegistry {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl LocalRegistry {
    /// Starts one on a free port and waits until it answers. `None` means that the one who runs the tests chose to do without.
    ///
    /// # Errors
    /// See [`StartError`]; a test should fail on it.
    #[expect(clippy::disallowed_methods, clippy::print_stderr, reason = "a tool for tests, told by the environment")]
    pub async fn start(program: Program, rules: Rules) -> Result<Option<Self>, StartError> {
        let name = program.name();
        let without = std::env::var_os("EXPORT_TESTS_WITHOUT").unwrap_or_default();
        if without.to_string_lossy().split(',').any(|left_out| left_out.trim() == name) {
            eprintln!("EXPORT_TESTS_WITHOUT names {name}: a test that needs it is passed over");
            return Ok(None);
        }
        let binary = binary(name).ok_or(StartError::Missing(name))?;
        let until = Instant::now() + PATIENCE;
        let mut log = String::new();
        // A port that was free may be taken before the registry binds it; it then ends at once.
        while Instant::now() < until {
            let mut registry = Self::spawn(&binary, program, rules)?;
            if registry.answers(until).await {
                return Ok(Some(registry));
            }
            log = std::fs::read_to_string(registry.folder.path().join("log")).unwrap_or_default();
        }
        Err(StartError::Silent(log))
    }

    /// Where it listens, such as `127.0.0.1:5000`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn spawn(binary: &Path, program: Program, rules: Rules) -> Result<Self, StartError> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let log = std::fs::File::create(folder.path().join("log"))?;
        let mut command = Command::new(binary);
        match program {
            Program::DockerRegistry => {
                let at = |name: &str| folder.path().join(name).display().to_string();
                let auth = if rules.asks_who {
                    std::fs::write(at("htpasswd"), HTPASSWD)?;
                    format!("auth: {{ htpasswd: {{ realm: test, path: {} }} }}\n", at("htpasswd"))
                } else {
                    String::new()
                };
                let settings = format!(
                    "version: 0.1\nlog: {{ level: error }}\n{auth}storage:\n  filesystem: {{ rootdirectory: {} }}\n  delete: {{ enabled: {} }}\n\
                     http: {{ addr: '127.0.0.1:{port}' }}\n",
                    at("data"),
                    !rules.keeps_everything,
                );
                std::fs::write(at("config.yml"), settings)?;
                command.arg("serve").arg(at("config.yml"));
            }
            Program::OciRegistry => {
                command.arg(format!("127.0.0.1:{port}"));
            }
        }
        let child =
            command.current_dir(folder.path()).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        Ok(Self { child, port, folder })
    }

    /// Waits until it answers; `false` when it has ended or time is up.
    async fn answers(&mut self, until: Instant) -> bool {
        let url = format!("http://{}/v2/", self.address());
        while Instant::now() < until {
            let answered = timeout(Duration::from_secs(5), reqwest::get(&url)).await;
            match self.child.try_wait() {
                // Whoever answers on the port of a dead child is somebody else.
                Ok(None) if matches!(answered, Ok(Ok(_))) => return true,
                Ok(None) => sleep(Duration::from_millis(20)).await,
                _ => return false,
            }
        }
        false
    }
}

impl Drop for LocalRegistry {
    fn drop(&mut self) {
        // Nothing can be done about a registry that has ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The project's own tool, else the first on the search path.
#[expect(clippy::disallowed_methods, reason = "a tool for tests, which are told by the environment")]
fn binary(name: &str) -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    [workspace.join(".tools/bin").join(name)]
        .into_iter()
        .chain(std::env::split_paths::<OsStr>(&path).map(|folder| folder.join(name)))
        .find(|file| file.is_file())
}
