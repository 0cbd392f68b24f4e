//! Settings that name what the authority keeps for the system.

use export_authority::is_secret_name;

use super::Config;

impl Config {
    /// Each setting that names a secret at the authority, where it is set, with the settings that it takes the place of.
    fn kept(&self) -> Vec<(String, &str, bool)> {
        let set = |path: &std::path::Path| !path.as_os_str().is_empty();
        let mut kept = vec![
            ("object.secret".to_owned(), self.object.secret.as_str(), !self.object.access_key_id.is_empty()),
            ("staging.secret".to_owned(), self.staging.secret.as_str(), !self.staging.access_key_id.is_empty()),
        ];
        for (number, registry) in self.oci.registries.iter().enumerate() {
            let both = !registry.user.is_empty() || set(&registry.password_file);
            kept.push((format!("oci.registries[{number}].secret"), registry.secret.as_str(), both));
        }
        for (number, key) in self.signing.keys.iter().enumerate() {
            let both = set(&key.key_file) || !key.vault_key.is_empty() || !key.kms_key.is_empty();
            kept.push((format!("signing.keys[{number}].secret"), key.secret.as_str(), both));
        }
        kept.retain(|(_, name, _)| !name.is_empty());
        kept
    }

    pub(super) fn kept_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (setting, name, has_both) in self.kept() {
            if !is_secret_name(name) {
                let parts = "up to 200 of a to z, A to Z, 0 to 9, `.`, `_`, `-`, and `/` between names";
                faults.push(format!("{setting}: `{name}` names no secret; use {parts}"));
            }
            if self.authority.secrets_url.is_empty() {
                faults.push(format!("{setting}: secrets of the authority need authority.secrets_url"));
            }
            if has_both {
                faults.push(format!("{setting}: leave it out, or leave out the credentials or key beside it"));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::load;

    const SYSTEM: &str = "[authority]\ntoken_url = 'https://id.example/token'\nclient_id = 'export'\nclient_secret_file = 's'\n\
                          secrets_url = 'https://id.example/secrets'\n";

    #[test]
    fn secrets_of_the_authority_are_named_in_the_place_of_files() {
        let good = format!(
            "{SYSTEM}[object]\nsecret = 'buckets/mirror'\n[staging]\nsecret = 'staging'\n[[oci.registries]]\nhost = 'a.example'\n\
             secret = 'registry'\n[[signing.keys]]\nname = 'acme'\ntenants = ['acme']\nsecret = 'keys/acme'\n"
        );
        let config = load(&good, &[]).unwrap();
        assert_eq!(config.signing.keys[0].secret, "keys/acme");
        let faults = |from: &str, to: &str| load(&good.replacen(from, to, 1), &[]).unwrap_err();
        assert!(faults("'buckets/mirror'", "'../mirror'").contains("object.secret: `../mirror` names no secret"));
        assert!(faults("[staging]\n", "[staging]\naccess_key_id = 'x'\n").contains("staging.secret: leave it out"));
        assert!(faults("secret = 'registry'", "secret = 'r'\nuser = 'u'").contains("oci.registries[0].secret: leave"));
        assert!(
            faults("secret = 'keys/acme'", "secret = 'k'\nkms_key = 'u'").contains("signing.keys[0].secret: leave")
        );
        let none = faults("secrets_url = 'https://id.example/secrets'\n", "");
        for setting in ["object.secret", "staging.secret", "oci.registries[0].secret", "signing.keys[0].secret"] {
            assert!(none.contains(&format!("{setting}: secrets of the authority need")), "{none}");
        }
        assert!(
            faults("https://id.example/secrets", "http://id.example/secrets").contains("authority.secrets_url: use")
        );
        assert!(
            faults("token_url = 'https://id.example/token'\n", "").contains("authority.secrets_url: the system asks")
        );
    }
}
