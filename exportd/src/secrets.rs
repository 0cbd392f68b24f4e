//! Secrets: read from files, made on first use, printed nowhere.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use export_signing::Password;

/// The text of a secret file without the line end that editors add.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read the secret file `{}`", path.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// The password of a key file.
pub(crate) fn password(path: &Path) -> anyhow::Result<Password> {
    Ok(Password::new(read(path)?.into_bytes()))
}

/// Writes a random password for the owner's eyes, unless there is one.
pub(crate) fn make_password(path: &Path) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    }
    let secret: [u8; 32] = rand::random();
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => file
            .write_all(hex::encode(secret).as_bytes())
            .and_then(|()| file.sync_all())
            .with_context(|| format!("cannot write `{}`", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot create `{}`", path.display())),
    }
}

/// Writes a random key for the owner's eyes, unless there is one. Roles that start together agree on one: it appears under its
/// name whole or not at all.
pub(crate) fn make_key(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let told = || format!("cannot write `{}`", path.display());
    // Readable by its owner only, as temporary files are.
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(told)?;
    let key: [u8; 32] = rand::random();
    file.write_all(hex::encode(key).as_bytes()).and_then(|()| file.as_file().sync_all()).with_context(told)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error).with_context(told),
    }
}
