//! Encrypted files: what opens them, and whether their bytes are the ones that the provenance names.
//!
//! `export.json` has the digests of the plain files, because only those are a function of the inputs. Those of the encrypted ones are in
//! the signed provenance, which therefore cannot be done without.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read};

use export_canon::digesting::DigestingReader;
use export_contract::Digest;
use export_contract::encryption::{Encrypted, EncryptedFile, ManifestEncryption};
use export_contract::manifest::{ExportManifest, ManifestContent};
use export_sealing::{Context, OpenError, Opened, Opener};

use crate::attestation;
use crate::container::{ATTESTATION, BUNDLE, Container, PROVENANCE};
use crate::content::{self, Counted};
use crate::error::{Problem, VerifyError, shown};
use crate::policy::Policy;
use crate::unpack::{Copy, Tee};

/// In which form the files lie in the tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Nothing was encrypted.
    Plain,
    /// Encrypted, under names with a suffix.
    Sealed,
    /// Encrypted once, and plain under their own names since somebody decrypted them.
    Decrypted,
}

/// What is at hand for encrypted files.
pub(crate) struct Unsealing {
    how: ManifestEncryption,
    key: Key,
}

enum Key {
    /// No identity was given.
    None,
    /// The key, and what the provenance says of each file.
    Here { opener: Opener, promised: BTreeMap<String, EncryptedFile> },
    /// Why there is none; told when it is needed, which is not the case in a bundle that was decrypted.
    Missing(RefCell<Option<VerifyError>>),
}

/// Looks for the key before the tar is read; `None` where nothing is encrypted.
pub(crate) fn prepare(
    container: &Container<'_>,
    manifest: &ExportManifest,
    policy: &Policy,
) -> Result<Option<Unsealing>, VerifyError> {
    let Some(how) = manifest.encryption else { return Ok(None) };
    if policy.identities.is_none() && policy.keeper.is_none() {
        return Ok(Some(Unsealing { how, key: Key::None }));
    }
    let key = match attestation::signed(container, policy)? {
        None => Err(missing(container)),
        Some(signed) => match signed.encrypted()? {
            None => Err(VerifyError::rule(ATTESTATION, SILENT)),
            Some(encrypted) => {
                opener(&encrypted, manifest, signed.run(), policy).map(|opener| (opener, promised(encrypted)))
            }
        },
    };
    let key = match key {
        Ok((opener, promised)) => Key::Here { opener, promised },
        Err(fault) => Key::Missing(RefCell::new(Some(fault))),
    };
    Ok(Some(Unsealing { how, key }))
}

fn opener(encrypted: &Encrypted, manifest: &ExportManifest, run: &str, policy: &Policy) -> Result<Opener, VerifyError> {
    match (&policy.identities, &policy.keeper) {
        (Some(identities), _) => {
            Opener::with_identities(encrypted, run, identities).map_err(|error| of_open(ATTESTATION, error))
        }
        (None, Some(keeper)) => {
            let context = Context { tenant: manifest.tenant.to_string(), run: run.to_owned() };
            keeper.opener(encrypted, &context).map_err(VerifyError::Keeper)
        }
        (None, None) => Err(VerifyError::Closed(shown(ATTESTATION))),
    }
}

const SILENT: &str = "it does not say what the encrypted files are";

fn missing(container: &Container<'_>) -> VerifyError {
    if matches!(container, Container::Stream(_)) {
        return VerifyError::Order;
    }
    VerifyError::SignatureMissing { what: PROVENANCE, file: ATTESTATION }
}

fn promised(encrypted: Encrypted) -> BTreeMap<String, EncryptedFile> {
    encrypted.files.into_iter().map(|file| (file.path.clone(), file)).collect()
}

impl Unsealing {
    /// The name in the tar of a file.
    pub(crate) fn stored(&self, path: &str) -> String {
        self.how.stored(path)
    }

    /// Whether there is a key.
    pub(crate) fn opens(&self) -> bool {
        matches!(self.key, Key::Here { .. })
    }

    /// Why an encrypted file cannot be copied: nobody gave an identity, or the one that was given does not help.
    pub(crate) fn why_closed(&self, stored: &str) -> VerifyError {
        let fault = match &self.key {
            Key::Missing(fault) => fault.take(),
            Key::None | Key::Here { .. } => None,
        };
        fault.unwrap_or_else(|| VerifyError::Closed(shown(stored)))
    }

