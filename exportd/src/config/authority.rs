//! Who issues tokens.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::locality::is_local;

/// `iss` of the tokens of the local authority.
const LOCAL_ISSUER: &str = "urn:export-center:local-authority";

/// Who issues tokens: the local authority, or one elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Authority {
    /// `iss` of the tokens that are taken.
    pub(crate) issuer: String,
    /// What `aud` of the tokens must be, or have among its entries.
    pub(crate) audience: String,
    /// Address of the key set of an authority elsewhere; not set: the local authority issues tokens.
    pub(crate) jwks_url: String,
    /// File with the certificates that its own must come from.
    pub(crate) ca_file: PathBuf,
    /// The claim with the tenant of a token, or its tenants.
    pub(crate) tenant_claim: String,
    /// Whether proofs of possession must have a nonce of the gateway.
    pub(crate) require_nonce: bool,
    /// Token endpoint at which the system itself fetches tokens for others; not set: it has none.
    pub(crate) token_url: String,
    /// The system's client there.
    pub(crate) client_id: String,
    /// File with its secret.
    pub(crate) client_secret_file: PathBuf,
    /// Scopes that it asks for, separated by blanks.
    pub(crate) scope: String,
    /// Where the authority keeps secrets for the system; not set: it keeps none.
    pub(crate) secrets_url: String,
    /// Folder of the local authority; not set: `authority` in `data_dir`.
    pub(crate) folder: PathBuf,
}

impl Default for Authority {
    fn default() -> Self {
        Self {
            issuer: LOCAL_ISSUER.to_owned(),
            audience: "export-center".to_owned(),
            jwks_url: String::new(),
            ca_file: PathBuf::new(),
            tenant_claim: "tenant".to_owned(),
            require_nonce: false,
            token_url: String::new(),
            client_id: String::new(),
            client_secret_file: PathBuf::new(),
            scope: String::new(),
            secrets_url: String::new(),
            folder: PathBuf::new(),
        }
    }
}

impl Authority {
    /// Whether the gateway issues tokens itself.
    pub(crate) fn is_local(&self) -> bool {
        self.jwks_url.is_empty()
    }

    pub(super) fn faults(&self, local_hosts: &std::collections::BTreeSet<String>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut expect = |good: bool, text: &str| {
            if !good {
                faults.push(text.to_owned());
            }
        };
        expect(!self.issuer.is_empty(), "authority.issuer: name the `iss` of the tokens that are taken");
        expect(!self.audience.is_empty(), "authority.audience: name the `aud` of the tokens that are taken");
        expect(!self.tenant_claim.is_empty(), "authority.tenant_claim: name the claim with the tenant");
        let is_reached_well =
            |url: &str| url.starts_with("https://") || url.starts_with("http://") && is_local(url, local_hosts);
        if !self.token_url.is_empty() {
            let address =
                "authority.token_url: use an address that begins with `https://`; only local hosts may have `http://`";
            expect(is_reached_well(&self.token_url), address);
            expect(!self.client_id.is_empty(), "authority.client_id: name the system's client at authority.token_url");
            let secret = "authority.client_secret_file: the system's client needs the file with its secret";
            expect(!self.client_secret_file.as_os_str().is_empty(), secret);
        }
        if !self.secrets_url.is_empty() {
            let address = "authority.secrets_url: use an address that begins with `https://`; only local hosts may have `http://`";
            expect(is_reached_well(&self.secrets_url), address);
            let tokens = "authority.secrets_url: the system asks there with a token, set authority.token_url";
            expect(!self.token_url.is_empty(), tokens);
        }
        if self.is_local() {
            let only = "authority.ca_file: it is read with authority.jwks_url or authority.token_url only";
            expect(self.ca_file.as_os_str().is_empty() || !self.token_url.is_empty(), only);
            let fixed = "authority.tenant_claim: the local authority has its tenants in `tenant`";
            expect(self.tenant_claim == "tenant", fixed);
        } else {
            let address = "authority.jwks_url: use an address that begins with `https://`; keys that come over plain HTTP \
                           are whoever's is in between, so that only local hosts may have `http://`";
            expect(is_reached_well(&self.jwks_url), address);
            let whose = "authority.issuer: with authority.jwks_url it must be the `iss` of that authority's tokens";
            expect(self.issuer != LOCAL_ISSUER, whose);
            let none = "authority.folder: with authority.jwks_url there is no local authority";
            expect(self.folder.as_os_str().is_empty(), none);
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::load;

    #[test]
    fn an_authority_elsewhere_is_named_whole_and_reached_over_tls() {
        let faults = |text: &str| load(text, &[]).unwrap_err();
        let of = |text: &str| format!("[authority]\n{text}");
        let elsewhere = "issuer = 'https://id.example'\njwks_url = 'https://id.example/jwks.json'\n";
        let good = load(&of(elsewhere), &[("EXPORT_AUTHORITY_REQUIRE_NONCE", "true")]).unwrap();
        assert!(!good.authority.is_local() && good.authority.require_nonce);
        assert_eq!(good.authority.audience, "export-center");
        assert!(faults(&of("jwks_url = 'https://id.example/jwks'\n")).contains("authority.issuer"));
        assert!(faults(&of(&elsewhere.replace("https://id.example/", "http://id.example/"))).contains("jwks_url"));
        assert!(faults(&of(&elsewhere.replace("https://id.example/", "file:///"))).contains("authority.jwks_url"));
        assert!(load(&of(&elsewhere.replace("https://id.example/", "http://10.0.0.1/")), &[]).is_ok());
        let known = format!("local_hosts = ['id.example']\n{}", of(elsewhere));
        assert!(load(&known.replace("https://id.example/", "http://id.example/"), &[]).is_ok());
        assert!(faults(&of(&format!("{elsewhere}folder = 'x'\n"))).contains("authority.folder"));
        assert!(faults(&of("ca_file = 'x'\n")).contains("authority.ca_file"));
        assert!(faults(&of("audience = ''\n")).contains("authority.audience"));
        assert!(faults(&of("tenant_claim = 'org'\n")).contains("authority.tenant_claim"));
        let system = "token_url = 'https://id.example/token'\nclient_id = 'export'\nclient_secret_file = 's'\n";
        let taking =
            format!("{}[policy]\ndriver = 'http'\nbase_url = 'https://p.example'\ntoken = 'authority'\n", of(system));
        assert!(load(&taking, &[]).is_ok());
        assert!(faults(&taking.replace("client_id = 'export'\n", "")).contains("authority.client_id"));
        assert!(faults(&taking.replace("client_secret_file = 's'\n", "")).contains("authority.client_secret_file"));
        assert!(faults(&taking.replace("https://id", "http://id")).contains("authority.token_url"));
        assert!(faults(&taking.replace("token_url = 'https://id.example/token'\n", "")).contains("policy.token"));
        assert!(faults("[peer]\ntoken = 'authority'\n").contains("peer.token"));
        assert!(load("public_url = 'https://export.example'\n", &[]).is_ok());
        assert!(faults("public_url = 'export.example'\n").contains("public_url: use"));
    }
}
