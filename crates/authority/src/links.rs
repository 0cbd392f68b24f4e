//! Links that stand for a permission: whoever has one may fetch one file of one run until it expires.
//!
//! A link carries what it permits, and an HMAC-SHA-256 (RFC 2104) over it under a key that all gateways share. Nothing is kept of it: a
//! link ends by its time, and all of them by another key.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use export_contract::{RunId, TenantId, Timestamp};
use rand::Rng as _;

use crate::nonce::NonceKey;

/// Longest time that a link may be valid, seconds: seven days.
pub const MAX_LINK_SECONDS: u32 = 7 * 86_400;
/// Bytes of the key.
const KEY_BYTES: usize = 32;
/// What is signed begins with this, so that the key's other signatures, should there ever be some, are none of links.
const CONTEXT: &str = "export-center link v1";
/// What is signed to make the key for nonces.
const NONCE_KEY_CONTEXT: &str = "export-center dpop nonce key v1";

/// What a link permits: to fetch one file of a run, until a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whose run.
    pub tenant: TenantId,
    /// Which run.
    pub run: RunId,
    /// `bundle.tar`, or the name of a file beside it.
    pub file: String,
    /// Until when, in whole seconds.
    pub expires_at: Timestamp,
}

/// Why a link permits nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkRefused {
    /// It is not what was signed, or was signed with another key.
    #[error("the link is not one of this deployment, or was changed")]
    Forged,
    /// Its time is over.
    #[error("the link expired at {0}; ask for a new one")]
    Expired(Timestamp),
}

/// Why there is no key for links.
#[derive(Debug, thiserror::Error)]
pub enum LinkKeyError {
    /// The file cannot be read or made.
    #[error("cannot {act} the key for links `{}`", path.display())]
    File {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        cause: io::Error,
    },
    /// The file holds something else.
    #[error("`{}` is no key for links: it must hold 64 hex digits, for example from `openssl rand -hex 32`", .0.display())]
    Malformed(PathBuf),
}

/// The key that signs links. Printed nowhere.
#[derive(Clone)]
pub struct LinkKey(hmac::Key);

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey")
    }
}

impl LinkKey {
    /// The key of `path`: 64 hex digits. Where there is no such file, a new key is made, for the owner's eyes.
    ///
    /// # Errors
    /// See [`LinkKeyError`].
    pub fn open(path: &Path) -> Result<Self, LinkKeyError> {
        let failed = |act| move |cause| LinkKeyError::File { act, path: path.to_owned(), cause };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(folder) = path.parent() {
                    std::fs::create_dir_all(folder).map_err(failed("make the folder of"))?;
                }
                let mut secret = [0_u8; KEY_BYTES];
                rand::rng().fill_bytes(&mut secret);
                // Whole or not there: a gateway that is killed here leaves a file beside it.
                let mut fresh = path.as_os_str().to_owned();
                fresh.push(format!(".{}", hex::encode(rand::random::<[u8; 8]>())));
                let fresh = PathBuf::from(fresh);
                let mut file =
                    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).map_err(failed("make"))?;
                file.write_all(hex::encode(secret).as_bytes())
                    .and_then(|()| file.sync_all())
                    .map_err(failed("write"))?;
                // Of two gateways that start at once, both go on with the key of the one that was first.
                let linked = std::fs::hard_link(&fresh, path);
                std::fs::remove_file(&fresh).map_err(failed("write"))?;
                match linked {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed("write")(error)),
                    _ => std::fs::read_to_string(path).map_err(failed("read"))?,
                }
            }
            Err(error) => return Err(failed("read")(error)),
        };
        let secret = hex::decode(text.trim()).ok().filter(|secret| secret.len() == KEY_BYTES);
        Ok(Self::new(&secret.ok_or_else(|| LinkKeyError::Malformed(path.to_owned()))?))
    }

    /// The key with these bytes.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// A key of its own for nonces, which all gateways with this one share.
    pub fn nonce_key(&self) -> NonceKey {
        NonceKey::new(hmac::sign(&self.0, NONCE_KEY_CONTEXT.as_bytes()).as_ref())
    }

    /// The signature of a link, in base64url (RFC 4648 section 5) without padding.
    pub fn sign(&self, link: &Link) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, text(link).as_bytes()))
    }

    /// Whether a link permits what it says, at `now`.
    ///
    /// # Errors
    /// See [`LinkRefused`].
    pub fn check(&self, link: &Link, signature: &str, now: Timestamp) -> Result<(), LinkRefused> {
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| LinkRefused::Forged)?;
        hmac::verify(&self.0, text(link).as_bytes(), &signature).map_err(|_| LinkRefused::Forged)?;
        if now < link.expires_at { Ok(()) } else { Err(LinkRefused::Expired(link.expires_at)) }
    }
}

/// What is signed. None of the parts but the last can hold a line feed.
fn text(link: &Link) -> String {
    let Link { tenant, run, file, expires_at } = link;
    format!("{CONTEXT}\n{tenant}\n{run}\n{}\n{file}", expires_at.as_seconds())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{Link, LinkKey, LinkRefused};

    fn link() -> Link {
        Link {
            tenant: "acme".parse().unwrap(),
            run: export_contract::RunId::from_parts(1, 1),
            file: "bundle.tar".to_owned(),
            expires_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_link_permits_what_was_signed_until_its_time_and_nothing_else() {
        let key = LinkKey::new(&[7; 32]);
        let signature = key.sign(&link());
        let before = "2025-12-31T23:59:59Z".parse().unwrap();
        assert_eq!(key.check(&link(), &signature, before), Ok(()));
        assert_eq!(key.check(&link(), &signature, link().expires_at), Err(LinkRefused::Expired(link().expires_at)));
        let others = [
            Link { tenant: "other".parse().unwrap(), ..link() },
            Link { run: export_contract::RunId::from_parts(1, 2), ..link() },
            Link { file: "export.json".to_owned(), ..link() },
            Link { expires_at: "2027-01-01T00:00:00Z".parse().unwrap(), ..link() },
        ];
        for other in others {
            assert_eq!(key.check(&other, &signature, before), Err(LinkRefused::Forged), "{other:?}");
        }
        assert_eq!(LinkKey::new(&[8; 32]).check(&link(), &signature, before), Err(LinkRefused::Forged));
        let cut: String = signature.chars().skip(1).collect();
        for broken in ["", "x", "not base64!", &cut, &format!("{signature}A")] {
            assert_eq!(key.check(&link(), broken, before), Err(LinkRefused::Forged), "{broken}");
        }
    }

    #[test]
    fn gateways_that_start_at_once_share_the_key_that_one_of_them_makes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/links.key");
        let signatures: Vec<String> = std::thread::scope(|scope| {
            let opened: Vec<_> = (0..8).map(|_| scope.spawn(|| LinkKey::open(&path).unwrap().sign(&link()))).collect();
            opened.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(signatures.iter().all(|signature| *signature == signatures[0]));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else stays");
        std::fs::write(&path, "short").unwrap();
        assert!(LinkKey::open(&path).unwrap_err().to_string().contains("openssl rand -hex 32"));
    }
}
