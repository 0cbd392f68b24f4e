//! The encryption of a run: who gets its key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use export_contract::encryption::{
    AAD_FORMAT, Encrypted, Encryption, EncryptionMode, EncryptionScope, MAX_RECIPIENTS, NONCE_FORMAT, WrappedKey,
};

use crate::keepers::Keepers;
use crate::open::{OpenError, Opener, wrapped_bytes};
use crate::recipient::{Recipient, RecipientError};
use crate::seal::{RunSealer, SealError};
use crate::secret::RunKey;
use crate::wrapping::{Context, WrapError};

/// Is told of every recipient that is left out, and why; for the log.
pub type OnLeftOut = Arc<dyn Fn(&Context, &str, &WrapError) + Send + Sync>;

/// How a deployment encrypts.
#[derive(Clone)]
pub struct Sealing {
    keepers: Keepers,
    tenants: BTreeMap<String, BTreeSet<String>>,
    on_left_out: OnLeftOut,
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing").field("tenants", &self.tenants).finish_non_exhaustive()
    }
}

impl Default for Sealing {
    fn default() -> Self {
        Self::new(Keepers::default(), BTreeMap::new(), Arc::new(|_, _, _| ()))
    }
}

/// Why the encryption of a run cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    /// Nobody could decrypt.
    #[error("neither the profile nor the deployment names a recipient; name one in `encryption.recipients`")]
    Nobody,
    /// Too many.
    #[error("profile and deployment together name {0} recipients, at most 32 are used")]
    TooMany(usize),
    /// A text is no recipient.
    #[error(transparent)]
    Text(RecipientError),
    /// A recipient cannot be given the key, and all must be, or none of them can.
    #[error("`{recipient}` cannot be given the run's key")]
    Recipient {
        /// Which one.
        recipient: String,
        /// Why.
        #[source]
        cause: WrapError,
    },
    /// No key can be made.
    #[error("cannot make the run's key")]
    Key(#[source] SealError),
}

/// A run that is about to be encrypted.
#[derive(Debug)]
pub struct Prepared {
    /// Encrypts its files.
    pub sealer: RunSealer,
    /// What the provenance says, without the files.
    pub encrypted: Encrypted,
}

impl Sealing {
    /// A deployment that reaches `keepers` and adds recipients for tenants, by their names.
    pub fn new(keepers: Keepers, tenants: BTreeMap<String, BTreeSet<String>>, on_left_out: OnLeftOut) -> Self {
        Self { keepers, tenants, on_left_out }
    }

    /// Makes the key of a run and wraps it for everybody.
    ///
    /// # Errors
    /// See [`SealingError`].
    pub async fn begin(
        &self,
        wanted: &Encryption,
        scope: EncryptionScope,
        context: &Context,
    ) -> Result<Prepared, SealingError> {
        let recipients = self.recipients(wanted, &context.tenant)?;
        let to_age: Vec<age::x25519::Recipient> = recipients
            .iter()
            .filter_map(|recipient| if let Recipient::Age(key) = recipient { Some(key.clone()) } else { None })
            .collect();
        let mut run = match wanted.mode {
            EncryptionMode::AesGcm => KeyOfRun::Gcm(RunKey::random().map_err(SealingError::Key)?),
            // Keepers wrap the key of one more recipient, which no person has.
            EncryptionMode::Age if to_age.len() < recipients.len() => {
                let (key, public) = crate::age_file::run_identity().ok_or(SealingError::Key(SealError::Key))?;
                KeyOfRun::Age(Some((key, public)))
            }
            EncryptionMode::Age => KeyOfRun::Age(None),
        };
        let (wrapped, left_out) = self.wrap(wanted, &recipients, &run, context).await?;
        if let KeyOfRun::Age(identity) = &mut run
            && wrapped.iter().all(|wrapped| wrapped.wrapped_key.is_none())
        {
            *identity = None;
        }
        let gcm = wanted.mode == EncryptionMode::AesGcm;
        Ok(Prepared {
            sealer: match run {
                KeyOfRun::Gcm(key) => RunSealer::gcm(key, &context.run),
                KeyOfRun::Age(identity) => {
                    RunSealer::age(to_age.into_iter().chain(identity.map(|(_, public)| public)).collect())
                }
            },
            encrypted: Encrypted {
                mode: wanted.mode,
                scope,
                aad_format: gcm.then(|| AAD_FORMAT.to_owned()),
                nonce_format: gcm.then(|| NONCE_FORMAT.to_owned()),
                recipients: wrapped,
                left_out,
                files: Vec::new(),
            },
        })
    }

