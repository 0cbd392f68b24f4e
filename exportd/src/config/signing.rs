//! The settings of signing keys.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use export_contract::{ProfileId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

/// What keeps a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SigningDriver {
    /// A cosign key file.
    #[default]
    File,
    /// The transit engine of a Vault or an OpenBao.
    Vault,
    /// AWS KMS.
    AwsKms,
}

/// The keys: one for every run, unless one of `keys` is for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Signing {
    /// `file`, `vault` or `awskms`: what keeps the default key.
    pub(crate) driver: SigningDriver,
    /// cosign key file; not set: `keys/cosign.key` in `data_dir`, made on first use by `exportd all`.
    pub(crate) key_file: PathBuf,
    /// File with its password; not set: `keys/cosign.password` in `data_dir`.
    pub(crate) password_file: PathBuf,
    /// Address of the Vault, such as `https://vault.example:8200`.
    pub(crate) vault_address: String,
    /// File with the token for it. Read anew for each request.
    pub(crate) vault_token_file: PathBuf,
    /// Namespace in it, where it has some.
    pub(crate) vault_namespace: String,
    /// File with the certificates (PEM) that its own must come from; not set: those that the system trusts.
    pub(crate) vault_ca_file: PathBuf,
    /// Where its transit engine is mounted.
    pub(crate) vault_mount: String,
    /// Name of the default key there.
    pub(crate) vault_key: String,
    /// Which version of it signs; 0: the latest one at start.
    pub(crate) vault_key_version: u32,
    /// Seconds that it has for an answer, 1 to 120.
    pub(crate) vault_timeout_seconds: u64,
    /// Key at KMS: id, ARN or alias of one with spec `ECC_NIST_P256`.
    pub(crate) kms_key: String,
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
    /// URI that names this platform in the provenance of profiles that ask for `full`; empty: such runs fail.
    pub(crate) builder_id: String,
    /// Keys for some runs; the first that fits signs.
    pub(crate) keys: Vec<SigningKey>,
    /// Keys that signed before; the gateway shows them for as long as they are named here.
    pub(crate) former_keys: Vec<FormerKey>,
}

impl Default for Signing {
    fn default() -> Self {
        Self {
            driver: SigningDriver::File,
            key_file: PathBuf::new(),
            password_file: PathBuf::new(),
            vault_address: String::new(),
            vault_token_file: PathBuf::new(),
            vault_namespace: String::new(),
            vault_ca_file: PathBuf::new(),
            vault_mount: "transit".to_owned(),
            vault_key: String::new(),
            vault_key_version: 0,
            vault_timeout_seconds: 10,
            kms_key: String::new(),
            kms_region: String::new(),
            kms_endpoint: String::new(),
            kms_access_key_id: String::new(),
            kms_secret_access_key_file: PathBuf::new(),
            kms_timeout_seconds: 10,
            builder_id: String::new(),
            keys: Vec::new(),
            former_keys: Vec::new(),
        }
    }
}

/// A key for some runs. All keys at a Vault are at the one that the section names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SigningKey {
    /// For messages.
    pub(crate) name: String,
    /// `file`, `vault` or `awskms`.
    pub(crate) driver: SigningDriver,
    /// Tenants that it is for; none named: all.
    pub(crate) tenants: BTreeSet<TenantId>,
    /// Profiles that it is for; none named: all.
    pub(crate) profiles: BTreeSet<ProfileId>,
    /// cosign key file.
    pub(crate) key_file: PathBuf,
    /// File with its password.
    pub(crate) password_file: PathBuf,
    /// Where the transit engine is mounted; not set: `signing.vault_mount`.
    pub(crate) vault_mount: String,
    /// Name of the key at the Vault.
    pub(crate) vault_key: String,
    /// Which version of it signs; 0: the latest one at start.
    pub(crate) vault_key_version: u32,
    /// Key at KMS: id, ARN or alias.
    pub(crate) kms_key: String,
    /// Secret at the authority that says which key it is, in the place of driver and key.
    pub(crate) secret: String,
}

/// A public key whose private half signs no more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FormerKey {
    /// Its PEM file.
    pub(crate) file: PathBuf,
    /// When it began to sign, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_before: Option<Timestamp>,
    /// When it signed for the last time, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_after: Option<Timestamp>,
}

