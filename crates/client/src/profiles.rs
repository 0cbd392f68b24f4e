//! Profiles.

use export_contract::profile::Profile;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Client, ClientError};

/// A profile with whether the deployment makes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProfileView {
    /// The profile.
    #[serde(flatten)]
    pub profile: Profile,
    /// Whether this deployment has an adapter for it.
    pub supported: bool,
}

/// One page of the revisions of a profile.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionPage {
    /// The revisions, newest first.
    pub revisions: Vec<ProfileView>,
    /// Hand this to the next call; absent at the end.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProfilePage {
    profiles: Vec<ProfileView>,
    #[serde(default)]
    next_cursor: Option<String>,
}

const ALL: &str = "/api/export/profiles";

impl Client {
    /// Profiles of the tenant, all pages of them.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn profiles(&self) -> Result<Vec<ProfileView>, ClientError> {
        let mut profiles = Vec::new();
        let mut path = format!("{ALL}?limit=200");
        loop {
            let page: ProfilePage = self.call("list profiles", Method::GET, &path, None::<&()>).await?;
            profiles.extend(page.profiles);
            let Some(cursor) = page.next_cursor else { return Ok(profiles) };
            path = format!("{ALL}?limit=200&cursor={cursor}");
        }
    }

    /// One profile.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn profile(&self, id: &str) -> Result<ProfileView, ClientError> {
        self.call("show a profile", Method::GET, &format!("{ALL}/{id}"), None::<&()>).await
    }

    /// Creates a profile from its document.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create_profile(&self, document: &Value) -> Result<ProfileView, ClientError> {
        self.call("create a profile", Method::POST, ALL, Some(document)).await
    }

    /// Changes a profile by a merge patch.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn update_profile(&self, id: &str, patch: &Value) -> Result<ProfileView, ClientError> {
        self.call("update a profile", Method::PATCH, &format!("{ALL}/{id}"), Some(patch)).await
    }

    /// Deletes a profile; the runs that were made of it stay.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete_profile(&self, id: &str) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, &format!("{ALL}/{id}"));
        self.send(request).await.map(|_| ())
    }

    /// Revisions of a profile, newest first, from below `cursor`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn profile_revisions(
        &self,
        id: &str,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<RevisionPage, ClientError> {
        let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let path = format!("{ALL}/{id}/revisions?limit={limit}{cursor}");
        self.call("list the revisions of a profile", Method::GET, &path, None::<&()>).await
    }

    /// The JSON Schema that the configuration of a profile of this kind is checked by.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn config_schema(&self, kind: &str) -> Result<Value, ClientError> {
        let path = format!("/api/export/schemas/profile-config/{kind}");
        self.call("show the schema of a configuration", Method::GET, &path, None::<&()>).await
    }

    /// The API as an OpenAPI document.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn api(&self) -> Result<Value, ClientError> {
        self.call("show the API", Method::GET, "/openapi.json", None::<&()>).await
    }
}
