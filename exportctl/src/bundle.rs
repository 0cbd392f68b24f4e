//! `exportctl bundle`.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use export_client::Client;
use export_contract::run::Run;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::cli::{BundleCommand, Global};
use crate::exit::{Exit, Failure};
use crate::login::client;
use crate::{diff, extract, kit, layout, output, pack, site, verify};

/// What a download wrote.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DownloadReport {
    run: String,
    folder: PathBuf,
    bundle: PathBuf,
    bytes: u64,
    digest: String,
    files: Vec<String>,
}

/// Downloads a bundle and everything beside it.
pub(crate) async fn online(global: &Global, command: BundleCommand) -> Result<Exit, Failure> {
    let (run, dir) = match command {
        BundleCommand::Download { run, dir } => (run, dir),
        BundleCommand::Link { run, valid, file } => return link(global, &run, &file, valid).await,
        command => return offline(global, command),
    };
    let client = client(global)?;
    let run = client.run(&run).await.map_err(Failure::Client)?;
    let report = download(global, &client, &run, &dir).await?;
    output::document(global, &report, |report| {
        output::facts(&[
            ("run", report.run.clone()),
            ("folder", report.folder.display().to_string()),
            ("bytes", report.bytes.to_string()),
            ("digest", report.digest.clone()),
            ("files", report.files.join(" ")),
        ])
    });
    Ok(Exit::Ok)
}

async fn link(global: &Global, run: &str, file: &str, seconds: u32) -> Result<Exit, Failure> {
    let link = client(global)?.link(run, file, seconds).await.map_err(Failure::Client)?;
    output::document(global, &link, |link| {
        output::facts(&[
            ("url", link.url.clone()),
            ("file", link.file.clone()),
            ("expires", link.expires_at.to_string()),
        ])
    });
    Ok(Exit::Ok)
}

async fn download(global: &Global, client: &Client, run: &Run, dir: &Path) -> Result<DownloadReport, Failure> {
    let Some(bundle) = &run.bundle else {
        return Err(Failure::NoBundle { run: run.id.to_string(), status: run.status });
    };
    let written = |path: &Path, cause| Failure::File { act: "write", path: path.to_owned(), cause };
    std::fs::create_dir_all(dir).map_err(|cause| written(dir, cause))?;
    let _ours = alone_in(dir)?;
    let mut files = vec!["bundle.tar".to_owned()];
    for name in bundle.sidecars.keys() {
        // The names come from the server: one that is not a plain file name must not leave the folder.
        if Path::new(name).file_name().is_none_or(|plain| plain != name.as_str()) {
            return Err(Failure::Usage(format!("the server names a file `{name}`, which is not a plain file name")));
        }
        let bytes = client.file(run.id.as_str(), &format!("files/{name}")).await.map_err(Failure::Client)?;
        let path = dir.join(name);
        std::fs::write(&path, &bytes).map_err(|cause| written(&path, cause))?;
        files.push(name.clone());
    }
    // What another run left in the folder is about another bundle, and a verifier would say so.
    for name in pack::FILES.into_iter().filter(|name| !files.iter().any(|file| file == name)) {
        let path = dir.join(name);
        match std::fs::remove_file(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                return Err(Failure::File { act: "remove", path, cause });
            }
            _ => {}
        }
    }
    let target = if output::bars(global) { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(bundle.bytes), target);
    if let Ok(style) =
        ProgressStyle::with_template("bundle.tar [{bar:32}] {bytes}/{total_bytes}  {bytes_per_sec}  {eta}")
    {
        bar.set_style(style.progress_chars("=> "));
    }
    let path = dir.join("bundle.tar");
    let done = client
        .download(run.id.as_str(), &bundle.digest, bundle.bytes, &path, |bytes| bar.set_position(bytes))
        .await
        .map_err(Failure::Download)?;
    bar.finish_and_clear();
    Ok(DownloadReport {
        run: run.id.to_string(),
        folder: dir.to_owned(),
        bundle: done.path,
        bytes: done.bytes,
        digest: done.digest.to_string(),
        files,
    })
}

/// Keeps a folder for one download at a time, until it is dropped or its process ends: files of two runs would be of no bundle. Where a
/// file system knows no locks there is none, and only the digest tells.
fn alone_in(dir: &Path) -> Result<Option<File>, Failure> {
    let Ok(folder) = File::open(dir) else { return Ok(None) };
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => Err(Failure::FolderBusy(dir.to_owned())),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Verifies or inspects; never touches the network.
pub(crate) fn offline(global: &Global, command: BundleCommand) -> Result<Exit, Failure> {
    match command {
        BundleCommand::Verify(arguments) => verify::verify(global, &arguments),
        BundleCommand::Decrypt(arguments) => verify::decrypt(global, &arguments),
        BundleCommand::Apply(arguments) => site::apply(global, &arguments),
        BundleCommand::Rollback { into } => site::rollback(global, &into),
        BundleCommand::Diff { old, new, markdown } => diff::diff(global, &old, &new, markdown),
        BundleCommand::Extract { record, raw, path } => extract::extract(&record, raw, &path),
        BundleCommand::Kit(arguments) => kit::kit(global, &arguments),
        BundleCommand::Pack { dir, out, oci } if oci => layout::pack(&dir, &out),
        BundleCommand::Pack { dir, out, .. } => pack::pack(&dir, &out),
        BundleCommand::Inspect { path } => verify::inspect(global, &path),
        BundleCommand::Download { .. } | BundleCommand::Link { .. } => Ok(Exit::Unexpected),
    }
}
