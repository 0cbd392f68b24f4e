//! Certificates for the servers of a deployment, made by openssl.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::programs::output;

/// An authority of a test's own with the certificates that came from it, as PEM files in a folder. Everything here is for `localhost`,
/// 127.0.0.1.
#[derive(Clone, Debug)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes an authority and one certificate each for `server` and `client`.
    ///
    /// # Errors
    /// When openssl does not do its part.
    pub fn make(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).context("cannot make a folder for certificates")?;
        let made = Self { folder: folder.to_owned() };
        let mut authority =
            openssl(&["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        authority.args(["-days", "2", "-subj", "/CN=Authority of a test", "-keyout"]);
        authority.arg(made.key("ca")).arg("-out").arg(made.ca());
        output(&mut authority)?;
        made.issue("server")?;
        made.issue("client")?;
        Ok(made)
    }

    /// Makes a key and a certificate under that name, in the place of what is there.
    ///
    /// # Errors
    /// When openssl does not do its part.
    pub fn issue(&self, name: &str) -> anyhow::Result<()> {
        let mut issue = openssl(&["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        issue.args(["-days", "2", "-subj"]).arg(format!("/CN={name}"));
        issue.args([
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ]);
        issue.arg("-CA").arg(self.ca()).arg("-CAkey").arg(self.key("ca"));
        issue.arg("-keyout").arg(self.key(name)).arg("-out").arg(self.certificate(name));
        output(&mut issue).map(|_| ())
    }

    /// The authority's certificate.
    pub fn ca(&self) -> PathBuf {
        self.certificate("ca")
    }

    /// A certificate.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pem"))
    }

    /// Its key.
    pub fn key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }
}

fn openssl(arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(arguments);
    command
}
