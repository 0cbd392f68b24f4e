//! Encryption of a bundle's files: what a profile asks for, what `export.json` says of it, and what the provenance keeps.
//!
//! Files are encrypted one by one; the tar, `export.json`, the names and sizes of files and all signatures stay readable. Digests in
//! `export.json` are of the plain files, so that they stay a function of the inputs (design D7).

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::profile::ProfileKind;
use crate::{Digest, manifest};

/// Most recipients of a run; each costs a line in the head of every file.
pub const MAX_RECIPIENTS: usize = 32;
/// The value of [`Encrypted::aad_format`] in mode `aes-gcm`. `runId` is the provenance's `invocationId`, `relativePath` the path in
/// `export.json`.
pub const AAD_FORMAT: &str = "{runId}:{relativePath}";
/// The value of [`Encrypted::nonce_format`] in mode `aes-gcm`: 12 bytes of a prefix per file, a big-endian number per chunk, a flag.
pub const NONCE_FORMAT: &str = "prefix(7) || chunk(u32be) || last(1)";

/// How the bytes of a file are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EncryptionMode {
    /// Each file is an age v1 file (<https://age-encryption.org/v1>), which any `age` reads.
    Age,
    /// AES-256-GCM in chunks under a key of the run that is wrapped for each recipient (docs/encryption.md).
    AesGcm,
}

impl EncryptionMode {
    /// `age` or `aes-gcm`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::AesGcm => "aes-gcm",
        }
    }

    /// What the name of an encrypted file ends with, behind the name in `export.json`.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Age => ".age",
            Self::AesGcm => ".enc",
        }
    }
}

/// Which files are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EncryptionScope {
    /// The files under `data/`.
    Data,
    /// Every file but `README.md` and what lies under `manifests/`.
    Payload,
}

impl EncryptionScope {
    /// `data` or `payload`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Payload => "payload",
        }
    }

    /// What a profile of this kind encrypts that does not say it: a mirror what is under `data/`, others all.
    pub fn of(kind: ProfileKind) -> Self {
        match kind {
            ProfileKind::MirrorFull | ProfileKind::MirrorDelta => Self::Data,
            ProfileKind::JsonRaw | ProfileKind::JsonPolicy | ProfileKind::TrivyDb | ProfileKind::TrivyJavaDb => {
                Self::Payload
            }
        }
    }

    /// Whether the file at this path is encrypted.
    pub fn covers(self, path: &str) -> bool {
        match self {
            Self::Data => path.starts_with("data/"),
            Self::Payload => path != "README.md" && path != manifest::PATH && !path.starts_with("manifests/"),
        }
    }
}

/// What a profile asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Encryption {
    /// How.
    pub mode: EncryptionMode,
    /// Who can decrypt: `age1…`, `awskms:KEY` (id, ARN or alias) or `vault:NAME`. Those that the deployment names for the tenant are added,
    /// so that none may stand here.
    #[serde(default)]
    #[schemars(
        length(max = 32),
        inner(regex(
            pattern = r"^(age1[02-9ac-hj-np-z]{58}|awskms:[A-Za-z0-9_./:-]{1,512}|vault:[A-Za-z0-9_.-]{1,512})$"
        ))
    )]
    pub recipients: BTreeSet<String>,
    /// Which files; absent: [`EncryptionScope::of`] the profile's kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<EncryptionScope>,
    /// Whether a run fails when one of the recipients cannot be given the key. Without, one must be, and the others are named in the
    /// provenance.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
}

impl Encryption {
    /// What is wrong, by the member below `encryption`.
    pub fn faults(&self) -> Vec<(String, &'static str)> {
        let mut faults = Vec::new();
        if self.recipients.len() > MAX_RECIPIENTS {
            faults.push(("recipients".to_owned(), "name at most 32"));
        }
        for (at, text) in self.recipients.iter().enumerate() {
            if let Some(fault) = recipient_fault(text) {
                faults.push((format!("recipients[{at}]"), fault));
            }
        }
        faults
    }
}

/// What is wrong with the text of a recipient.
pub fn recipient_fault(text: &str) -> Option<&'static str> {
    let plain = |word: &str, extra: &str| {
        (1..=512).contains(&word.len())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || extra.as_bytes().contains(&byte))
    };
    match text.split_once(':') {
        Some(("awskms", key)) => (!plain(key, "-_./:")).then_some("after `awskms:` comes a key's id, ARN or alias"),
        Some(("vault", name)) => {
            let good = plain(name, "-_.") && !matches!(name, "." | "..");
            (!good).then_some("after `vault:` comes the name of a transit key")
        }
        _ if text.starts_with("age1") => {
            (!is_age_recipient(text)).then_some("it is not an age recipient: its length or its check sum is wrong")
        }
        _ => Some("use age1…, awskms:KEY or vault:NAME"),
    }
}

