//! `refresh.sigstore.json`: an in-toto statement that an earlier bundle is what a run would make now (decision 0008).

use std::collections::BTreeMap;

use bytes::Bytes;
use export_blobs::{BlobError, Workspace};
use export_canon::digesting::sha256;
use export_contract::Digest;
use export_contract::message::{ManifestWritten, RunPlanned};
use export_contract::refresh::{PREDICATE_TYPE, Refresh, RefreshPredicate};
use export_contract::run::RunRef;
use export_pipeline::StageContext;
use export_signing::statement::{STATEMENT_TYPE, Statement, Subject};

use crate::error::SignStageError;

/// Largest file beside a bundle that is taken along; the verifier reads no larger one.
const MAX_SIDECAR: u64 = 64 << 20;

/// The statement about the bundle that `manifest` names.
pub(crate) fn statement(manifest: &ManifestWritten, refresh: &Refresh) -> Statement<RefreshPredicate> {
    let RunPlanned { run, as_of, watermark, .. } = &manifest.plan;
    Statement {
        kind: STATEMENT_TYPE.to_owned(),
        subject: vec![
            Subject::sha256("bundle.tar", manifest.bundle.digest.hex()),
            Subject::sha256("export.json", manifest.export_json.digest.hex()),
        ],
        predicate_type: PREDICATE_TYPE.to_owned(),
        predicate: RefreshPredicate {
            checked_at: refresh.checked_at,
            fresh_until: refresh.fresh_until,
            as_of: *as_of,
            watermark: *watermark,
            refreshes: refresh.run.clone(),
            invocation_id: run.run.clone(),
        },
    }
}

/// The files beside the earlier bundle by name, each what it was. Nothing is signed about a bundle that is gone since it was planned.
pub(crate) async fn earlier_files(
    refresh: &Refresh,
    cx: &StageContext,
) -> Result<BTreeMap<String, Bytes>, SignStageError> {
    let earlier =
        Workspace::new(cx.workspace().store().clone(), RunRef { run: refresh.run.clone(), ..cx.run().clone() });
    let failed = |name: &str, cause| match cause {
        BlobError::NotFound(_) => SignStageError::Gone { what: name.to_owned() },
        cause => SignStageError::Earlier { what: name.to_owned(), cause },
    };
    let tar = Workspace::artefact_key(&earlier.run().tenant, &refresh.run, &refresh.bundle.digest);
    if earlier.store().head(&tar).await.map_err(|cause| failed("bundle.tar", cause))?.is_none() {
        return Err(SignStageError::Gone { what: "bundle.tar".to_owned() });
    }
    let mut files = BTreeMap::new();
    for (name, artefact) in &refresh.sidecars {
        let bytes = earlier.get_artefact(&artefact.digest, MAX_SIDECAR).await.map_err(|cause| failed(name, cause))?;
        if Digest::from_bytes(*sha256(&bytes).as_bytes()) != artefact.digest {
            return Err(SignStageError::Corrupt { what: name.clone() });
        }
        files.insert(name.clone(), bytes);
    }
    Ok(files)
}
