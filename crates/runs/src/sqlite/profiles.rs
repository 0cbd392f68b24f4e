//! Profiles and their revisions.

use std::collections::BTreeMap;

use export_contract::profile::Profile;
use export_contract::{ProfileId, TenantId};
use export_sqlite::rusqlite::{Connection, OptionalExtension as _, Result, Transaction, params};

use super::{from_json, to_json};
use crate::revision::{Illegal, Revised, built_in, built_ins, revise, same_content, with_built_in};
use crate::store::CreateOutcome;

pub(super) fn newest_of_all(connection: &Connection, tenant: &TenantId) -> Result<Vec<Profile>> {
    let mut newest: BTreeMap<ProfileId, Profile> =
        built_ins(tenant).map(|profile| (profile.id.clone(), profile)).collect();
    let mut statement = connection.prepare_cached(
        "SELECT document FROM export_profiles AS profile WHERE tenant = ?1 AND revision =
             (SELECT max(revision) FROM export_profiles
              WHERE tenant = profile.tenant AND profile_id = profile.profile_id)",
    )?;
    let mut rows = statement.query(params![tenant.as_str()])?;
    while let Some(row) = rows.next()? {
        let profile: Profile = from_json(0, row.get_ref(0)?.as_str()?)?;
        newest.insert(profile.id.clone(), profile);
    }
    Ok(newest.into_values().collect())
}

pub(super) fn find(
    connection: &Connection,
    tenant: &TenantId,
    id: &ProfileId,
    revision: Option<u32>,
) -> Result<Option<Profile>> {
    let stored = connection
        .prepare_cached(
            "SELECT document FROM export_profiles
             WHERE tenant = ?1 AND profile_id = ?2 AND (?3 IS NULL OR revision = ?3)
             ORDER BY revision DESC LIMIT 1",
        )?
        .query_row(params![tenant.as_str(), id.as_str(), revision], |row| from_json(0, row.get_ref(0)?.as_str()?))
        .optional()?;
    Ok(stored
        .or_else(|| built_in(tenant, id).filter(|profile| revision.is_none_or(|wanted| wanted == profile.revision))))
}

/// Newest first. Revision 1 of a built-in profile has a row only where something of it was changed.
pub(super) fn revisions(
    connection: &Connection,
    tenant: &TenantId,
    id: &ProfileId,
    before: Option<u32>,
    limit: u32,
) -> Result<Vec<Profile>> {
    let mut found = connection
        .prepare_cached(
            "SELECT document FROM export_profiles
             WHERE tenant = ?1 AND profile_id = ?2 AND (?3 IS NULL OR revision < ?3)
             ORDER BY revision DESC LIMIT ?4",
        )?
        .query_map(params![tenant.as_str(), id.as_str(), before, limit], |row| from_json(0, row.get_ref(0)?.as_str()?))?
        .collect::<Result<Vec<Profile>>>()?;
    with_built_in(&mut found, tenant, id, before, limit);
    Ok(found)
}

pub(super) fn create(
    transaction: &Transaction<'_>,
    profile: Profile,
) -> Result<std::result::Result<CreateOutcome<Profile>, Illegal>> {
    if profile.revision != 1 {
        return Ok(Err(Illegal::FirstRevision));
    }
    Ok(Ok(match find(transaction, &profile.tenant, &profile.id, None)? {
        Some(newest) if same_content(&newest, &profile) => CreateOutcome::Existing(newest),
        Some(_) => CreateOutcome::Conflict,
        None => {
            put(transaction, &profile)?;
            CreateOutcome::Created(profile)
        }
    }))
}

pub(super) fn update(
    transaction: &Transaction<'_>,
    profile: &Profile,
    expected: u32,
) -> Result<std::result::Result<bool, Illegal>> {
    let newest = find(transaction, &profile.tenant, &profile.id, None)?;
    match revise(newest.as_ref(), profile, expected) {
        Ok(Revised::Stale) => Ok(Ok(false)),
        Ok(Revised::InPlace(profile) | Revised::Added(profile)) => {
            put(transaction, &profile)?;
            Ok(Ok(true))
        }
        Err(illegal) => Ok(Err(illegal)),
    }
}

fn put(transaction: &Transaction<'_>, profile: &Profile) -> Result<()> {
    let id = format!("{}/{}/{}", profile.tenant, profile.id, profile.revision);
    transaction
        .prepare_cached("INSERT OR REPLACE INTO export_profiles (_id, document) VALUES (?1, ?2)")?
        .execute(params![id, to_json(profile)?])?;
    Ok(())
}
