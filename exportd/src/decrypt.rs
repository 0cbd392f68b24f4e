//! `exportd decrypt`: an encrypted bundle as a plain one, with a key that a KMS or a Vault keeps.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use export_contract::encryption::Encrypted;
use export_sealing::{Context, Opener, Sealing, WrapError};
use export_verify::{Keeper, Policy, PublicKey, VerifyError};
use tokio::runtime::Handle;

use crate::cli::DecryptArguments;
use crate::config::Config;
use crate::stores;

/// Asks the keepers that the configuration reaches, from the thread on which a bundle is verified.
#[derive(Debug)]
struct Keepers {
    sealing: Sealing,
    runtime: Handle,
}

impl Keeper for Keepers {
    fn opener(&self, encrypted: &Encrypted, context: &Context) -> Result<Opener, WrapError> {
        // The AWS SDK's futures are large.
        self.runtime.block_on(Box::pin(self.sealing.opener(encrypted, context)))
    }
}

/// Verifies while it writes; the folder is there once everything was proven.
pub(crate) async fn decrypt(config: &Config, arguments: DecryptArguments) -> anyhow::Result<()> {
    let DecryptArguments { path, out, key } = arguments;
    ensure!(!out.exists(), "--out `{}` is there already; name a folder that is not", out.display());
    let sealing = stores::sealing(config)?;
    let keys: anyhow::Result<Vec<PublicKey>> = key.iter().map(PathBuf::as_path).map(read_key).collect();
    let policy = Policy {
        keys: keys?,
        require_provenance: true,
        keeper: Some(Arc::new(Keepers { sealing, runtime: Handle::current() })),
        ..Policy::default()
    };
    let folder = out.clone();
    let proven = tokio::task::spawn_blocking(move || export_verify::decrypt(&path, &policy, &folder, &|_| ()));
    let report = proven.await.context("the verification ended before its end")?.context("nothing was decrypted")?;
    let mut told = std::io::stdout().lock();
    writeln!(told, "decrypted  {}", out.display())?;
    for fact in &report.proven {
        writeln!(told, "proven     {fact}")?;
    }
    for fact in &report.not_proven {
        writeln!(told, "not proven {fact}")?;
    }
    told.flush()?;
    Ok(())
}

/// The class of a bundle's fault, as `exportctl` ends with it.
pub(crate) fn exit_code(error: &anyhow::Error) -> Option<u8> {
    error.downcast_ref::<VerifyError>().map(VerifyError::exit_code)
}

fn read_key(path: &Path) -> anyhow::Result<PublicKey> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read --key `{}`", path.display()))?;
    PublicKey::from_pem(&text).with_context(|| format!("--key `{}`", path.display()))
}
