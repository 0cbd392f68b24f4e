//! Taking objects back.

use aws_sdk_s3::primitives::DateTime;
use export_contract::Timestamp;
use export_contract::run::RunRef;

use super::error::{failed, status};
use super::{LAST, ObjectTarget};
use crate::error::TargetError;
use crate::generations::is_up_to;
use crate::port::Removal;

/// A version of an object.
#[derive(Debug)]
struct Version {
    key: String,
    id: Option<String>,
}

/// Removes every version of every object of a run, of its generation and those before: first what says that it is whole. What is locked stays.
pub(super) async fn remove(target: &ObjectTarget, run: &RunRef) -> Result<Removal, TargetError> {
    let ObjectTarget { client, bucket, .. } = target;
    abandon(target, run).await?;
    let mut versions = versions(target, run).await?;
    versions.sort_by_key(|version| !version.key.ends_with(&format!("/{LAST}")));
    let mut locked = Removal::Removed;
    for Version { key, id } in versions {
        if let Some(until) = lock(target, &key, id.as_deref()).await? {
            locked = match locked {
                Removal::Locked { until: Some(other) } if other > until => locked,
                _ => Removal::Locked { until: Some(until) },
            };
            continue;
        }
        let gone = client.delete_object().bucket(bucket).key(&key).set_version_id(id).send().await;
        match gone {
            Ok(_) => {}
            Err(error) if status(&error) == Some(404) => {}
            // Between the look and the act, or by a legal hold, of which nobody says when it ends.
            Err(error) if status(&error) == Some(403) && matches!(code(&error), Some("AccessDenied")) => {
                let held = is_held(target, &key).await?;
                if !held {
                    return Err(failed(format!("remove `{key}`"), error));
                }
                if locked == Removal::Removed {
                    locked = Removal::Locked { until: None };
                }
            }
            Err(error) => return Err(failed(format!("remove `{key}`"), error)),
        }
    }
    Ok(locked)
}

fn code<E: aws_sdk_s3::error::ProvideErrorMetadata>(
    error: &aws_sdk_s3::error::SdkError<E, aws_sdk_s3::config::http::HttpResponse>,
) -> Option<&str> {
    error.as_service_error().and_then(aws_sdk_s3::error::ProvideErrorMetadata::code)
}

/// Ends every upload of the run that nobody finished.
async fn abandon(target: &ObjectTarget, run: &RunRef) -> Result<(), TargetError> {
    let ObjectTarget { client, bucket, .. } = target;
    let stem = target.stem(run);
    let found = client
        .list_multipart_uploads()
        .bucket(bucket)
        .prefix(&stem)
        .send()
        .await
        .map_err(|error| failed(format!("look for unfinished uploads of `{stem}`"), error))?;
    for upload in found.uploads() {
        let key = upload.key().unwrap_or_default();
        if !is_of(target, run, key) {
            continue;
        }
        let ended = client
            .abort_multipart_upload()
            .bucket(bucket)
            .key(key)
            .set_upload_id(upload.upload_id().map(str::to_owned));
        match ended.send().await {
            Ok(_) => {}
            Err(error) if status(&error) == Some(404) => {}
            Err(error) => return Err(failed(format!("end the upload of `{key}`"), error)),
        }
    }
    Ok(())
}

/// Whether an object is of the run: of its generation or of one before.
fn is_of(target: &ObjectTarget, run: &RunRef, key: &str) -> bool {
    let rest = key.strip_prefix(&target.stem(run)).and_then(|rest| rest.split_once('/'));
    rest.is_some_and(|(generation, _)| is_up_to(run, generation))
}

/// Every version of every object of the run. Markers of deletions are not among them: they hold nothing.
async fn versions(target: &ObjectTarget, run: &RunRef) -> Result<Vec<Version>, TargetError> {
    let ObjectTarget { client, bucket, .. } = target;
    let stem = target.stem(run);
    let mut found = Vec::new();
    let (mut key_marker, mut id_marker) = (None, None);
    loop {
        let page = client
            .list_object_versions()
            .bucket(bucket)
            .prefix(&stem)
            .set_key_marker(key_marker)
            .set_version_id_marker(id_marker)
            .send()
            .await
            .map_err(|error| failed(format!("list `{stem}`"), error))?;
        for version in page.versions() {
            let key = version.key().unwrap_or_default();
            if is_of(target, run, key) {
                found.push(Version { key: key.to_owned(), id: version.version_id().map(str::to_owned) });
            }
        }
        if page.is_truncated() != Some(true) {
            return Ok(found);
        }
        key_marker = page.next_key_marker().map(str::to_owned);
        id_marker = page.next_version_id_marker().map(str::to_owned);
    }
}

/// Until when a version is locked, where it still is.
async fn lock(target: &ObjectTarget, key: &str, id: Option<&str>) -> Result<Option<Timestamp>, TargetError> {
    let ObjectTarget { client, bucket, .. } = target;
    let head = client.head_object().bucket(bucket).key(key).set_version_id(id.map(str::to_owned)).send().await;
    let until = match head {
        Ok(found) => found.object_lock_retain_until_date().copied(),
        Err(error) if matches!(status(&error), Some(404 | 405)) => None,
        Err(error) => return Err(failed(format!("look at `{key}`"), error)),
    };
    Ok(until.filter(|until| *until > DateTime::from(std::time::SystemTime::now())).and_then(timestamp))
}

/// Whether a legal hold keeps the object.
async fn is_held(target: &ObjectTarget, key: &str) -> Result<bool, TargetError> {
    let head = target.client.head_object().bucket(&target.bucket).key(key).send().await;
    match head {
        Ok(found) => Ok(found.object_lock_legal_hold_status().is_some_and(|hold| hold.as_str() == "ON")),
        Err(error) if status(&error) == Some(404) => Ok(false),
        Err(error) => Err(failed(format!("look at `{key}`"), error)),
    }
}

fn timestamp(at: DateTime) -> Option<Timestamp> {
    Timestamp::from_micros(at.secs().checked_mul(1_000_000)?).ok()
}
