//! `exportctl profile`.

use std::path::Path;

use export_client::ProfileView;
use serde_json::Value;

use crate::cli::{Global, ProfileCommand};
use crate::exit::{Exit, Failure};
use crate::login::{client, read_text};
use crate::output;

/// Runs one of the profile commands.
pub(crate) async fn profile(global: &Global, command: ProfileCommand) -> Result<Exit, Failure> {
    let client = client(global)?;
    let shown = match command {
        ProfileCommand::List => {
            let profiles = client.profiles().await.map_err(Failure::Client)?;
            output::list(global, &profiles, &["PROFILE", "KIND", "REVISION", "DISTRIBUTION", "SUPPORTED", "NAME"], row);
            return Ok(Exit::Ok);
        }
        ProfileCommand::Show { profile } => client.profile(&profile).await,
        ProfileCommand::Delete { profile } => {
            client.delete_profile(&profile).await.map_err(Failure::Client)?;
            output::note(global, &format!("profile {profile} deleted"));
            return Ok(Exit::Ok);
        }
        ProfileCommand::Revisions { profile, limit } => {
            let page = client.profile_revisions(&profile, limit, None).await.map_err(Failure::Client)?;
            output::list(global, &page.revisions, &["REVISION", "CREATED", "BY", "CONFIG"], revision_row);
            return Ok(Exit::Ok);
        }
        ProfileCommand::Schema { kind } => {
            let schema = client.config_schema(&kind).await.map_err(Failure::Client)?;
            output::document(global, &schema, |schema| serde_json::to_string_pretty(schema).unwrap_or_default());
            return Ok(Exit::Ok);
        }
        ProfileCommand::Create { file } => client.create_profile(&document(&file)?).await,
        ProfileCommand::Update { profile, file } => client.update_profile(&profile, &document(&file)?).await,
    };
    let shown = shown.map_err(Failure::Client)?;
    output::document(global, &shown, facts);
    Ok(Exit::Ok)
}

/// Reads a JSON document; `-` is standard input.
pub(crate) fn document(path: &Path) -> Result<Value, Failure> {
    serde_json::from_str(&read_text(path)?).map_err(|cause| Failure::Json { path: path.to_owned(), cause })
}

fn distribution(view: &ProfileView) -> String {
    view.profile.config.distribution.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(",")
}

fn row(view: &ProfileView) -> Vec<String> {
    let profile = &view.profile;
    vec![
        profile.id.to_string(),
        profile.kind.to_string(),
        format!("r{}", profile.revision),
        distribution(view),
        if view.supported { "yes" } else { "not yet" }.to_owned(),
        profile.name.clone(),
    ]
}

fn revision_row(view: &ProfileView) -> Vec<String> {
    let profile = &view.profile;
    vec![
        format!("r{}", profile.revision),
        profile.created_at.to_string(),
        profile.created_by.clone(),
        serde_json::to_string(&profile.config).unwrap_or_default(),
    ]
}

fn facts(view: &ProfileView) -> String {
    let profile = &view.profile;
    output::facts(&[
        ("profile", profile.id.to_string()),
        ("kind", profile.kind.to_string()),
        ("name", profile.name.clone()),
        ("revision", format!("r{}", profile.revision)),
        ("supported", view.supported.to_string()),
        ("distribution", distribution(view)),
        ("created", format!("{} by {}", profile.created_at, profile.created_by)),
        ("config", serde_json::to_string(&profile.config).unwrap_or_default()),
    ])
}
