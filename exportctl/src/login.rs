//! `exportctl login`, and where credentials are kept.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use export_client::{Client, Credentials};

use crate::cli::{Global, LoginArguments};
use crate::exit::{Exit, Failure};
use crate::output;

/// Checks credentials against the server and keeps them.
pub(crate) async fn login(global: &Global, arguments: LoginArguments) -> Result<Exit, Failure> {
    let secret = read_text(&arguments.client_secret_file)?.trim().to_owned();
    let credentials = Credentials::new(arguments.server, global.tenant.clone(), arguments.client_id, secret)
        .with_ca_file(arguments.ca_file)
        .with_tokens_from(arguments.token_endpoint);
    let client = Client::new(credentials.clone()).map_err(Failure::Client)?;
    client.login().await.map_err(Failure::Client)?;
    let path = global.credentials.clone().or_else(kept).ok_or(Failure::NoCredentials)?;
    credentials.write(&path).map_err(Failure::Credentials)?;
    output::note(
        global,
        &format!("logged in to {} as {}; kept in {}", client.server(), credentials.client_id, path.display()),
    );
    Ok(Exit::Ok)
}

/// A client with the credentials that the options, the environment or an earlier login name.
pub(crate) fn client(global: &Global) -> Result<Client, Failure> {
    let path =
        global.credentials.clone().or_else(|| kept().filter(|path| path.exists())).ok_or(Failure::NoCredentials)?;
    let mut credentials = Credentials::read(&path).map_err(Failure::Credentials)?;
    if let Some(tenant) = &global.tenant {
        credentials.tenant = Some(tenant.clone());
    }
    Client::new(credentials).map_err(Failure::Client)
}

/// `$XDG_CONFIG_HOME/export-center/credentials.json`, else under `$HOME/.config`.
fn kept() -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "exportctl is the outermost shell: XDG paths come from the environment"
    )]
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")))?;
    Some(config.join("export-center").join("credentials.json"))
}

/// A file's text; `-` is standard input.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let failed = |cause| Failure::File { act: "read", path: path.to_owned(), cause };
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(failed)?;
        return Ok(text);
    }
    std::fs::read_to_string(path).map_err(failed)
}
