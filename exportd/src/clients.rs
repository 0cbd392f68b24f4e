//! `exportd client`: who may ask the local authority for tokens.

use std::collections::BTreeSet;

use export_authority::{LocalAuthority, Scope};
use export_client::Credentials;

use crate::cli::ClientCommand;
use crate::config::Config;

/// Makes a client and writes its credentials file.
pub(crate) fn client(config: &Config, command: &ClientCommand) -> anyhow::Result<()> {
    let ClientCommand::Put { id, tenant, scope, server, ca_file, out } = command;
    let scopes: BTreeSet<Scope> =
        if scope.is_empty() { Scope::ALL.into_iter().collect() } else { scope.iter().copied().collect() };
    let folder = config.path_or(&config.authority.folder, "authority");
    let authority = LocalAuthority::open(&folder, &config.authority.issuer)?;
    let made = authority.put_client(id, tenant.clone(), &scopes)?;
    let several = tenant.len() > 1;
    let named = tenant.first().filter(|_| several).map(ToString::to_string);
    let credentials = Credentials::new(server.clone(), named, made.client_id, made.client_secret);
    credentials.with_ca_file(ca_file.clone()).write(out)?;
    Ok(())
}
