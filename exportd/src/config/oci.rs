//! The settings of registries that bundles are pushed to.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The registries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Oci {
    /// A profile that names none is pushed to the first.
    pub(crate) registries: Vec<OciRegistry>,
}

/// A registry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OciRegistry {
    /// Its host, with a port where it is not 443.
    pub(crate) host: String,
    /// Secret at the authority with user and password, in the place of the two below.
    pub(crate) secret: String,
    /// Who pushes; empty: nobody in particular.
    pub(crate) user: String,
    /// File with that user's password.
    pub(crate) password_file: PathBuf,
    /// File with certificates (PEM) that its own may come from, beside those that the system trusts.
    pub(crate) ca_file: PathBuf,
    /// Whether it speaks HTTP without TLS.
    pub(crate) plain_http: bool,
    /// What the names of all repositories begin with.
    pub(crate) prefix: String,
}

impl Oci {
    pub(super) fn faults(&self, is_allowed: bool) -> Vec<String> {
        let mut faults = Vec::new();
        let mut expect = |good: bool, text: String| {
            if !good {
                faults.push(text);
            }
        };
        expect(
            !is_allowed || !self.registries.is_empty(),
            "oci.registries: `allow.distribution` names oci, so name at least one registry".to_owned(),
        );
        let mut hosts = BTreeSet::new();
        for (number, registry) in self.registries.iter().enumerate() {
            let at = format!("oci.registries[{number}]");
            expect(!registry.host.is_empty(), format!("{at}.host: use one such as registry.example:5000"));
            expect(hosts.insert(&registry.host), format!("{at}.host: `{}` is there twice", registry.host));
            expect(
                registry.user.is_empty() == registry.password_file.as_os_str().is_empty(),
                format!("{at}.password_file: a user needs the file with the password, and a password its user"),
            );
            expect(
                !registry.plain_http || registry.ca_file.as_os_str().is_empty(),
                format!("{at}.ca_file: there are no certificates without TLS; leave out plain_http"),
            );
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::load;

    #[test]
    fn registries_are_read_and_their_faults_named() {
        let good = "[allow]\ndistribution = ['http', 'oci']\n[[oci.registries]]\nhost = 'registry.example:5000'\nuser = 'exports'\n\
                    password_file = 'registry.password'\nprefix = 'exports'\n";
        assert_eq!(load(good, &[]).unwrap().oci.registries[0].prefix, "exports");
        for (text, fault) in [
            ("[allow]\ndistribution = ['oci']\n".to_owned(), "oci.registries: `allow.distribution` names oci"),
            ("[[oci.registries]]\nprefix = 'a'\n".to_owned(), "oci.registries[0].host: use one such as"),
            (
                format!("{good}[[oci.registries]]\nhost = 'registry.example:5000'\n"),
                "oci.registries[1].host: `registry.example:5000` is there twice",
            ),
            (
                "[[oci.registries]]\nhost = 'a'\nuser = 'b'\n".to_owned(),
                "oci.registries[0].password_file: a user needs",
            ),
            ("[[oci.registries]]\nhost = 'a'\npassword_file = 'b'\n".to_owned(), "and a password its user"),
            (
                "[[oci.registries]]\nhost = 'a'\nplain_http = true\nca_file = 'b'\n".to_owned(),
                "oci.registries[0].ca_file: there are no certificates without TLS",
            ),
            ("[[oci.registries]]\nhost = 'a'\npassword = 'b'\n".to_owned(), "unknown field `password`"),
        ] {
            let error = load(&text, &[]).unwrap_err();
            assert!(error.contains(fault), "{text}: {error}");
        }
    }
}
