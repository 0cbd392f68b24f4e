//! Tokens with which the system goes to others.

use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use export_authority::{SystemClient, SystemTokens};
use export_evidence::remote::BearerSource;
use zeroize::Zeroizing;

use crate::config::{Config, TokenFrom};

/// The system's client as a source of tokens.
#[derive(Debug)]
struct OfTheSystem(SystemTokens);

#[async_trait]
impl BearerSource for OfTheSystem {
    async fn bearer(&self) -> Result<Zeroizing<String>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.token().await?)
    }
}

/// Where tokens for a server come from, if that is not a file.
pub(super) fn bearer(config: &Config, from: TokenFrom) -> anyhow::Result<Option<Arc<dyn BearerSource>>> {
    if from == TokenFrom::File {
        return Ok(None);
    }
    Ok(Some(Arc::new(OfTheSystem(tokens(config)?))))
}

/// The tokens of the system. Nothing is fetched yet.
pub(super) fn tokens(config: &Config) -> anyhow::Result<SystemTokens> {
    let settings = &config.authority;
    let tokens = SystemTokens::new(SystemClient {
        token_url: settings.token_url.clone(),
        client_id: settings.client_id.clone(),
        client_secret_file: settings.client_secret_file.clone(),
        scope: settings.scope.clone(),
        ca_file: Some(settings.ca_file.clone()).filter(|path| !path.as_os_str().is_empty()),
    });
    tokens.context("cannot use authority.token_url")
}
