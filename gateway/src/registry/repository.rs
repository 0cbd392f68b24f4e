//! The runs behind a repository.

use std::sync::Arc;

use export_contract::profile::ProfileKind;
use export_contract::run::{Run, RunStatus};
use export_contract::{Digest, RunId};
use export_runs::RunFilter;
use futures::{Stream, StreamExt as _, TryStreamExt as _};

use super::image::{Image, image};
use super::name::Repository;
use super::refusal::Refusal;
use crate::state::Gateway;

/// How many of a profile's newest runs are searched for a digest, and listed as tags. Older ones are found by their run id.
const SEARCHED: u32 = 100;
/// How many runs are looked at at once.
const AT_ONCE: usize = 8;
/// The tag of the newest run.
pub(super) const LATEST: &str = "latest";

/// The newest finished runs of a repository, newest first.
pub(super) async fn runs(gateway: &Gateway, repository: &Repository) -> Result<Vec<Run>, Refusal> {
    let filter = RunFilter {
        status: Some(RunStatus::Succeeded),
        profile: Some(repository.profile.clone()),
        before: None,
        limit: SEARCHED,
    };
    let page = gateway.runs.runs(&repository.tenant, &filter).await?;
    if page.runs.is_empty() {
        return Err(Refusal::name_unknown());
    }
    Ok(page.runs.into_iter().filter(|run| run.expiry.is_none()).collect())
}

/// What these runs made, in their order, but for what cannot be had any more.
pub(super) fn images(
    gateway: &Gateway,
    runs: Vec<Run>,
) -> impl Stream<Item = Result<(RunId, Arc<Image>), Refusal>> + Send {
    futures::stream::iter(runs)
        .map(move |run| async move { Ok(image(gateway, &run).await?.map(|image| (run.id, image))) })
        .buffered(AT_ONCE)
        .try_filter_map(|found| async move { Ok(found) })
}

/// The tag that Trivy asks for, such as `2`.
pub(super) fn schema_tag(kind: ProfileKind) -> Option<String> {
    kind.schema_version().map(|version| version.to_string())
}

/// What a tag names.
pub(super) async fn tagged(gateway: &Gateway, repository: &Repository, tag: &str) -> Result<Arc<Image>, Refusal> {
    if let Ok(id) = tag.parse::<RunId>() {
        let run = gateway.runs.run(&repository.tenant, &id).await?;
        let run = run.filter(|run| run.profile_id == repository.profile && run.status == RunStatus::Succeeded);
        let found = match run {
            Some(run) if run.expiry.is_some() => return Err(Refusal::expired(&run.id)),
            Some(run) => image(gateway, &run).await?,
            None => None,
        };
        return found.ok_or_else(Refusal::manifest_unknown);
    }
    let runs = runs(gateway, repository).await?;
    let schema = runs.first().and_then(|run| schema_tag(run.profile_kind));
    if tag != LATEST && schema.as_deref() != Some(tag) {
        return Err(Refusal::manifest_unknown());
    }
    // Not all at once: nearly always the first is there.
    for run in &runs {
        if let Some(image) = image(gateway, run).await?
            && image.is_there(gateway, repository).await?
        {
            return Ok(image);
        }
    }
    Err(Refusal::manifest_unknown())
}

/// Every image whose manifest has this digest: runs with the same bytes have the same, and each its own signatures.
pub(super) async fn with_digest(
    gateway: &Gateway,
    repository: &Repository,
    digest: &Digest,
) -> Result<Vec<Arc<Image>>, Refusal> {
    let runs = runs(gateway, repository).await?;
    let found: Vec<(RunId, Arc<Image>)> = images(gateway, runs)
        .try_filter(|(_, image)| std::future::ready(image.main.digest == *digest))
        .try_collect()
        .await?;
    Ok(found.into_iter().map(|(_, image)| image).collect())
}
