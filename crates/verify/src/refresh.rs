//! A refresh: signed, about this bundle, and at one with its manifest.

use export_contract::manifest::ExportManifest;
use export_contract::refresh::{PREDICATE_TYPE, RefreshPredicate};
use export_contract::{RunId, Timestamp};
use export_signing::statement::{STATEMENT_TYPE, Statement};
use serde::Deserialize as _;

use crate::archive::Archive;
use crate::attestation::{Opened, about_both, opened};
use crate::canonical;
use crate::container::{Container, ExportJson, REFRESH};
use crate::error::VerifyError;
use crate::policy::Policy;

/// A statement that this bundle is what a run would have made later, too.
#[derive(Debug)]
pub(crate) struct Refresh {
    /// The key that signed it.
    pub(crate) key_id: String,
    /// When nothing was newer than the bundle.
    pub(crate) checked_at: Timestamp,
    /// Until when the profile calls it fresh because of that.
    pub(crate) fresh_until: Timestamp,
    /// The run that looked.
    pub(crate) run: RunId,
}

/// Checks the refresh, if there is one. A bundle need not have one; but one that is there is believed by readers, so it must not be
/// about something else.
pub(crate) fn check(
    container: &Container<'_>,
    archive: &Archive,
    export_json: &ExportJson,
    manifest: &ExportManifest,
    policy: &Policy,
) -> Result<Option<Refresh>, VerifyError> {
    let Some(text) = container.beside(REFRESH)? else { return Ok(None) };
    let Opened { payload, key_id } = opened(container, policy, "the refresh", REFRESH, &text)?;
    let statement = read(&payload)?;
    if statement.subject.len() != 2 {
        return Err(VerifyError::rule(REFRESH, "it is not about bundle.tar and export.json alone"));
    }
    about_both(REFRESH, "the refresh", &statement.subject, archive, export_json)?;
    let RefreshPredicate { checked_at, fresh_until, as_of, watermark, refreshes: _, invocation_id } =
        statement.predicate;
    if as_of != manifest.as_of || manifest.sources.iter().any(|source| source.watermark != watermark) {
        return Err(VerifyError::rule(REFRESH, "it is of another asOf or watermark than export.json"));
    }
    Ok(Some(Refresh { key_id, checked_at, fresh_until, run: invocation_id }))
}

/// Reads the statement that a trusted key signed.
pub(crate) fn read(payload: &[u8]) -> Result<Statement<RefreshPredicate>, VerifyError> {
    let statement = Statement::<RefreshPredicate>::deserialize(canonical::read(REFRESH, payload)?)
        .map_err(|cause| VerifyError::not_json(REFRESH, &cause))?;
    if statement.kind != STATEMENT_TYPE || statement.predicate_type != PREDICATE_TYPE {
        return Err(VerifyError::rule(REFRESH, "it is not a refresh v1 in an in-toto statement v1"));
    }
    if statement.predicate.fresh_until <= statement.predicate.checked_at {
        return Err(VerifyError::rule(REFRESH, "its freshness ends before it begins"));
    }
    Ok(statement)
}
