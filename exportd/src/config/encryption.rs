//! The settings of encryption: which keepers of keys are reached, and who reads a tenant's bundles.

use std::collections::BTreeSet;
use std::path::PathBuf;

use export_contract::TenantId;
use export_contract::encryption::{MAX_RECIPIENTS, recipient_fault};
use serde::{Deserialize, Serialize};

/// What the recipients `awskms:KEY` and `vault:NAME` of profiles are reached with, and recipients of tenants. Other settings than those of
/// signing: whoever may sign need not be allowed to encrypt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Encryption {
    /// Whether recipients may be keys at AWS KMS.
    pub(crate) kms: bool,
    /// Region of KMS; empty leaves it to the machine.
    pub(crate) kms_region: String,
    /// Address of another KMS than Amazon's.
    pub(crate) kms_endpoint: String,
    /// Access key id for KMS; empty takes what the machine has.
    pub(crate) kms_access_key_id: String,
    /// File with its secret.
    pub(crate) kms_secret_access_key_file: PathBuf,
    /// Seconds that KMS has for an answer, 1 to 120.
    pub(crate) kms_timeout_seconds: u64,
    /// Address of the Vault; not set: recipients cannot be keys at one.
    pub(crate) vault_address: String,
    /// File with the token for it. Read anew for each request.
    pub(crate) vault_token_file: PathBuf,
    /// Namespace in it, where it has some.
    pub(crate) vault_namespace: String,
    /// File with the certificates (PEM) that its own must come from; not set: those that the system trusts.
    pub(crate) vault_ca_file: PathBuf,
    /// Where its transit engine is mounted.
    pub(crate) vault_mount: String,
    /// Seconds that it has for an answer, 1 to 120.
    pub(crate) vault_timeout_seconds: u64,
    /// Recipients that are added to those of a tenant's encrypting profiles.
    pub(crate) tenants: Vec<TenantRecipients>,
}

impl Default for Encryption {
    fn default() -> Self {
        Self {
            kms: false,
            kms_region: String::new(),
            kms_endpoint: String::new(),
            kms_access_key_id: String::new(),
            kms_secret_access_key_file: PathBuf::new(),
            kms_timeout_seconds: 10,
            vault_address: String::new(),
            vault_token_file: PathBuf::new(),
            vault_namespace: String::new(),
            vault_ca_file: PathBuf::new(),
            vault_mount: "transit".to_owned(),
            vault_timeout_seconds: 10,
            tenants: Vec::new(),
        }
    }
}

/// Who reads the encrypted bundles of a tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantRecipients {
    /// Whose bundles.
    pub(crate) tenant: TenantId,
    /// `age1…`, `awskms:KEY` or `vault:NAME`.
    pub(crate) recipients: BTreeSet<String>,
}

impl Encryption {
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut expect = |good: bool, text: String| {
            if !good {
                faults.push(text);
            }
        };
        for (name, seconds) in
            [("kms_timeout_seconds", self.kms_timeout_seconds), ("vault_timeout_seconds", self.vault_timeout_seconds)]
        {
            expect((1..=120).contains(&seconds), format!("encryption.{name}: use 1 to 120"));
        }
        expect(
            self.kms_access_key_id.is_empty() || !self.kms_secret_access_key_file.as_os_str().is_empty(),
            "encryption.kms_secret_access_key_file: an access key id needs the file with its secret".to_owned(),
        );
        expect(
            self.vault_address.is_empty() || !self.vault_token_file.as_os_str().is_empty(),
            "encryption.vault_token_file: a Vault needs the file with the token".to_owned(),
        );
        let mut seen = BTreeSet::new();
        for (number, entry) in self.tenants.iter().enumerate() {
            let at = format!("encryption.tenants[{number}]");
            expect(seen.insert(&entry.tenant), format!("{at}.tenant: `{}` is there twice", entry.tenant));
            expect(
                (1..=MAX_RECIPIENTS).contains(&entry.recipients.len()),
                format!("{at}.recipients: name 1 to {MAX_RECIPIENTS}"),
            );
            for text in &entry.recipients {
                match recipient_fault(text) {
                    Some(fault) => expect(false, format!("{at}.recipients: `{text}`: {fault}")),
                    None if text.starts_with("awskms:") => {
                        expect(self.kms, format!("encryption.kms: set it, {at} names a key there"));
                    }
                    None if text.starts_with("vault:") => {
                        expect(
                            !self.vault_address.is_empty(),
                            format!("encryption.vault_address: {at} names a key there"),
                        );
                    }
                    None => {}
                }
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::load;

    #[test]
    fn recipients_of_tenants_are_read_and_printed_again() {
        let text = "[encryption]\nkms = true\n[[encryption.tenants]]\ntenant = 'a'\nrecipients = ['awskms:alias/x']\n";
        let config = load(text, &[("EXPORT_ENCRYPTION_VAULT_MOUNT", "site/transit")]).unwrap();
        assert!(config.encryption.kms && config.encryption.tenants[0].recipients.contains("awskms:alias/x"));
        let printed = toml::to_string_pretty(&config).unwrap();
        assert_eq!(load(&printed, &[]).unwrap(), config, "{printed}");
    }

    #[test]
    fn faults_name_the_setting() {
        let faults = load(
            "[encryption]\nkms_timeout_seconds = 0\nkms_access_key_id = 'x'\nvault_timeout_seconds = 121\n\
             [[encryption.tenants]]\ntenant = 'a'\nrecipients = ['awskms:k', 'vault:k', 'age1x']\n\
             [[encryption.tenants]]\ntenant = 'a'\nrecipients = []\n",
            &[],
        )
        .unwrap_err();
        for expected in [
            "encryption.kms_timeout_seconds",
            "encryption.vault_timeout_seconds",
            "encryption.kms_secret_access_key_file",
            "encryption.kms: set it",
            "encryption.vault_address: ",
            "encryption.tenants[0].recipients: `age1x`",
            "encryption.tenants[1].tenant: `a` is there twice",
            "encryption.tenants[1].recipients: name 1",
        ] {
            assert!(faults.contains(expected), "{expected}\n{faults}");
        }
        let faults = load("[encryption]\nvault_address = 'https://v'\n", &[]).unwrap_err();
        assert!(faults.contains("encryption.vault_token_file"), "{faults}");
    }
}