impl Signing {
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut expect = |good: bool, text: String| {
            if !good {
                faults.push(text);
            }
        };
        let set = |path: &Path| !path.as_os_str().is_empty();
        expect(
            (1..=120).contains(&self.vault_timeout_seconds),
            "signing.vault_timeout_seconds: use 1 to 120".to_owned(),
        );
        expect(
            self.builder_id.is_empty() || self.builder_id.contains(':'),
            "signing.builder_id: use a URI, such as https://export.example/builders/main".to_owned(),
        );
        let at_vault = |driver| driver == SigningDriver::Vault;
        if at_vault(self.driver) || self.keys.iter().any(|key| at_vault(key.driver)) {
            expect(!self.vault_address.is_empty(), "signing.vault_address: the vault driver needs one".to_owned());
            expect(
                set(&self.vault_token_file),
                "signing.vault_token_file: the vault driver needs the file with the token".to_owned(),
            );
        }
        expect(
            !at_vault(self.driver) || !self.vault_key.is_empty(),
            "signing.vault_key: the vault driver needs the key's name".to_owned(),
        );
        let at_kms = |driver| driver == SigningDriver::AwsKms;
        expect((1..=120).contains(&self.kms_timeout_seconds), "signing.kms_timeout_seconds: use 1 to 120".to_owned());
        expect(
            !at_kms(self.driver) || !self.kms_key.is_empty(),
            "signing.kms_key: the awskms driver needs the key's id, ARN or alias".to_owned(),
        );
        expect(
            self.kms_access_key_id.is_empty() || set(&self.kms_secret_access_key_file),
            "signing.kms_secret_access_key_file: an access key id needs the file with its secret".to_owned(),
        );
        let mut names = BTreeSet::new();
        for (number, key) in self.keys.iter().enumerate() {
            let at = format!("signing.keys[{number}]");
            expect(!key.name.is_empty(), format!("{at}.name: give it one"));
            expect(key.name.is_empty() || names.insert(&key.name), format!("{at}.name: `{}` is there twice", key.name));
            expect(
                !key.tenants.is_empty() || !key.profiles.is_empty(),
                format!(
                    "{at}: name tenants or profiles that the key is for; the key for all is that of `signing` itself"
                ),
            );
            match key.driver {
                _ if !key.secret.is_empty() => {}
                SigningDriver::File => expect(
                    set(&key.key_file) && set(&key.password_file),
                    format!("{at}: the file driver needs key_file and password_file"),
                ),
                SigningDriver::Vault => {
                    expect(!key.vault_key.is_empty(), format!("{at}.vault_key: the vault driver needs the key's name"));
                }
                SigningDriver::AwsKms => expect(
                    !key.kms_key.is_empty(),
                    format!("{at}.kms_key: the awskms driver needs the key's id, ARN or alias"),
                ),
            }
        }
        for (number, former) in self.former_keys.iter().enumerate() {
            let at = format!("signing.former_keys[{number}]");
            expect(set(&former.file), format!("{at}.file: name the PEM file"));
            let backwards = former.not_before.zip(former.not_after).is_some_and(|(from, until)| from > until);
            expect(!backwards, format!("{at}: not_before is after not_after"));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::SigningDriver;
    use crate::config::tests::load;

    #[test]
    fn keys_are_named_for_tenants_and_profiles() {
        let config = load(
            "[signing]\ndriver = 'vault'\nvault_address = 'https://vault:8200'\nvault_token_file = 't'\nvault_key = 'k'\n\
             [[signing.keys]]\nname = 'one'\ntenants = ['a', 'b']\nprofiles = ['json:raw']\nkey_file = 'x'\npassword_file = 'y'\n\
             [[signing.former_keys]]\nfile = 'old.pub'\nnot_after = '2026-01-01T00:00:00Z'\n",
            &[("EXPORT_SIGNING_VAULT_KEY_VERSION", "3")],
        )
        .unwrap();
        let signing = &config.signing;
        assert_eq!((signing.driver, signing.vault_key_version), (SigningDriver::Vault, 3));
        assert_eq!(signing.keys[0].profiles.first().unwrap().as_str(), "json-raw");
        assert!(signing.former_keys[0].not_before.is_none() && signing.former_keys[0].not_after.is_some());
        let printed = toml::to_string_pretty(&config).unwrap();
        assert_eq!(load(&printed, &[]).unwrap(), config, "{printed}");
    }

    #[test]
    fn faults_of_keys_are_named() {
        let faults = load(
            "[signing]\ndriver = 'vault'\nvault_timeout_seconds = 0\n\
             [[signing.keys]]\nname = 'one'\ntenants = ['a']\n[[signing.keys]]\nname = 'one'\ndriver = 'vault'\n\
             [[signing.former_keys]]\nfile = ''\nnot_before = '2026-01-02T00:00:00Z'\nnot_after = '2026-01-01T00:00:00Z'\n",
            &[],
        )
        .unwrap_err();
        for expected in [
            "signing.vault_timeout_seconds",
            "signing.vault_address",
            "signing.vault_token_file",
            "signing.vault_key:",
            "signing.keys[0]: the file driver",
            "signing.keys[1].name: `one` is there twice",
            "signing.keys[1]: name tenants",
            "signing.keys[1].vault_key",
            "signing.former_keys[0].file",
            "signing.former_keys[0]: not_before",
        ] {
            assert!(faults.contains(expected), "{expected}\n{faults}");
        }
        assert!(load("[[signing.keys]]\nname = 'x'\ntenants = ['A B']\n", &[]).is_err());
        assert!(load("[[signing.former_keys]]\nfile = 'x'\nnot_after = 'yesterday'\n", &[]).is_err());
    }
}