    /// Unwraps a run's key where its keeper is reached; age recipients are passed over.
    ///
    /// # Errors
    /// [`WrapError`] of the last keeper that was asked, or [`WrapError::NoKeeper`].
    pub async fn opener(&self, encrypted: &Encrypted, context: &Context) -> Result<Opener, WrapError> {
        let refused = |error: OpenError| WrapError::Refused(Box::new(error));
        let mut last = WrapError::NoKeeper;
        for wrapped in &encrypted.recipients {
            let recipient: Recipient =
                wrapped.recipient.parse().map_err(|error| WrapError::Refused(Box::new(error)))?;
            if matches!(recipient, Recipient::Age(_)) {
                continue;
            }
            let bytes = wrapped_bytes(wrapped).map_err(refused)?;
            let unwrapped = match self.keepers.of(&recipient).await {
                Ok(keeper) => keeper.unwrap(&bytes, context).await,
                Err(error) => Err(error),
            };
            match unwrapped {
                Ok(key) => return Opener::with_key(encrypted.mode, &context.run, key).map_err(refused),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Sorted by their text: age recipients, then KMS, then Vault.
    fn recipients(&self, wanted: &Encryption, tenant: &str) -> Result<Vec<Recipient>, SealingError> {
        let of_tenant = self.tenants.get(tenant).into_iter().flatten();
        let texts: BTreeSet<&String> = wanted.recipients.iter().chain(of_tenant).collect();
        match texts.len() {
            0 => return Err(SealingError::Nobody),
            1..=MAX_RECIPIENTS => {}
            many => return Err(SealingError::TooMany(many)),
        }
        texts.into_iter().map(|text| text.parse().map_err(SealingError::Text)).collect()
    }

    async fn wrap(
        &self,
        wanted: &Encryption,
        recipients: &[Recipient],
        run: &KeyOfRun,
        context: &Context,
    ) -> Result<(Vec<WrappedKey>, Vec<String>), SealingError> {
        let (mut done, mut left_out, mut first) = (Vec::new(), Vec::new(), None);
        for recipient in recipients {
            let name = recipient.to_string();
            match self.wrap_for(recipient, run, context).await {
                Ok((key_id, wrapped_key)) => done.push(WrappedKey { recipient: name, key_id, wrapped_key }),
                Err(cause) if wanted.strict => return Err(SealingError::Recipient { recipient: name, cause }),
                Err(cause) => {
                    (self.on_left_out)(context, &name, &cause);
                    left_out.push(name.clone());
                    // One that may come back is the better reason: it is worth another try.
                    if first.is_none() || matches!(cause, WrapError::Unavailable(_)) {
                        first = Some(SealingError::Recipient { recipient: name, cause });
                    }
                }
            }
        }
        match first {
            Some(error) if done.is_empty() => Err(error),
            _ => Ok((done, left_out)),
        }
    }

    /// The id of the key that wrapped, and what it gave.
    async fn wrap_for(
        &self,
        recipient: &Recipient,
        run: &KeyOfRun,
        context: &Context,
    ) -> Result<(Option<String>, Option<String>), WrapError> {
        let key = match (run, recipient) {
            // Every file names its age recipients itself.
            (KeyOfRun::Age(_), Recipient::Age(_)) | (KeyOfRun::Age(None), _) => return Ok((None, None)),
            (KeyOfRun::Age(Some((key, _))) | KeyOfRun::Gcm(key), _) => key,
        };
        let wrapped = self.keepers.of(recipient).await?.wrap(key, context).await?;
        Ok((wrapped.key_id, Some(STANDARD.encode(wrapped.bytes))))
    }
}

enum KeyOfRun {
    Gcm(RunKey),
    /// Only there where a keeper wraps it.
    Age(Option<(RunKey, age::x25519::Recipient)>),
}
