//! Profiles: one document a revision, so that of several writers of a revision one wins.

use std::collections::BTreeMap;

use export_contract::profile::Profile;
use export_contract::{ProfileId, TenantId};
use export_mongo::bson::doc;

use super::rows::ProfileDocument;
use super::{MongoRuns, all, insert, refused, run};
use crate::revision::{Illegal, Revised, built_in, built_ins, revise, same_content, with_built_in};
use crate::store::{CreateOutcome, RunStoreError};

impl MongoRuns {
    pub(super) async fn newest_profiles(&self, tenant: &TenantId) -> Result<Vec<Profile>, RunStoreError> {
        let act = "list profiles";
        let mut newest: BTreeMap<ProfileId, Profile> =
            built_ins(tenant).map(|profile| (profile.id.clone(), profile)).collect();
        let find = self
            .profiles
            .find(doc! { "tenant": tenant.as_str() })
            .sort(doc! { "tenant": 1, "profile_id": 1, "revision": 1 });
        // Revisions rise, so the last one stays.
        for document in all(act, find).await? {
            let profile = document.profile().map_err(|cause| refused(act, cause))?;
            newest.insert(profile.id.clone(), profile);
        }
        Ok(newest.into_values().collect())
    }

    pub(super) async fn find_profile(
        &self,
        tenant: &TenantId,
        id: &ProfileId,
        revision: Option<u32>,
    ) -> Result<Option<Profile>, RunStoreError> {
        let act = "read a profile";
        let mut query = doc! { "tenant": tenant.as_str(), "profile_id": id.as_str() };
        if let Some(revision) = revision {
            query.insert("revision", revision);
        }
        match run(act, self.profiles.find_one(query).sort(doc! { "revision": -1 })).await? {
            Some(document) => document.profile().map(Some).map_err(|cause| refused(act, cause)),
            None => {
                Ok(built_in(tenant, id).filter(|profile| revision.is_none_or(|revision| revision == profile.revision)))
            }
        }
    }

    /// Newest first. Revision 1 of a built-in profile has a document only where something of it was changed.
    pub(super) async fn revisions(
        &self,
        tenant: &TenantId,
        id: &ProfileId,
        before: Option<u32>,
        limit: u32,
    ) -> Result<Vec<Profile>, RunStoreError> {
        let act = "list the revisions of a profile";
        let mut query = doc! { "tenant": tenant.as_str(), "profile_id": id.as_str() };
        if let Some(before) = before {
            query.insert("revision", doc! { "$lt": before });
        }
        let find = self.profiles.find(query).sort(doc! { "revision": -1 }).limit(i64::from(limit));
        let documents = all(act, find).await?;
        let profiles = documents.into_iter().map(|document| document.profile().map_err(|cause| refused(act, cause)));
        let mut found = profiles.collect::<Result<Vec<Profile>, RunStoreError>>()?;
        with_built_in(&mut found, tenant, id, before, limit);
        Ok(found)
    }

    pub(super) async fn insert_profile(&self, profile: &Profile) -> Result<CreateOutcome<Profile>, RunStoreError> {
        let act = "create a profile";
        if profile.revision != 1 {
            return Err(refused(act, Illegal::FirstRevision));
        }
        loop {
            match self.find_profile(&profile.tenant, &profile.id, None).await? {
                Some(newest) if same_content(&newest, profile) => return Ok(CreateOutcome::Existing(newest)),
                Some(_) => return Ok(CreateOutcome::Conflict),
                None => {}
            }
            let document = ProfileDocument::new(profile).map_err(|cause| refused(act, cause))?;
            if insert(act, &self.profiles, &document).await? {
                return Ok(CreateOutcome::Created(profile.clone()));
            }
        }
    }

    pub(super) async fn revise_profile(&self, profile: &Profile, expected: u32) -> Result<bool, RunStoreError> {
        let act = "update a profile";
        let newest = self.find_profile(&profile.tenant, &profile.id, None).await?;
        let revised = revise(newest.as_ref(), profile, expected).map_err(|cause| refused(act, cause))?;
        let document = |profile: &Profile| ProfileDocument::new(profile).map_err(|cause| refused(act, cause));
        match revised {
            Revised::Stale => Ok(false),
            Revised::Added(profile) => insert(act, &self.profiles, &document(&profile)?).await,
            Revised::InPlace(profile) => {
                let document = document(&profile)?;
                // A built-in profile has no document until now.
                if !insert(act, &self.profiles, &document).await? {
                    let ProfileDocument { _id: id, name, description, labels_json, .. } = document;
                    let set = doc! { "name": name, "description": description, "labels_json": labels_json };
                    run(act, self.profiles.update_one(doc! { "_id": id }, doc! { "$set": set })).await?;
                }
                Ok(true)
            }
        }
    }
}
