//! Finding the program, and what it does for us besides serving.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::{OLDEST, ServerError};

const NAME: &str = "nats-server";

/// The program to run: the one that is named, or the first of a fitting version on the search path or in `.tools/bin`
/// of a folder above our own program.
pub(super) async fn find(named: Option<&Path>) -> Result<PathBuf, ServerError> {
    let candidates = match named {
        Some(path) => vec![path.to_owned()],
        None => std::iter::once(PathBuf::from(NAME)).chain(installed_by_us()).collect(),
    };
    let mut refused = ServerError::NotFound;
    for candidate in candidates {
        match check(&candidate).await {
            Ok(()) => return Ok(candidate),
            Err(ServerError::NotFound) => {}
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn installed_by_us() -> Vec<PathBuf> {
    let Ok(program) = std::env::current_exe() else {
        return Vec::new();
    };
    program
        .ancestors()
        .skip(1)
        .map(|folder| folder.join(".tools/bin").join(NAME))
        .filter(|path| path.is_file())
        .collect()
}

async fn check(path: &Path) -> Result<(), ServerError> {
    let output =
        Command::new(path).arg("--version").stdin(Stdio::null()).output().await.map_err(|_| ServerError::NotFound)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some(version) = version_in(&text) else {
        return Err(ServerError::UnknownVersion(path.to_owned()));
    };
    if version < OLDEST {
        return Err(ServerError::TooOld { path: path.to_owned(), found: text.trim().to_owned() });
    }
    Ok(())
}

/// Reads `nats-server: v2.15.1`.
fn version_in(text: &str) -> Option<(u32, u32)> {
    let (_, version) = text.trim().rsplit_once('v')?;
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Sends `quit` or `stop` to a server, which the program itself can do.
pub(super) async fn signal(binary: &Path, signal: &str, pid: u32) {
    let sent = Command::new(binary)
        .arg("--signal")
        .arg(format!("{signal}={pid}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
    if let Err(error) = sent {
        tracing::warn!(%error, pid, signal, "nats-server got no signal");
    }
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn the_version_is_read_from_what_the_program_says() {
        assert_eq!(version_in("nats-server: v2.15.1\n"), Some((2, 15)));
        assert_eq!(version_in("nats-server: v2.9.0-beta.1\n"), Some((2, 9)));
        assert_eq!(version_in("something else"), None);
    }
}
