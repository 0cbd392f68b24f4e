//! What a Vault answers.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::VaultError;
use crate::bundle::from_base64;

/// Most characters of a server's reason that are shown.
const MAX_REASON: usize = 200;

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

/// "Read key".
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

/// The same, for keys with a public half.
#[derive(Deserialize)]
struct Key {
    keys: BTreeMap<u32, KeyVersion>,
}

#[derive(Deserialize)]
struct KeyVersion {
    public_key: String,
}

/// "Sign data".
#[derive(Deserialize)]
struct Signed {
    signature: String,
}

/// "Encrypt data".
#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

/// "Decrypt data".
#[derive(Deserialize)]
struct Decrypted {
    plaintext: String,
}

/// Every answer that is not 2xx.
#[derive(Deserialize)]
struct Errors {
    errors: Vec<String>,
}

fn data<T: DeserializeOwned>(text: &[u8]) -> Result<T, VaultError> {
    serde_json::from_slice::<Answer<T>>(text).map(|answer| answer.data).map_err(VaultError::Parse)
}

/// Version and PEM of the version that is asked for, or of the latest.
pub(super) fn public_key(text: &[u8], version: Option<u32>) -> Result<(u32, String), VaultError> {
    // The type comes first: versions of a symmetric key are numbers, which would only be "not understood".
    let Kind { kind } = data(text)?;
    if kind != "ecdsa-p256" {
        return Err(VaultError::KeyType(kind));
    }
    let mut key: Key = data(text)?;
    let version = version.or_else(|| key.keys.keys().next_back().copied()).unwrap_or_default();
    let found = key.keys.remove(&version).ok_or(VaultError::NoVersion(version))?;
    Ok((version, found.public_key))
}

/// The signature of `vault:v<version>:<base64>`.
pub(super) fn signature(text: &[u8], version: u32) -> Result<Vec<u8>, VaultError> {
    let Signed { signature } = data(text)?;
    signature.strip_prefix(&format!("vault:v{version}:")).and_then(from_base64).ok_or(VaultError::Form(version))
}

/// The text `vault:v<version>:<base64>`.
pub(super) fn ciphertext(text: &[u8]) -> Result<String, VaultError> {
    let Encrypted { ciphertext } = data(text)?;
    let mut words = ciphertext.split(':');
    let version =
        (words.next() == Some("vault")).then(|| words.next()).flatten().and_then(|word| word.strip_prefix('v'));
    let good = version.is_some_and(|version| version.parse::<u32>().is_ok())
        && words.next().is_some_and(|word| !word.is_empty());
    if good { Ok(ciphertext) } else { Err(VaultError::Ciphertext) }
}

/// The bytes that were encrypted.
pub(super) fn plaintext(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let Decrypted { plaintext } = data(text)?;
    let plaintext = Zeroizing::new(plaintext);
    from_base64(&plaintext).map(Zeroizing::new).ok_or(VaultError::Plaintext)
}

/// The server's reasons after a colon, shortened and in one line, or nothing.
pub(super) fn errors(text: &[u8]) -> String {
    let Ok(Errors { errors }) = serde_json::from_slice(text) else { return String::new() };
    let reasons = errors.join("; ");
    let line: String =
        reasons.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(MAX_REASON).collect();
    if line.trim().is_empty() { String::new() } else { format!(": {}", line.trim()) }
}

#[cfg(test)]
mod tests {
    use super::{ciphertext, plaintext};

    #[test]
    fn what_is_no_ciphertext_and_no_plaintext_is_refused() {
        let text = |data: &str| format!(r#"{{"data":{data}}}"#).into_bytes();
        assert_eq!(ciphertext(&text(r#"{"ciphertext":"vault:v3:AAAA"}"#)).unwrap(), "vault:v3:AAAA");
        for bad in ["vault:v3:", "vault:v3", "vault:3:AAAA", "vault:vx:AAAA", "other:v3:AAAA", ""] {
            assert!(ciphertext(&text(&format!(r#"{{"ciphertext":"{bad}"}}"#))).is_err(), "{bad}");
        }
        assert_eq!(*plaintext(&text(r#"{"plaintext":"AQI="}"#)).unwrap(), [1, 2]);
        for bad in [r#"{"plaintext":"*"}"#, r#"{"plaintext":7}"#, "{}", "null"] {
            assert!(plaintext(&text(bad)).is_err(), "{bad}");
        }
    }
}
