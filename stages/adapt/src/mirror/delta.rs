//! A delta: the tree against its base.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use export_blobs::{BlobError, Workspace};
use export_contract::event::ProgressStep;
use export_contract::manifest::{DIFF_PATH, TOMBSTONES_PATH};
use export_contract::message::{BaseExport, BundleFile, Difference, FileChange, RunAdapted, Target};
use export_contract::profile::Frames;
use export_contract::{RecordKey, RecordKind, Version};
use export_mirror::difference::{Change, compare, unshared};
use export_mirror::documents::DocumentIndex;
use export_mirror::{DeltaManifest, FileIndex, FrameEntry, FrameLines, MirrorError, Tombstone, layout};
use export_pipeline::StageContext;
use futures::TryStreamExt as _;
use tokio::runtime::Handle;

use super::output::LinesOutput;
use super::readme;
use super::tree::{Tree, document, text_file};
use crate::error::AdaptError;

/// Ships what differs between the tree and its base, or the whole tree where there is none.
pub(super) async fn against_base(tree: Tree, cx: &StageContext) -> Result<RunAdapted, AdaptError> {
    let old = match &tree.plan.base {
        Some(base) => Some(Old::open(base, cx).await?),
        None => None,
    };
    let tree = Arc::new(tree);
    let work = Work { tree: tree.clone(), old, runtime: Handle::current(), cx: cx.clone() };
    let compared = tokio::task::spawn_blocking(move || work.compare()).await;
    let (mut files, difference) =
        compared.map_err(|cause| AdaptError::Join { path: DIFF_PATH.to_owned(), cause })??;

    let base = tree.plan.base.as_ref().map(|base| &base.manifest_digest);
    files.push(document(DIFF_PATH, &DeltaManifest::new(base, &difference), cx).await?);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let text = readme::of_delta(&tree.plan, &difference);
    files.push(text_file(layout::README, "text/markdown", Bytes::from(text), cx).await?);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let tree = Arc::into_inner(tree).ok_or_else(|| AdaptError::BrokeOff { path: DIFF_PATH.to_owned() })?;
    let target = Some(Target { files: tree.files, difference });
    Ok(RunAdapted { v: Version, plan: tree.plan, files, sources: tree.sources, target })
}

/// A base's files, in the staging of the run that made it.
struct Old {
    workspace: Workspace,
    files: BTreeMap<String, BundleFile>,
}

impl Old {
    async fn open(base: &BaseExport, cx: &StageContext) -> Result<Self, AdaptError> {
        let workspace = Workspace::new(cx.workspace().store().clone(), base.run.clone());
        let record = workspace.read_result(&base.adapted).await.map_err(AdaptError::Base)?;
        let adapted: RunAdapted = serde_json::from_slice(&record).map_err(AdaptError::BaseRecord)?;
        let files = adapted.target.map_or(adapted.files, |target| target.files);
        let files = files.into_iter().map(|file| (file.path.clone(), file)).collect();
        Ok(Self { workspace, files })
    }
}

/// Longest index that is read of a base.
const MAX_INDEX: u64 = export_mirror::MAX_DOCUMENT_BYTES;

struct Work {
    tree: Arc<Tree>,
    old: Option<Old>,
    runtime: Handle,
    cx: StageContext,
}