/// Whether the text is Bech32 (BIP 173) with the prefix `age` over 32 bytes.
fn is_age_recipient(text: &str) -> bool {
    const LETTERS: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let Some(data) = text.strip_prefix("age1").filter(|data| data.len() == 58) else { return false };
    // "age" expanded: the upper bits of each letter, a zero, the lower bits.
    let mut check = 1_u32;
    let mut take = |value: u32| {
        let top = check >> 25;
        check = (check & 0x01ff_ffff) << 5 ^ value;
        for (bit, term) in GENERATOR.iter().enumerate() {
            if top >> bit & 1 == 1 {
                check ^= term;
            }
        }
    };
    for value in [3, 3, 3, 0, 1, 7, 5] {
        take(value);
    }
    for letter in data.bytes() {
        let Some(value) = LETTERS.iter().position(|known| *known == letter) else { return false };
        take(u32::try_from(value).unwrap_or_default());
    }
    check == 1
}

/// What `export.json` says: enough to know the names in the tar. Who can decrypt differs between runs and stands in the provenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestEncryption {
    /// How.
    pub mode: EncryptionMode,
    /// Which files.
    pub scope: EncryptionScope,
}

impl ManifestEncryption {
    /// The name in the tar of the file at `path`.
    pub fn stored(&self, path: &str) -> String {
        if self.scope.covers(path) { format!("{path}{}", self.mode.suffix()) } else { path.to_owned() }
    }
}

/// What the encryption of one run made. Stands in the signed provenance at
/// `buildDefinition.internalParameters.environment.encryption` (design D26). Holds no key that is not wrapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Encrypted {
    /// How.
    pub mode: EncryptionMode,
    /// Which files.
    pub scope: EncryptionScope,
    /// What each chunk is bound to: [`AAD_FORMAT`]; absent in mode `age`, which has no place for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aad_format: Option<String>,
    /// How nonces are made: [`NONCE_FORMAT`]; absent in mode `age`, which has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce_format: Option<String>,
    /// Who can decrypt, sorted: age recipients, then keys at KMS, then keys at a Vault.
    pub recipients: Vec<WrappedKey>,
    /// Recipients that were asked for and cannot decrypt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// The encrypted files, sorted by path.
    pub files: Vec<EncryptedFile>,
}

/// A recipient, and the run's key as only it can read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WrappedKey {
    /// As the profile names it: `age1…`, `awskms:KEY`, `vault:NAME`.
    pub recipient: String,
    /// The key that answered, where that says more: the ARN at KMS, `NAME:vVERSION` at a Vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The run's key: for `age1…` an age file, else what the keeper gave, in base64. Absent for age recipients in mode `age`, where every
    /// file names its recipients itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrapped_key: Option<String>,
}

/// An encrypted file as it lies in the tar.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EncryptedFile {
    /// Its name in the tar, with the suffix.
    pub path: String,
    /// Digest of the encrypted bytes.
    pub digest: Digest,
    /// How many.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::{Encryption, EncryptionMode, EncryptionScope, ManifestEncryption, recipient_fault};

    const GOOD: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    #[test]
    fn recipients_are_read_before_a_run_needs_them() {
        for good in
            [GOOD, "awskms:alias/export", "awskms:arn:aws:kms:eu-central-1:123456789012:key/1-2", "vault:k.1_a-b"]
        {
            assert_eq!(recipient_fault(good), None, "{good}");
        }
        let swapped = GOOD.replace("ql3z", "q3lz");
        for bad in [
            &swapped,
            "age1",
            "",
            "ssh-ed25519 AAAA",
            "AGE-SECRET-KEY-1",
            "awskms:",
            "vault:a/b",
            "vault:..",
            "vault:a b",
        ] {
            assert!(recipient_fault(bad).is_some(), "{bad}");
        }
        assert!(recipient_fault(&GOOD.to_uppercase()).is_some());
    }

    #[test]
    fn a_scope_covers_what_it_names_and_names_stay_readable() {
        let (data, payload) = (EncryptionScope::Data, EncryptionScope::Payload);
        for (path, in_data, in_payload) in [
            ("data/raw/vex.jsonl.zst", true, true),
            ("database/x", false, true),
            ("indexes/vex.index.json", false, true),
            ("trivy/db.tar.gz", false, true),
            ("README.md", false, false),
            ("manifests/export.json", false, false),
        ] {
            assert_eq!((data.covers(path), payload.covers(path)), (in_data, in_payload), "{path}");
        }
        let stored = ManifestEncryption { mode: EncryptionMode::AesGcm, scope: data };
        assert_eq!((stored.stored("data/a"), stored.stored("README.md")), ("data/a.enc".into(), "README.md".into()));
    }

    #[test]
    fn faults_name_the_recipient() {
        let text = format!(r#"{{"mode":"aes-gcm","recipients":["{GOOD}","pgp:x"]}}"#);
        let encryption: Encryption = serde_json::from_str(&text).unwrap();
        assert_eq!(encryption.faults()[0].0, "recipients[1]");
        assert!(serde_json::from_str::<Encryption>(r#"{"mode":"rot13"}"#).is_err());
        assert!(serde_json::from_str::<Encryption>(r#"{"mode":"age","recipient":[]}"#).is_err());
    }
}
