//! Taking back.
//!
//! Runs with the same bytes have one manifest. It goes with the last tag that names it, and what we attached goes with it; the blobs are
//! left to the registry's own collection of garbage.

use bytes::Bytes;
use export_contract::Digest;
use export_contract::run::RunRef;
use export_oci::{MANIFEST, REFRESH, SIGNATURES, empty_config};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;

use super::manifest::{delete, digest_of, read, tagged, tags, write};
use super::referrers::{listed, noted, strike};
use super::session::{Session, refused};
use crate::error::TargetError;
use crate::generations::{is_up_to, run_named};

/// Tags that are looked up at once.
const AT_ONCE: usize = 8;

/// Takes back what `run` handed over under `own` tags, of which the others move from run to run.
pub(super) async fn remove(
    session: &Session<'_>,
    run: &RunRef,
    digest: &Digest,
    own: &[String],
) -> Result<(), TargetError> {
    let is_of_run = |tag: &str| tag.strip_prefix(run.run.as_str()).is_some_and(|rest| is_up_to(run, rest));
    let (of_run, others): (Vec<String>, Vec<String>) = tags(session).await?.into_iter().partition(|tag| is_of_run(tag));
    let others: Vec<String> = others.into_iter().filter(|tag| !own.contains(tag)).collect();
    let named: Vec<(String, Option<Digest>)> = stream::iter(others)
        .map(async |tag| tagged(session, &tag).await.map(|named| (tag, named)))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    if named.iter().any(|(_, other)| other.as_ref() == Some(digest)) {
        for tag in &of_run {
            untag(session, tag, digest).await?;
        }
        return Ok(());
    }
    let newest = named.into_iter().filter_map(|(tag, named)| Some((run_named(&tag)?, named?))).max();
    if let Some((_, newest)) = newest {
        let moving = own.iter().filter(|tag| run_named(tag).is_none());
        hand_on(session, digest, moving, &newest).await?;
    }
    delete(session, digest.as_str()).await?;
    // Where tags are kept apart from what they name, they are left.
    for tag in own.iter().chain(&of_run) {
        if tagged(session, tag).await?.as_ref() == Some(digest) {
            delete(session, tag).await?;
        }
    }
    forget_referrers(session, digest).await
}

/// Leads the tags that the newest run has to what is the newest when `digest` is gone: nobody who follows them is left without.
async fn hand_on(
    session: &Session<'_>,
    digest: &Digest,
    moving: impl Iterator<Item = &String>,
    newest: &Digest,
) -> Result<(), TargetError> {
    let Some(bytes) = read(session, newest.as_str()).await? else { return Ok(()) };
    for tag in moving {
        if tagged(session, tag).await?.as_ref() == Some(digest) {
            write(session, tag, MANIFEST, bytes.clone(), newest).await?;
        }
    }
    Ok(())
}

/// Takes a tag away and leaves what it names.
async fn untag(session: &Session<'_>, tag: &str, digest: &Digest) -> Result<(), TargetError> {
    if tagged(session, tag).await?.as_ref() != Some(digest) {
        return Ok(());
    }
    let Err(cause) = delete(session, tag).await else { return Ok(()) };
    if !matches!(cause, TargetError::Refused { .. }) {
        return Err(cause);
    }
    // Older registries delete by digest only, and all tags of it: so the tag is led to something of its own first.
    let (config, _) = empty_config();
    let alone = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.export-center.removed.v1",
        "config": config, "layers": [config], "annotations": { "io.stellaops.export.removed": tag },
    });
    let bytes = Bytes::from(serde_json::to_vec(&alone).map_err(|cause| refused("take a tag away", cause))?);
    let digest = digest_of(&bytes);
    write(session, tag, MANIFEST, bytes, &digest).await?;
    delete(session, digest.as_str()).await
}

/// Removes what we attached to a manifest that is gone. What others attached is theirs.
async fn forget_referrers(session: &Session<'_>, subject: &Digest) -> Result<(), TargetError> {
    let mut found = listed(session, subject).await?.unwrap_or_default();
    found.extend(noted(session, subject).await?);
    let ours = found.into_iter().filter(|referrer| [SIGNATURES, REFRESH].contains(&referrer.artifact_type.as_str()));
    let ours: Vec<Digest> = ours.map(|referrer| referrer.digest).collect();
    // Not the other way round: there are registries that take no list with a line that leads nowhere.
    strike(session, subject, &ours).await?;
    for referrer in &ours {
        delete(session, referrer.as_str()).await?;
    }
    Ok(())
}
