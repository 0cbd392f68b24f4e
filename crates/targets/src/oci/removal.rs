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

use super::manifest::{delete, digest_of, tagged, tags, write};
use super::referrers::{listed, noted, strike};
use super::session::{Session, refused};
use crate::error::TargetError;

/// Tags that are looked up at once.
const AT_ONCE: usize = 8;

/// Takes back what `run` handed over under `own` tags, of which the others move from run to run.
pub(super) async fn remove(
    session: &Session<'_>,
    run: &RunRef,
    digest: &Digest,
    own: &[String],
) -> Result<(), TargetError> {
    let run_tag = run.run.to_string();
    let others: Vec<String> =
        tags(session).await?.into_iter().filter(|tag| *tag != run_tag && !own.contains(tag)).collect();
    let named: Vec<Option<Digest>> = stream::iter(others)
        .map(async |tag| tagged(session, &tag).await)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    if named.iter().flatten().any(|other| other == digest) {
        return untag(session, &run_tag, digest).await;
    }
    delete(session, digest.as_str()).await?;
    // Where tags are kept apart from what they name, they are left.
    for tag in own.iter().chain([&run_tag]) {
        if tagged(session, tag).await?.as_ref() == Some(digest) {
            delete(session, tag).await?;
        }
    }
    forget_referrers(session, digest).await
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