    /// Reads an encrypted file; with the key also what is inside. `plain` gets what was decrypted.
    pub(crate) fn check(
        &self,
        content: &ManifestContent,
        stored: &str,
        body: &mut impl Read,
        policy: &Policy,
        plain: Option<Copy<'_>>,
    ) -> Result<(EncryptedFile, Option<Counted>), VerifyError> {
        let mut sealed = DigestingReader::new(body);
        let outcome = match &self.key {
            Key::None => Ok(None),
            Key::Missing(fault) => match fault.take() {
                Some(fault) => return Err(fault),
                None => Ok(None),
            },
            Key::Here { opener, .. } => inside(opener, content, stored, &mut sealed, policy, plain).map(Some),
        };
        io::copy(&mut sealed, &mut io::sink()).map_err(|cause| VerifyError::of_read(BUNDLE.as_ref(), cause))?;
        let (_, digested) = sealed.finish();
        let digest = Digest::from_bytes(*digested.sha256.as_bytes());
        let found = EncryptedFile { path: stored.to_owned(), digest, bytes: digested.bytes };
        // Damage shows as a wrong digest first of all, as with files that are not encrypted.
        if outcome.is_err()
            && let Key::Here { promised, .. } = &self.key
            && let Some(promised) = promised.get(stored)
        {
            same(promised, &found)?;
        }
        outcome.map(|counted| (found, counted))
    }
}

fn inside(
    opener: &Opener,
    content: &ManifestContent,
    stored: &str,
    sealed: &mut impl Read,
    policy: &Policy,
    plain: Option<Copy<'_>>,
) -> Result<Counted, VerifyError> {
    let opened = opener.open(&content.path, sealed).map_err(|error| of_open(stored, error))?;
    let mut told = Tee::new(Told { opened, stored }, plain);
    let counted = content::check(content, content.bytes, &mut told, policy)?;
    told.finish()?;
    Ok(counted)
}

/// Tells the faults of decryption as ours, so that nobody takes them for those of the machine.
struct Told<'a, R> {
    opened: Opened<R>,
    stored: &'a str,
}

impl<R: Read> Read for Told<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.opened.read(buffer).map_err(|cause| match cause.downcast::<OpenError>() {
            Ok(error) => of_open(self.stored, error).inside(),
            Err(cause) => cause,
        })
    }
}

fn of_open(what: &str, error: OpenError) -> VerifyError {
    match error {
        OpenError::Read(cause) => VerifyError::of_read(BUNDLE.as_ref(), cause),
        OpenError::NotForUs => VerifyError::NotForUs(shown(what)),
        error @ (OpenError::Tampered | OpenError::Cut | OpenError::NotSealed(_)) => {
            VerifyError::malformed(what, Problem::Encrypted(error))
        }
    }
}

/// Whether the encrypted files of the tar are the ones that the provenance names: each of them, and no others.
pub(crate) fn compare(
    encrypted: Option<Encrypted>,
    how: ManifestEncryption,
    found: &[EncryptedFile],
) -> Result<Encrypted, VerifyError> {
    let encrypted = encrypted.ok_or_else(|| VerifyError::rule(ATTESTATION, SILENT))?;
    if (encrypted.mode, encrypted.scope) != (how.mode, how.scope) {
        return Err(VerifyError::rule(ATTESTATION, "it tells of another encryption than export.json"));
    }
    if !encrypted.files.is_sorted_by(|before, after| before.path < after.path) {
        return Err(VerifyError::rule(ATTESTATION, "its encrypted files are not sorted, each once"));
    }
    let mut promised: BTreeMap<&str, &EncryptedFile> =
        encrypted.files.iter().map(|file| (file.path.as_str(), file)).collect();
    for file in found {
        let promised = promised.remove(file.path.as_str());
        let unknown = || VerifyError::rule(&file.path, "it is encrypted, and the provenance does not name it");
        same(promised.ok_or_else(unknown)?, file)?;
    }
    if !promised.is_empty() {
        return Err(VerifyError::rule(ATTESTATION, "it names an encrypted file that export.json does not list"));
    }
    Ok(encrypted)
}

fn same(promised: &EncryptedFile, found: &EncryptedFile) -> Result<(), VerifyError> {
    if promised == found {
        return Ok(());
    }
    let told = |file: &EncryptedFile| format!("{} of {} bytes", file.digest, file.bytes);
    Err(VerifyError::DigestMismatch {
        what: shown(&found.path),
        expected: format!("{} by provenance", told(promised)),
        found: told(found),
    })
}
