//! The join: the whole tree of a mirror.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use export_canon::jcs;
use export_contract::message::{
    BundleFile, Document, PartAdapted, PartsResolved, RunAdapted, RunPlanned, Segment, SourceRead,
};
use export_contract::profile::Frames;
use export_contract::{RecordKind, TenantId, Version};
use export_mirror::documents::{DocumentEntry, DocumentIndex};
use export_mirror::layout;
use export_mirror::{FileIndex, FrameEntry, LineForm};
use export_pipeline::StageContext;
use serde::Serialize;
use tokio_util::task::AbortOnDropHandle;

use super::{are_documents, readme};
use crate::error::AdaptError;
use crate::json::files::{self, Lines};
use crate::json::{self, policy::Exported};
use crate::parts::{self, Sources};

/// A mirror's files, all staged, and what is in them.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) plan: RunPlanned,
    /// Sorted by path.
    pub(super) files: Vec<BundleFile>,
    /// Of each lines file by its path.
    pub(super) indexes: BTreeMap<String, FileIndex>,
    pub(super) sources: Vec<SourceRead>,
}

impl Tree {
    pub(super) fn into_adapted(self) -> RunAdapted {
        RunAdapted { v: Version, plan: self.plan, files: self.files, sources: self.sources, target: None }
    }
}

/// Where the files of a tenant lie: in the tree itself, or in folders of its own where there is evidence of several.
#[derive(Clone, Debug)]
struct Corner(Option<TenantId>);

impl Corner {
    fn path(&self, path: String) -> String {
        match &self.0 {
            None => path,
            Some(tenant) => layout::of_tenant(tenant, &path),
        }
    }
}

/// Joins the parts of a run; `policy` is what stands beside them.
pub(super) async fn join(
    input: PartsResolved,
    policy: Option<Exported>,
    cx: &StageContext,
) -> Result<Tree, AdaptError> {
    let PartsResolved { plan, parts, .. } = input;
    let mut sources = Sources::default();
    let mut joins = Vec::new();
    let plan = Arc::new(plan);
    let mut tree = Tree { plan: (*plan).clone(), files: Vec::new(), indexes: BTreeMap::new(), sources: Vec::new() };
    let mut groups = Vec::new();
    for tenant in plan.readings() {
        groups.extend(plan.selectors.kinds.iter().map(|&kind| (tenant.clone(), kind)));
    }
    for (tenant, kind) in groups {
        let documents = are_documents(&plan, kind);
        let promise = if documents { keeps_its_promise } else { files::keeps_its_promise };
        let of_it = parts.iter().filter(|part| part.kind == kind && part.tenant == tenant);
        let adapted = parts::results(of_it, promise, cx).await?;
        sources.take(tenant.as_ref(), &adapted);
        let corner = Corner(tenant);
        if documents {
            tree.add_documents(&corner, kind, adapted, cx).await?;
            continue;
        }
        // The files are read, hashed and written side by side.
        let (plan, cx) = (plan.clone(), cx.clone());
        joins.push(AbortOnDropHandle::new(tokio::spawn(async move {
            let compression = plan.profile.config.compression;
            let segments: Vec<Segment> = adapted.iter().flat_map(|part| part.segments.clone()).collect();
            let lines = adapted.into_iter().map(Lines::from).collect();
            let file = files::file(corner.path(layout::lines_path(kind)), compression, lines, &cx).await?;
            let index = index(&file, LineForm::Evidence, compression.frames, &segments);
            Ok::<_, AdaptError>((corner.path(layout::index_path(kind)), file, index))
        })));
    }
    for join in joins {
        let joined = join.await.map_err(|cause| AdaptError::Join { path: "data/raw".to_owned(), cause })?;
        let (path, file, index) = joined?;
        tree.files.push(document(&path, &index, cx).await?);
        tree.indexes.insert(file.path.clone(), index);
        tree.files.push(file);
    }
    if let Some(policy) = &policy {
        tree.add_policy(policy, cx).await?;
    }
    tree.files.sort_by(|a, b| a.path.cmp(&b.path));
    let text = readme::of_tree(&tree.plan, &tree.files) + &json::policy::readme(&tree.plan, policy.as_ref());
    tree.files.push(text_file(layout::README, "text/markdown", Bytes::from(text), cx).await?);
    tree.files.sort_by(|a, b| a.path.cmp(&b.path));
    tree.sources = sources.finish();
    Ok(tree)
}

