//! Tools that pull from registries: oras and skopeo.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::programs::{is_left_out, tool};

/// Such a tool, with a home of its own for what it remembers.
#[derive(Clone, Debug)]
pub struct Puller {
    program: PathBuf,
    home: PathBuf,
}

impl Puller {
    /// `oras` or `skopeo`; `None`, with a note, where `EXPORT_TESTS_WITHOUT` leaves it out.
    ///
    /// # Errors
    /// When `home` cannot be made.
    #[expect(clippy::print_stderr, reason = "whoever reads the test's output must see that it tested nothing")]
    pub fn installed(program: &str, home: &Path) -> anyhow::Result<Option<Self>> {
        if is_left_out(program) {
            eprintln!("passed over: EXPORT_TESTS_WITHOUT names {program}");
            return Ok(None);
        }
        std::fs::create_dir_all(home).context("cannot make a home")?;
        Ok(Some(Self { program: tool(program), home: home.to_owned() }))
    }

    /// A call of it, in its home and with nothing of whoever runs the tests.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &self.home).current_dir(&self.home);
        command.env("DOCKER_CONFIG", self.home.join("docker"));
        command
    }
}
