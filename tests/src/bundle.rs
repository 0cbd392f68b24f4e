//! A downloaded bundle, judged by programs that are not ours.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use export_client::Client;
use export_contract::run::Run;
use serde_json::Value;

use crate::programs::{output, python};

/// The folder of a download: `bundle.tar` and the files beside it.
#[derive(Clone, Debug)]
pub struct Bundle {
    folder: PathBuf,
}

impl Bundle {
    /// A bundle that lies in a folder already.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Downloads the bundle of a finished run and everything beside it.
    ///
    /// # Errors
    /// When the run has none or the download fails.
    pub async fn download(client: &Client, run: &Run, folder: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        let bundle = run.bundle.as_ref().with_context(|| format!("run {} has no bundle", run.id))?;
        let id = run.id.as_str();
        client
            .download(id, &bundle.digest, bundle.bytes, &folder.join("bundle.tar"), |_| ())
            .await
            .context("cannot download the bundle")?;
        for name in bundle.sidecars.keys() {
            let bytes = client.file(id, &format!("files/{name}")).await.with_context(|| format!("no `{name}`"))?;
            std::fs::write(folder.join(name), bytes).with_context(|| format!("cannot write `{name}`"))?;
        }
        Ok(Self { folder })
    }

    /// One that lies in a folder already.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The tar.
    pub fn tar(&self) -> PathBuf {
        self.folder.join("bundle.tar")
    }

    /// Paths in the tar, in its order, as `tar` lists them.
    ///
    /// # Errors
    /// When `tar` refuses it.
    pub fn paths(&self) -> anyhow::Result<Vec<String>> {
        let listing = output(Command::new("tar").arg("-tf").arg(self.tar()))?;
        Ok(listing.lines().map(str::to_owned).collect())
    }

    /// Unpacks the tar with `tar`, tests every `.zst` file with `zstd`, and gives the folder.
    ///
    /// # Errors
    /// When one of the two refuses.
    pub fn unpack(&self) -> anyhow::Result<PathBuf> {
        let unpacked = self.folder.join("unpacked");
        std::fs::create_dir_all(&unpacked).context("cannot make a folder to unpack in")?;
        output(Command::new("tar").arg("-xf").arg(self.tar()).arg("-C").arg(&unpacked))?;
        for path in self.paths()?.iter().filter(|path| Path::new(path).extension().is_some_and(|end| end == "zst")) {
            output(Command::new("zstd").args(["-q", "-t"]).arg(unpacked.join(path)))?;
        }
        Ok(unpacked)
    }

    /// `sha256:…` of a file, by `sha256sum`.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn digest(path: &Path) -> anyhow::Result<String> {
        let line = output(Command::new("sha256sum").arg(path))?;
        let hex = line.split_whitespace().next().context("sha256sum printed nothing")?;
        Ok(format!("sha256:{}", hex.trim_start_matches('\\')))
    }

    /// Lets `openssl` verify `<name>.sig` over `<name>` with `cosign.pub`; false where it says no.
    ///
    /// # Errors
    /// When the signature is no base64 or openssl cannot be asked.
    pub fn openssl_verifies(&self, name: &str) -> anyhow::Result<bool> {
        let raw = self.folder.join("signature.der");
        let decoded = Command::new("base64")
            .arg("-d")
            .arg(self.folder.join(format!("{name}.sig")))
            .output()
            .context("cannot start base64")?;
        ensure!(decoded.status.success(), "`{name}.sig` is no base64");
        std::fs::write(&raw, decoded.stdout).context("cannot write the signature")?;
        let verdict = Command::new("openssl")
            .args(["dgst", "-sha256", "-verify"])
            .arg(self.folder.join("cosign.pub"))
            .arg("-signature")
            .arg(&raw)
            .arg(self.folder.join(name))
            .output()
            .context("cannot start openssl")?;
        std::fs::remove_file(raw).context("cannot remove the signature")?;
        Ok(verdict.status.success())
    }

    /// What Python reads in the unpacked bundle, and how it compares with the documents of the folders `originals`; see
    /// `reader.py`.
    ///
    /// # Errors
    /// When Python fails.
    pub fn read_with_python(unpacked: &Path, originals: &[PathBuf]) -> anyhow::Result<Value> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/end_to_end/reader.py");
        let report = output(python().arg(script).arg(unpacked).args(originals))?;
        serde_json::from_str(&report).context("the report of reader.py is no JSON")
    }
}