impl Work {
    /// Compares file by file, in order of the paths of both. Blocks.
    fn compare(self) -> Result<(Vec<BundleFile>, Difference), AdaptError> {
        let new: BTreeMap<&str, &BundleFile> = self.tree.files.iter().map(|file| (file.path.as_str(), file)).collect();
        let none = BTreeMap::new();
        let old = self.old.as_ref().map_or(&none, |old| &old.files);
        let records = self.document_keys()?;
        let mut tombstones = LinesOutput::new(TOMBSTONES_PATH.to_owned(), &self.tree.plan, &self.runtime, &self.cx)?;
        let mut shipped = Vec::new();
        let mut difference = Difference::default();
        let paths: BTreeSet<&str> = new.keys().copied().chain(old.keys().map(String::as_str)).collect();
        for path in paths {
            self.cx.check().map_err(AdaptError::Cancelled)?;
            let change = match (old.get(path), new.get(path)) {
                (Some(before), Some(after)) if before.artefact.digest == after.artefact.digest => continue,
                (Some(before), Some(after)) => {
                    difference.changed.push(path.to_owned());
                    self.changed(before, after, &mut tombstones, &mut difference)?
                }
                (None, Some(after)) => {
                    difference.added.push(path.to_owned());
                    difference.records_put += after.records.unwrap_or(0);
                    whole(after)
                }
                (Some(_), None) => {
                    difference.removed.push(path.to_owned());
                    bury(&mut tombstones, path, records.get(path).cloned().unwrap_or_else(nobody))?;
                    continue;
                }
                (None, None) => continue,
            };
            difference.files.push(FileChange { path: path.to_owned(), ..change.0 });
            shipped.push(change.1);
        }
        difference.tombstones = tombstones.records();
        shipped.push(tombstones.finish()?);
        Ok((shipped, difference))
    }

    /// A file that both have: its lines that differ where that is less than the file, else the file.
    fn changed(
        &self,
        before: &BundleFile,
        after: &BundleFile,
        tombstones: &mut LinesOutput,
        difference: &mut Difference,
    ) -> Result<(FileChange, BundleFile), AdaptError> {
        let many = self.tree.plan.profile.config.compression.frames == Frames::Multi;
        let new = self.tree.indexes.get(&after.path).filter(|index| many && !index.frames.is_empty());
        let old = if new.is_some() { self.old_index(&after.path)? } else { None };
        let Some((new, old)) = new.zip(old.filter(|index| !index.frames.is_empty())) else {
            difference.records_put += after.records.unwrap_or(0);
            return Ok(whole(after));
        };
        let path = layout::changes_path(&after.path);
        let mut sink = Sink {
            file: &after.path,
            changes: LinesOutput::new(path.clone(), &self.tree.plan, &self.runtime, &self.cx)?,
            tombstones,
            trouble: None,
        };
        let trouble = RefCell::new(None);
        let outcome = self.compare_lines(before, after, &old, new, &mut sink, &trouble);
        if let Err(cause) = outcome {
            // What staging said is the truer story than that a line could not be had.
            let told = sink.trouble.or_else(|| trouble.into_inner());
            return Err(told.unwrap_or(AdaptError::Mirror(cause)));
        }
        difference.records_put += sink.changes.records();
        let changes = sink.changes.finish()?;
        Ok((FileChange { path: String::new(), from: path, merge: true }, changes))
    }

    fn compare_lines(
        &self,
        before: &BundleFile,
        after: &BundleFile,
        old: &FileIndex,
        new: &FileIndex,
        sink: &mut Sink<'_>,
        trouble: &RefCell<Option<AdaptError>>,
    ) -> Result<(), MirrorError> {
        let (old_frames, new_frames) = unshared(old, new);
        let base = self.old.as_ref().map(|old| &old.workspace);
        let fetch = |workspace: Option<&Workspace>, file: &BundleFile, frame: &FrameEntry| {
            let fetched = match workspace {
                Some(workspace) => self.fetch(workspace, file, frame),
                None => Ok(Vec::new()),
            };
            fetched.map_err(|error| {
                let cause = std::io::Error::other(error.to_string());
                trouble.borrow_mut().get_or_insert(error);
                MirrorError::Io { act: "read", path: file.path.clone(), cause }
            })
        };
        let lines =
            FrameLines::new(&before.path, old.form, old_frames, |frame: &FrameEntry| fetch(base, before, frame))?;
        let new_lines = FrameLines::new(&after.path, new.form, new_frames, |frame: &FrameEntry| {
            fetch(Some(self.cx.workspace()), after, frame)
        })?;
        compare(lines, new_lines, |change| sink.take(change))
    }

