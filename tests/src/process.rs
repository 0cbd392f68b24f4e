//! One child process with its log.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::programs::output;

/// Debug builds on a busy machine take their time.
const READY_WITHIN: Duration = Duration::from_mins(1);
const STOPPED_WITHIN: Duration = Duration::from_secs(45);

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    ready: Value,
    /// Kept open: a program that prints once more must not die of it.
    _stdout: Option<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts `command` and waits for the line on its standard output that says that it is ready. What it logs is
    /// added to `log`.
    ///
    /// # Errors
    /// When it does not start, ends early or stays silent; the error has the end of the log.
    pub async fn start_ready(command: Command, log: &Path) -> anyhow::Result<Self> {
        let mut process = Self::start(command, log, Stdio::piped())?;
        let stdout = process.child.stdout.take().context("the child has no standard output")?;
        let mut lines = BufReader::new(stdout);
        let mut line = String::new();
        match timeout(READY_WITHIN, lines.read_line(&mut line)).await {
            Err(_) => bail!("not ready within {READY_WITHIN:?}:\n{}", tail(log)),
            Ok(read) => _ = read.context("cannot read the child's standard output")?,
        }
        process.ready =
            serde_json::from_str(&line).with_context(|| format!("not ready, it said `{line}`:\n{}", tail(log)))?;
        process._stdout = Some(lines);
        Ok(process)
    }

    /// Starts `command` and does not wait.
    pub(crate) fn start(mut command: Command, log: &Path, stdout: Stdio) -> anyhow::Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write `{}`", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {:?}", command.as_std()))?;
        Ok(Self { child, log: log.to_owned(), ready: Value::Null, _stdout: None })
    }

    /// What it said when it was ready.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// Process id; `None` once it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("cannot kill the child")
    }

    /// Asks it to end and waits until it has.
    ///
    /// # Errors
    /// When it does not end in time or ends with an error.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.terminate();
        let status = match timeout(STOPPED_WITHIN, self.child.wait()).await {
            Err(_) => bail!("did not end within {STOPPED_WITHIN:?}:\n{}", tail(&self.log)),
            Ok(status) => status.context("cannot wait for the child")?,
        };
        anyhow::ensure!(status.success(), "ended with {status}:\n{}", tail(&self.log));
        Ok(())
    }

    /// Ends it from where nothing can be awaited: politely, then by force.
    pub(crate) fn end(&mut self) {
        self.terminate();
        for _ in 0..500 {
            if self.has_ended() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(self.child.start_kill());
    }

    fn terminate(&self) {
        if let Some(pid) = self.pid() {
            drop(std::process::Command::new("kill").args(["-TERM", &pid.to_string()]).status());
        }
    }
}

/// Stops a process where it stands (`SIGSTOP`): it keeps its connections and what it was handed.
///
/// # Errors
/// When there is no such process.
pub fn suspend(pid: u32) -> anyhow::Result<()> {
    output(std::process::Command::new("kill").args(["-STOP", &pid.to_string()])).map(|_| ())
}

/// Lets a process go on that [`suspend`] stopped.
///
/// # Errors
/// When there is no such process.
pub fn resume(pid: u32) -> anyhow::Result<()> {
    output(std::process::Command::new("kill").args(["-CONT", &pid.to_string()])).map(|_| ())
}

/// The end of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n")
}

/// `VmHWM`: the largest resident set that a process ever had.
///
/// # Errors
/// When there is no such process.
pub fn peak_kib(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("cannot read its status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("its status tells no peak")?;
    line.trim().trim_end_matches("kB").trim().parse().context("its peak is no number")
}
