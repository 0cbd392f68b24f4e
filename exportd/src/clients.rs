//! `exportd client`: who may ask the local authority for tokens.

use std::collections::BTreeSet;

use export_authority::Scope;
use export_client::Credentials;

use crate::cli::ClientCommand;
use crate::config::Config;
use crate::stores;

/// Makes a client and writes its credentials file.
pub(crate) fn client(config: &Config, command: &ClientCommand) -> anyhow::Result<()> {
    let ClientCommand::Put { id, tenant, scope, server, ca_file, out } = command;
    let scopes: BTreeSet<Scope> =
        if scope.is_empty() { Scope::ALL.into_iter().collect() } else { scope.iter().copied().collect() };
    anyhow::ensure!(
        config.authority.is_local(),
        "clients are made at the authority of authority.jwks_url; there is no local one"
    );
    let authority = stores::local_authority(config)?;
    let made = authority.put_client(id, tenant.clone(), &scopes)?;
    let several = tenant.len() > 1;
    let named = tenant.first().filter(|_| several).map(ToString::to_string);
    let credentials = Credentials::new(server.clone(), named, made.client_id, made.client_secret);
    credentials.with_ca_file(ca_file.clone()).write(out)?;
    Ok(())
}