impl Tree {
    /// Adds snapshot and findings, and an index of the latter.
    async fn add_policy(&mut self, policy: &Exported, cx: &StageContext) -> Result<(), AdaptError> {
        let frames = self.plan.profile.config.compression.frames;
        self.files.extend(policy.files.iter().cloned());
        for file in policy.files.iter().filter(|file| file.path == layout::EVALUATIONS) {
            let index = index(file, LineForm::Finding, frames, &policy.segments);
            self.files.push(document(layout::FINDINGS_INDEX, &index, cx).await?);
            self.indexes.insert(file.path.clone(), index);
        }
        Ok(())
    }

    /// Adds each document as a file, and their index.
    async fn add_documents(
        &mut self,
        corner: &Corner,
        kind: RecordKind,
        parts: Vec<PartAdapted>,
        cx: &StageContext,
    ) -> Result<(), AdaptError> {
        let count = parts.iter().map(|part| part.documents.len()).sum();
        if count > layout::MAX_DOCUMENTS {
            return Err(AdaptError::TooManyDocuments { count, limit: layout::MAX_DOCUMENTS });
        }
        let mut entries = Vec::with_capacity(count);
        for Document { key, artefact, observed_at, format, spec_version } in
            parts.into_iter().flat_map(|part| part.documents)
        {
            let path = corner.path(layout::document_path(&key));
            entries.push(DocumentEntry {
                path: path.clone(),
                subject: key.subject,
                document_id: key.document_id,
                source: key.source,
                observed_at,
                format,
                spec_version,
                bytes: artefact.bytes,
                digest: artefact.digest.clone(),
            });
            self.files.push(BundleFile {
                path,
                artefact,
                content_type: "application/json".to_owned(),
                records: Some(1),
                plain_bytes: None,
                frames: None,
            });
        }
        let index = DocumentIndex::new(kind, entries);
        self.files.push(document(&corner.path(layout::index_path(kind)), &index, cx).await?);
        Ok(())
    }
}

/// Whether a part's record is of that part, and has a document for each record.
fn keeps_its_promise(adapted: &PartAdapted, part: &export_contract::message::Part) -> bool {
    (adapted.part, adapted.kind, adapted.records) == (part.index, part.kind, part.records)
        && adapted.documents.len() as u64 == part.records
}

/// The index of a joined file.
fn index(file: &BundleFile, form: LineForm, frames: Frames, segments: &[Segment]) -> FileIndex {
    let marked = segments.iter().flat_map(|segment| segment.frames.iter().zip(&segment.marks));
    let entries = match frames {
        Frames::Multi => marked
            .map(|(frame, mark)| FrameEntry {
                offset: 0,
                bytes: u64::from(frame.bytes),
                plain: u64::from(frame.plain),
                records: u64::from(frame.records),
                first: mark.first.clone(),
                digest: mark.digest.clone(),
            })
            .collect(),
        // The file is its only frame.
        Frames::Single => marked
            .take(1)
            .map(|(_, mark)| FrameEntry {
                offset: 0,
                bytes: file.artefact.bytes,
                plain: file.plain_bytes.unwrap_or(0),
                records: file.records.unwrap_or(0),
                first: mark.first.clone(),
                digest: file.artefact.digest.clone(),
            })
            .collect(),
    };
    FileIndex::new(file.path.clone(), form, entries)
}

/// A document of ours.
pub(super) async fn document(
    path: &str,
    document: &impl Serialize,
    cx: &StageContext,
) -> Result<BundleFile, AdaptError> {
    let text = jcs::to_vec(document).map_err(|cause| AdaptError::Canonical { path: path.to_owned(), cause })?;
    text_file(path, "application/json", Bytes::from(text), cx).await
}

/// A small file.
pub(super) async fn text_file(
    path: &str,
    content_type: &str,
    text: Bytes,
    cx: &StageContext,
) -> Result<BundleFile, AdaptError> {
    let staged = cx.workspace().put_artefact(text).await;
    Ok(BundleFile {
        path: path.to_owned(),
        artefact: staged.map_err(|cause| AdaptError::Stage { what: path.to_owned(), cause })?,
        content_type: content_type.to_owned(),
        records: None,
        plain_bytes: None,
        frames: None,
    })
}
