//! Secrets: read from files, made on first use, printed nowhere.

use std::path::Path;

use anyhow::Context as _;
use export_signing::{Password, keeping};

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

/// Writes a random password for the owner's eyes, unless there is one. It appears whole or not at all: one that a power cut had left empty
/// would be taken for a password.
pub(crate) fn make_password(path: &Path) -> anyhow::Result<()> {
    make_key(path)
}

/// Writes a random key for the owner's eyes, unless there is one. Roles that start together agree on one.
pub(crate) fn make_key(path: &Path) -> anyhow::Result<()> {
    let told = || format!("cannot write `{}`", path.display());
    if path.exists() {
        // Whoever wrote it may not have come so far yet.
        return keeping::sync_folder_of(path).with_context(told);
    }
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    keeping::make_folder(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let key: [u8; 32] = rand::random();
    keeping::write_once(path, hex::encode(key).as_bytes(), 0o600).with_context(told)?;
    Ok(())
}
