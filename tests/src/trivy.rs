//! Real Trivys, reading our databases.

mod report;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

pub use report::{Detected, Finding};

use crate::programs::{is_left_out, output, tool};

/// A Trivy that `tools/install.sh test` installs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trivy {
    /// The current one, which opens its database for reading only.
    Current,
    /// 0.59.1, which opens its database for writing, whatever it is asked to do.
    Older,
}

impl Trivy {
    /// Both, but for those that `EXPORT_TESTS_WITHOUT` names.
    #[expect(clippy::print_stderr, reason = "whoever reads the test's output must see what judged nothing")]
    pub fn installed() -> Vec<Self> {
        let mut found = vec![Self::Current, Self::Older];
        found.retain(|trivy| {
            let left_out = is_left_out(trivy.program());
            if left_out {
                eprintln!("passed over: EXPORT_TESTS_WITHOUT names {}", trivy.program());
            }
            !left_out
        });
        found
    }

    /// Its name in `tools/tools.list`.
    pub fn program(self) -> &'static str {
        match self {
            Self::Current => "trivy",
            Self::Older => "trivy-0.59",
        }
    }

    /// What keeps it off the network.
    fn offline(self) -> &'static [&'static str] {
        match self {
            Self::Current => {
                &["--offline-scan", "--skip-version-check", "--disable-telemetry", "--skip-vex-repo-update"]
            }
            Self::Older => &["--offline-scan", "--skip-vex-repo-update"],
        }
    }
}

/// A Trivy with a cache of its own: two that share one wait for each other.
#[derive(Clone, Debug)]
pub struct Scanner {
    trivy: Trivy,
    cache: PathBuf,
    /// What says where its databases come from.
    source: Vec<String>,
}

impl Scanner {
    /// Lays out `cache` from unpacked bundles of `trivy:db` and `trivy:java-db`.
    ///
    /// # Errors
    /// When a bundle holds neither database, or `tar` does not take what it holds.
    pub fn new(trivy: Trivy, cache: PathBuf, bundles: &[&Path]) -> anyhow::Result<Self> {
        for bundle in bundles {
            let mut found = false;
            for (archive, folder) in [("trivy/db.tar.gz", "db"), ("trivy/javadb.tar.gz", "java-db")] {
                let archive = bundle.join(archive);
                if archive.is_file() {
                    let folder = cache.join(folder);
                    std::fs::create_dir_all(&folder).context("cannot make a cache")?;
                    output(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder))?;
                    found = true;
                }
            }
            ensure!(found, "no database for Trivy in `{}`", bundle.display());
        }
        let source = ["--skip-db-update", "--skip-java-db-update"].map(str::to_owned).to_vec();
        Ok(Self { trivy, cache, source })
    }

    /// One with an empty cache, which pulls the vulnerability database and the index of archives from two `repositories`, as `client`
    /// if it has an id and a secret.
    ///
    /// # Errors
    /// When the cache cannot be made.
    pub fn pulling(
        trivy: Trivy,
        cache: PathBuf,
        repositories: &[String; 2],
        client: Option<(&str, &str)>,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&cache).context("cannot make a cache")?;
        let [vulnerabilities, archives] = repositories;
        let mut source = vec![format!("--db-repository={vulnerabilities}"), format!("--java-db-repository={archives}")];
        if let Some((id, secret)) = client {
            source.extend([format!("--username={id}"), format!("--password={secret}")]);
        }
        Ok(Self { trivy, cache, source })
    }

    /// Which Trivy it is.
    pub fn trivy(&self) -> Trivy {
        self.trivy
    }

    /// Its vulnerability database.
    pub fn database(&self) -> PathBuf {
        self.cache.join("db/trivy.db")
    }

    /// Its index of Java archives.
    pub fn java_index(&self) -> PathBuf {
        self.cache.join("java-db/trivy-java.db")
    }

    /// Scans a CycloneDX or SPDX document.
    ///
    /// # Errors
    /// When Trivy fails or its report cannot be read.
    pub fn sbom(&self, document: &Path) -> anyhow::Result<Detected> {
        self.scan(&["sbom"], document)
    }

    /// Scans a folder as source code: lock files and the like.
    ///
    /// # Errors
    /// As [`Self::sbom`].
    pub fn folder(&self, folder: &Path) -> anyhow::Result<Detected> {
        self.scan(&["fs", "--scanners", "vuln"], folder)
    }

    /// Scans a folder as the file system of a machine: archives of Java and the like.
    ///
    /// # Errors
    /// As [`Self::sbom`].
    pub fn root(&self, folder: &Path) -> anyhow::Result<Detected> {
        self.scan(&["rootfs", "--scanners", "vuln"], folder)
    }

    fn scan(&self, what: &[&str], target: &Path) -> anyhow::Result<Detected> {
        let mut command = Command::new(tool(self.trivy.program()));
        command.arg("--cache-dir").arg(&self.cache).args(["--timeout", "10m"]).args(what);
        command.args(self.trivy.offline()).args(&self.source).args(["--format", "json", "--list-all-pkgs"]).arg(target);
        // Nothing of whoever runs the tests: settings, credentials, ignore lists.
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &self.cache).current_dir(&self.cache);
        let done = command.output().with_context(|| format!("cannot start {}", self.trivy.program()))?;
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        ensure!(done.status.success(), "{command:?} ended with {}:\n{said}", done.status);
        Detected::read(&done.stdout, said).with_context(|| format!("the report of {command:?}"))
    }
}
