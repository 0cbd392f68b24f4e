//! A server that outlived a parent that was killed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use super::{ServerError, binary};

/// Ends the process that the pid file names, if it is a server that runs with our settings file; any other process
/// that has that number by now is left alone.
pub(super) async fn end(program: &Path, pid_file: &Path, settings: &Path) -> Result<(), ServerError> {
    let Some(pid) = fs::read_to_string(pid_file).ok().and_then(|text| text.trim().parse::<u32>().ok()) else {
        return Ok(());
    };
    for signal in ["quit", "stop"] {
        if !runs_with(pid, settings).await {
            return Ok(());
        }
        tracing::warn!(pid, signal, "ending a nats-server of an earlier start");
        binary::signal(program, signal, pid).await;
        for _ in 0..100 {
            if !runs_with(pid, settings).await {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Err(ServerError::Leftover(pid))
}

/// Whether process `pid` was started with `settings` on its command line.
async fn runs_with(pid: u32, settings: &Path) -> bool {
    let command_line = match fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(bytes) => bytes,
        Err(_) if Path::new("/proc/self").exists() => return false,
        Err(_) => {
            let listed = Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()]).output().await;
            listed.map_or_else(|_| Vec::new(), |output| output.stdout)
        }
    };
    let settings = settings.to_string_lossy();
    String::from_utf8_lossy(&command_line).contains(settings.as_ref())
}