    /// The bytes of a frame.
    fn fetch(&self, workspace: &Workspace, file: &BundleFile, frame: &FrameEntry) -> Result<Vec<u8>, AdaptError> {
        self.cx.check().map_err(AdaptError::Cancelled)?;
        self.cx.progress(ProgressStep::StageProgress, frame.records, frame.plain);
        let range = frame.offset..frame.offset.saturating_add(frame.bytes);
        self.runtime.block_on(async {
            let run = workspace.run();
            let key = Workspace::artefact_key(&run.tenant, &run.run, &file.artefact.digest);
            let mut pieces = workspace.store().read(&key, Some(range)).await.map_err(|cause| gone(file, cause))?;
            let mut bytes = Vec::new();
            while let Some(piece) = pieces.try_next().await.map_err(|cause| gone(file, cause))? {
                bytes.extend_from_slice(&piece);
            }
            Ok(bytes)
        })
    }

    /// The base's index of a lines file.
    fn old_index(&self, path: &str) -> Result<Option<FileIndex>, AdaptError> {
        let name = layout::index_of(path);
        let Some((old, name)) = self.old.as_ref().zip(name) else { return Ok(None) };
        let Some(file) = old.files.get(&name) else { return Ok(None) };
        let text = self.small(&old.workspace, file)?;
        FileIndex::read(&name, text.as_ref(), path).map(Some).map_err(AdaptError::Mirror)
    }

    /// Which record each document of the base is.
    fn document_keys(&self) -> Result<BTreeMap<String, RecordKey>, AdaptError> {
        let name = layout::index_path(RecordKind::Sbom);
        let Some((old, file)) = self.old.as_ref().and_then(|old| Some((old, old.files.get(&name)?))) else {
            return Ok(BTreeMap::new());
        };
        let text = self.small(&old.workspace, file)?;
        // Where SBOMs are lines, the index is one of lines.
        let Ok(index) = DocumentIndex::read(&name, text.as_ref()) else { return Ok(BTreeMap::new()) };
        let key = |subject, document_id, source| RecordKey { subject, document_id, source };
        let documents = index.documents.into_iter();
        Ok(documents.map(|entry| (entry.path, key(entry.subject, entry.document_id, entry.source))).collect())
    }

    fn small(&self, workspace: &Workspace, file: &BundleFile) -> Result<Bytes, AdaptError> {
        let read = workspace.get_artefact(&file.artefact.digest, MAX_INDEX);
        self.runtime.block_on(read).map_err(|cause| gone(file, cause))
    }
}

/// A file that is shipped as it is.
fn whole(file: &BundleFile) -> (FileChange, BundleFile) {
    let from = if file.path == layout::README { layout::TARGET_README } else { &file.path };
    let change = FileChange { path: String::new(), from: from.to_owned(), merge: false };
    (change, BundleFile { path: from.to_owned(), ..file.clone() })
}

fn gone(file: &BundleFile, cause: BlobError) -> AdaptError {
    AdaptError::BaseFile { path: file.path.clone(), cause }
}

/// The key of what is no record.
fn nobody() -> RecordKey {
    RecordKey { subject: String::new(), document_id: String::new(), source: String::new() }
}

fn bury(tombstones: &mut LinesOutput, file: &str, key: RecordKey) -> Result<(), AdaptError> {
    let tombstone = Tombstone { file: file.to_owned(), key };
    let mut line = export_canon::jcs::to_vec(&tombstone)
        .map_err(|cause| AdaptError::Canonical { path: TOMBSTONES_PATH.to_owned(), cause })?;
    line.push(b'\n');
    tombstones.line(&line)
}

/// Writes what differs.
struct Sink<'a> {
    file: &'a str,
    changes: LinesOutput,
    tombstones: &'a mut LinesOutput,
    /// Why a line could not be written.
    trouble: Option<AdaptError>,
}

impl Sink<'_> {
    fn take(&mut self, change: Change<'_>) -> Result<(), MirrorError> {
        let written = match change {
            Change::Added { new, .. } | Change::Changed { new, .. } => self.changes.line(new),
            Change::Gone { key, .. } => bury(self.tombstones, self.file, key.clone()),
        };
        written.map_err(|error| {
            let cause = std::io::Error::other(error.to_string());
            self.trouble.get_or_insert(error);
            MirrorError::Io { act: "write what differs of", path: self.file.to_owned(), cause }
        })
    }
}
