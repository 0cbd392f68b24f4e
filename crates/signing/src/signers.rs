//! Which key signs which run.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::signer::{SignError, Signer};

/// A key and the runs that it is for. An empty set means "any".
#[derive(Clone, Debug)]
pub struct Rule {
    /// Tenants.
    pub tenants: BTreeSet<String>,
    /// Ids of profiles.
    pub profiles: BTreeSet<String>,
    /// The key.
    pub signer: Arc<dyn Signer>,
}

impl Rule {
    fn fits(&self, tenant: &str, profile: &str) -> bool {
        (self.tenants.is_empty() || self.tenants.contains(tenant))
            && (self.profiles.is_empty() || self.profiles.contains(profile))
    }
}

/// The keys of a deployment: the first rule that fits a run names its key, and the default key signs the rest.
#[derive(Clone, Debug)]
pub struct Signers {
    rules: Vec<Rule>,
    default: Arc<dyn Signer>,
}

impl Signers {
    /// One key for every run that no rule of `rules` fits.
    pub fn new(default: Arc<dyn Signer>, rules: Vec<Rule>) -> Self {
        Self { rules, default }
    }

    /// The key for a run of `tenant` under the profile with this id.
    pub fn of(&self, tenant: &str, profile: &str) -> &Arc<dyn Signer> {
        self.rules.iter().find(|rule| rule.fits(tenant, profile)).map_or(&self.default, |rule| &rule.signer)
    }

    /// Every key once, the default one first.
    pub fn all(&self) -> Vec<&Arc<dyn Signer>> {
        let mut seen = BTreeSet::new();
        std::iter::once(&self.default)
            .chain(self.rules.iter().map(|rule| &rule.signer))
            .filter(|signer| seen.insert(signer.public_key().key_id()))
            .collect()
    }

    /// Signs and verifies a nonce with every key; for readiness.
    ///
    /// # Errors
    /// That of the first key that does not sign.
    pub async fn check(&self) -> Result<(), SignError> {
        for signer in self.all() {
            signer.check().await?;
        }
        Ok(())
    }
}
