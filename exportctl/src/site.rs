//! `exportctl bundle apply` and `rollback`: the importing side. No network, whatever happens.

use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use export_canon::jcs;
use export_contract::Timestamp;
use export_signing::bundle::Bundle;
use export_signing::dsse::{Envelope, IN_TOTO, pre_authentication};
use export_signing::{FileSigner, Password, Signer as _, generate_key_pair};
use export_site::{Applied, Change, Disk, Site, Terms, statement};

use crate::cli::{ApplyArguments, Global};
use crate::exit::{Exit, Failure};
use crate::{output, verify};

/// Takes a bundle in.
pub(crate) fn apply(global: &Global, arguments: &ApplyArguments) -> Result<Exit, Failure> {
    let terms = Terms {
        policy: verify::policy(&arguments.verify)?,
        allow_rollback: arguments.allow_rollback,
        dry_run: arguments.dry_run,
    };
    let site = Site::open(&arguments.into, Disk::default()).map_err(Failure::Site)?;
    let path = arguments.verify.path.as_path();
    let bar = verify::bar(global, verify::length(path));
    let applied = if path == Path::new("-") {
        if io::stdin().is_terminal() {
            return Err(Failure::Usage("`-` reads a delivery from standard input, and that is a terminal".to_owned()));
        }
        site.apply_stream(io::stdin().lock(), &terms, &|bytes| bar.set_position(bytes))
    } else {
        site.apply(path, &terms, &|bytes| bar.set_position(bytes))
    };
    bar.finish_and_clear();
    let applied = applied.map_err(Failure::Site)?;
    if !terms.dry_run && (applied.change != Change::Nothing || !site.has_receipt().map_err(Failure::Site)?) {
        receipt(&site, &arguments.into, &applied)?;
    }
    told(global, &applied, terms.dry_run);
    Ok(Exit::Ok)
}

/// Goes one state back.
pub(crate) fn rollback(global: &Global, folder: &Path) -> Result<Exit, Failure> {
    let site = Site::open(folder, Disk::default()).map_err(Failure::Site)?;
    let applied = site.roll_back().map_err(Failure::Site)?;
    receipt(&site, folder, &applied)?;
    told(global, &applied, false);
    Ok(Exit::Ok)
}

fn told(global: &Global, applied: &Applied, dry_run: bool) {
    output::document(global, applied, |applied| {
        let change = match applied.change {
            Change::Full => "the mirror was taken in",
            Change::Delta => "the delta was put into the mirror",
            Change::Nothing => "nothing: this very mirror is here already",
            Change::RolledBack => "the state before is in use again",
        };
        let before = applied.before.as_ref().map_or("none".to_owned(), ToString::to_string);
        output::facts(&[
            (if dry_run { "would do" } else { "done" }, change.to_owned()),
            ("mirror", applied.mirror.to_string()),
            ("before", before),
            ("as of", applied.as_of.map_or("nothing observed yet".to_owned(), |at| at.to_string())),
            ("position", applied.watermark.0.to_string()),
        ])
    });
}

/// Signs what was done with the site's own key, and keeps it.
fn receipt(site: &Site, folder: &Path, applied: &Applied) -> Result<(), Failure> {
    let signer = site_key(&folder.join("keys"))?;
    let statement = statement(applied, Timestamp::from(SystemTime::now()));
    let unwritable = |cause| Failure::File { act: "write", path: folder.join("receipts"), cause };
    let payload = jcs::to_vec(&statement).map_err(|cause| unwritable(io::Error::other(cause)))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(Failure::Start)?;
    let message = pre_authentication(IN_TOTO, &payload);
    let signature = runtime.block_on(signer.sign(&message)).map_err(Failure::Receipt)?;
    let bundle = Bundle::of_envelope(signer.public_key(), Envelope::new(IN_TOTO, &payload, &signature));
    let text = serde_json::to_vec(&bundle).map_err(|cause| unwritable(io::Error::other(cause)))?;
    site.keep_receipt(applied, &text).map_err(Failure::Site)
}

/// The site's key; made at the first receipt, with a password beside it that only the owner reads.
fn site_key(folder: &Path) -> Result<FileSigner, Failure> {
    let path = folder.join("password");
    let failed = |act, path: &PathBuf| {
        let path = path.clone();
        move |cause| Failure::File { act, path, cause }
    };
    if !path.is_file() {
        fs::create_dir_all(folder).map_err(failed("make", &folder.to_owned()))?;
        let next = folder.join("password.next");
        let password: String = rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect();
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&next).map_err(failed("create", &next))?;
        file.write_all(password.as_bytes()).and_then(|()| file.sync_all()).map_err(failed("write", &next))?;
        fs::rename(&next, &path).map_err(failed("write", &path))?;
    }
    let password = Password::new(fs::read(&path).map_err(failed("read", &path))?);
    generate_key_pair(folder, &password).map_err(Failure::SiteKey)?;
    FileSigner::open(&folder.join("cosign.key"), &password).map_err(Failure::SiteKey)
}
