//! A `nats-server` that tests may kill, start again on its store, and rob of its store.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::certificates::Certificates;
use crate::process::{Process, tail};
use crate::programs::tool;

const READY_WITHIN: Duration = Duration::from_secs(30);

/// A broker that keeps its port for life.
#[derive(Debug)]
pub(crate) struct Broker {
    folder: PathBuf,
    log: PathBuf,
    /// What it speaks TLS with, and whose clients it takes.
    certificates: Option<Certificates>,
    port: u16,
    process: Process,
}

impl Broker {
    /// Starts one on a port that it finds itself.
    pub(crate) async fn start(
        folder: PathBuf,
        log: PathBuf,
        certificates: Option<Certificates>,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder).context("cannot make the broker's folder")?;
        let process = spawn(&folder, &log, None, certificates.as_ref())?;
        let mut broker = Self { folder, log, certificates, port: 0, process };
        broker.port = broker.listening().await?;
        Ok(broker)
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.certificates.is_some() { "tls" } else { "nats" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Its process id, until it has ended.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await
    }

    /// Starts it again, on its store or, after `wiped`, on none.
    pub(crate) async fn restart(&mut self, wiped: bool) -> anyhow::Result<()> {
        if wiped {
            std::fs::remove_dir_all(self.folder.join("store")).context("cannot wipe the broker's store")?;
        }
        self.process = spawn(&self.folder, &self.log, Some(self.port), self.certificates.as_ref())?;
        self.listening().await.map(|_| ())
    }

    pub(crate) fn end(&mut self) {
        self.process.end();
    }

    /// Waits for the file in which it names its ports.
    async fn listening(&mut self) -> anyhow::Result<u16> {
        let until = Instant::now() + READY_WITHIN;
        while Instant::now() < until && !self.process.has_ended() {
            if let Some(port) = self.process.pid().and_then(|pid| port(&self.folder, pid)) {
                return Ok(port);
            }
            sleep(Duration::from_millis(20)).await;
        }
        bail!("nats-server does not come up:\n{}", tail(&self.log))
    }
}

fn spawn(folder: &Path, log: &Path, port: Option<u16>, certificates: Option<&Certificates>) -> anyhow::Result<Process> {
    let settings = folder.join("nats-server.conf");
    let port = port.map_or(-1, i32::from);
    let tls = certificates.map_or_else(String::new, |certificates| {
        format!(
            "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}\n",
            certificates.certificate("server").display(),
            certificates.key("server").display(),
            certificates.ca().display()
        )
    });
    let text = format!(
        "listen: \"127.0.0.1:{port}\"\nports_file_dir: \"{folder}\"\n\
         jetstream {{ store_dir: \"{folder}/store\", sync_interval: always, max_file_store: 8589934592 }}\n{tls}",
        folder = folder.display()
    );
    std::fs::write(&settings, text).context("cannot write the broker's settings")?;
    let mut command = Command::new(tool("nats-server"));
    command.arg("--config").arg(settings);
    Process::start(command, log, Stdio::null())
}

/// The port in the file that the server of this process id writes once it listens.
fn port(folder: &Path, pid: u32) -> Option<u16> {
    let text = std::fs::read_to_string(folder.join(format!("nats-server_{pid}.ports"))).ok()?;
    let ports: Value = serde_json::from_str(&text).ok()?;
    ports.pointer("/nats/0")?.as_str()?.rsplit(':').next()?.parse().ok()
}
