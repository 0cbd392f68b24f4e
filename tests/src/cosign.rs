//! The real cosign, offline.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::Context as _;

use crate::programs::{is_left_out, tool};

/// cosign, cut off from every network if the machine allows that.
#[derive(Clone, Copy, Debug)]
pub struct Cosign {
    isolated: bool,
}

impl Cosign {
    /// The installed cosign; `None`, with a note, where `EXPORT_TESTS_WITHOUT` leaves it out.
    #[expect(clippy::print_stderr, reason = "whoever reads the test's output must see that it tested nothing")]
    pub fn installed() -> Option<Self> {
        if is_left_out("cosign") {
            eprintln!("passed over: EXPORT_TESTS_WITHOUT names cosign");
            return None;
        }
        let isolated = Command::new("unshare").args(["-rn", "true"]).status().is_ok_and(|status| status.success());
        Some(Self { isolated })
    }

    /// Runs cosign in `folder`.
    ///
    /// # Errors
    /// When it cannot be started: `make tools` installs it.
    pub fn run(self, folder: &Path, password: &str, arguments: &[&str]) -> anyhow::Result<Output> {
        let program = tool("cosign");
        let mut command = if self.isolated {
            let mut command = Command::new("unshare");
            command.arg("-rn").arg(&program);
            command
        } else {
            Command::new(&program)
        };
        command.args(arguments).current_dir(folder).env("COSIGN_PASSWORD", password);
        // It must not look for a trust root or a cache of the one who runs the tests.
        command.env("HOME", folder);
        command.output().with_context(|| format!("cannot start `{}`; `make tools` installs it", program.display()))
    }

    /// Whether cosign accepts; what it said with it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn accepts(self, folder: &Path, arguments: &[&str]) -> anyhow::Result<(bool, String)> {
        let done = self.run(folder, "", arguments)?;
        Ok((done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned()))
    }
}
