//! The join: from the parts' runs to the database, packed.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use export_blobs::BlobError;
use export_blobs::workspace::ArtefactWriter;
use export_canon::digesting::Digester;
use export_canon::jcs;
use export_contract::event::ProgressStep;
use export_contract::message::{
    Artefact, BundleFile, Part, PartAdapted, PartsResolved, RunAdapted, RunPlanned, Segment,
};
use export_contract::{Digest, Timestamp, Version};
use export_pipeline::StageContext;
use export_trivy::java::Builder;
use export_trivy::{DB_SCHEMA, JAVA_SCHEMA, Merger, Report, Summary, metadata};
use futures::TryStreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use super::Database;
use super::database::Buckets;
use super::error::TrivyError;
use super::merge::{LocalRun, merge, reduce};
use super::pack::{Member, pack};
use super::pulse::Pulse;
use super::readme;
use crate::adapter::Tools;
use crate::error::AdaptError;
use crate::parts::{self, Sources};

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

pub(crate) async fn join(
    tools: &Tools,
    database: Database,
    input: PartsResolved,
    cx: &StageContext,
) -> Result<RunAdapted, AdaptError> {
    let PartsResolved { plan, parts, .. } = input;
    let adapted = parts::results(parts.iter(), keeps_its_promise, cx).await?;
    let mut sources = Sources::default();
    sources.take(None, &adapted);
    let folder = tempfile::Builder::new().prefix("export-trivy-").tempdir_in(&tools.scratch);
    let folder = folder.map_err(|cause| TrivyError::Scratch { act: "create", path: tools.scratch.clone(), cause })?;
    let runs = fetch(&adapted, folder.path(), cx).await?;

    let fan_in = tools.fan_in;
    let (context, place) = (cx.clone(), folder.path().to_owned());
    let built = blocking(move || build(database, runs, fan_in, &place, &context)).await?;
    let files = stage(&plan, database, built, cx).await?;
    let removed = blocking(move || {
        let path = folder.path().to_owned();
        folder.close().map_err(|cause| TrivyError::Scratch { act: "remove", path, cause })
    });
    removed.await?;
    Ok(RunAdapted { v: Version, plan, files, sources: sources.finish(), target: None })
}

/// Whether a part's record is of that part, and its frames are as long as their runs.
fn keeps_its_promise(adapted: &PartAdapted, part: &Part) -> bool {
    (adapted.part, adapted.kind, adapted.records) == (part.index, part.kind, part.records)
        && adapted.segments.iter().all(|segment| {
            segment.frames.iter().map(|frame| u64::from(frame.bytes)).sum::<u64>() == segment.artefact.bytes
        })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TrivyError> + Send + 'static,
) -> Result<T, TrivyError> {
    tokio::task::spawn_blocking(work).await.map_err(TrivyError::Thread)?
}

/// Copies the runs into the scratch folder, each checked against its digest.
async fn fetch(adapted: &[PartAdapted], folder: &Path, cx: &StageContext) -> Result<Vec<LocalRun>, AdaptError> {
    let mut runs = Vec::new();
    for part in adapted {
        for segment in part.segments.iter().filter(|segment| !segment.frames.is_empty()) {
            cx.check().map_err(AdaptError::Cancelled)?;
            let path = folder.join(format!("run-{}", runs.len()));
            if !copy(segment, &path, cx).await? {
                return Err(AdaptError::Segment { part: part.part });
            }
            runs.push(LocalRun { path, frames: segment.frames.clone() });
        }
        cx.progress(ProgressStep::StageProgress, part.records, part.plain_bytes);
    }
    Ok(runs)
}

/// Whether the copy has the segment's digest.
async fn copy(segment: &Segment, path: &Path, cx: &StageContext) -> Result<bool, AdaptError> {
    let staging = |cause: BlobError| AdaptError::Stage { what: "a run".to_owned(), cause };
    let scratch = |act| move |cause| TrivyError::Scratch { act, path: path.to_owned(), cause };
    let mut file = tokio::fs::File::create_new(path).await.map_err(scratch("create"))?;
    let mut pieces = cx.workspace().read_artefact(&segment.artefact.digest).await.map_err(staging)?;
    let mut digester = Digester::new();
    while let Some(piece) = pieces.try_next().await.map_err(staging)? {
        cx.check().map_err(AdaptError::Cancelled)?;
        digester.update(&piece);
        file.write_all(&piece).await.map_err(scratch("write"))?;
    }
    file.flush().await.map_err(scratch("write"))?;
    Ok(Digest::from_bytes(*digester.finish().sha256.as_bytes()) == segment.artefact.digest)
}

/// A database in the scratch folder.
struct Built {
    file: PathBuf,
    report: Report,
    summary: Option<Summary>,
}

fn build(
    database: Database,
    runs: Vec<LocalRun>,
    fan_in: usize,
    folder: &Path,
    cx: &StageContext,
) -> Result<Built, TrivyError> {
    let runs = reduce(runs, fan_in, folder, cx)?;
    let mut pulse = Pulse::new(cx);
    match database {
        Database::Vulnerabilities => {
            let mut merger = Merger::default();
            let mut buckets = Buckets::new(folder);
            merge(runs, |row| {
                pulse.row()?;
                merger.push(row.decode()?)?.map_or(Ok(()), |entry| buckets.take(&entry))
            })?;
            let (rest, report, summary) = merger.finish();
            rest.iter().try_for_each(|entry| buckets.take(entry))?;
            let file = folder.join("trivy.db");
            buckets.write(&file, cx)?;
            Ok(Built { file, report, summary: Some(summary) })
        }
        Database::Archives => {
            let file = folder.join("trivy-java.db");
            let mut builder = Builder::create(&file)?;
            merge(runs, |row| {
                pulse.row()?;
                Ok(builder.push(row.decode()?)?)
            })?;
            Ok(Built { report: builder.finish()?, file, summary: None })
        }
    }
}

/// Packs the database and stages every file of the bundle.
async fn stage(
    plan: &RunPlanned,
    database: Database,
    built: Built,
    cx: &StageContext,
) -> Result<Vec<BundleFile>, AdaptError> {
    let (schema, days, archive, member) = match database {
        Database::Vulnerabilities => (DB_SCHEMA, 1, "trivy/db.tar.gz", "trivy.db"),
        Database::Archives => (JAVA_SCHEMA, 3, "trivy/javadb.tar.gz", "trivy-java.db"),
    };
    let updated = plan.as_of.map_or(0, Timestamp::as_micros);
    let time = |micros| Timestamp::from_micros(micros).map_err(TrivyError::Time);
    let (updated, next) = (time(updated)?, time(updated.saturating_add(days * DAY))?);
    let metadata = metadata::text(schema, &updated.to_string(), &next.to_string());
    let report = jcs::to_vec(&built.report).map_err(TrivyError::Report)?;

    let (sender, pieces) = mpsc::channel(2);
    let members = vec![("metadata.json", Member::Text(metadata.clone())), (member, Member::File(built.file))];
    let packed = blocking(move || pack(members, sender));
    let (packed, written) = tokio::join!(packed, write(pieces, archive, cx));
    // Where the writer has stopped, the packer fails as well, with an error that says less.
    let writer = written?;
    let failed = |cause| AdaptError::Stage { what: archive.to_owned(), cause };
    if let Err(error) = packed {
        writer.abort().await.map_err(failed)?;
        return Err(error.into());
    }
    let mut files = vec![file(archive, writer.finish().await.map_err(failed)?, "application/gzip")];
    let mut texts = vec![
        ("trivy/metadata.json", metadata.into_bytes(), "application/json"),
        ("trivy/report.json", report, "application/json"),
        ("README.md", readme::text(plan, database).into_bytes(), "text/markdown"),
    ];
    if let Some(summary) = built.summary.filter(|_| plan.profile.config.package_summary) {
        texts.push(("trivy/summary.json", jcs::to_vec(&summary).map_err(TrivyError::Report)?, "application/json"));
    }
    for (path, bytes, content_type) in texts {
        let staged = cx.workspace().put_artefact(Bytes::from(bytes)).await;
        let staged = staged.map_err(|cause| AdaptError::Stage { what: path.to_owned(), cause })?;
        files.push(file(path, staged, content_type));
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Writes all pieces; the artefact is whole only if their maker says so.
async fn write(mut pieces: mpsc::Receiver<Bytes>, what: &str, cx: &StageContext) -> Result<ArtefactWriter, AdaptError> {
    let failed = |cause: BlobError| AdaptError::Stage { what: what.to_owned(), cause };
    let mut writer = cx.workspace().artefact_writer().await.map_err(failed)?;
    let mut bytes = 0;
    while let Some(piece) = pieces.recv().await {
        bytes += piece.len() as u64;
        cx.progress(ProgressStep::StageProgress, 0, bytes);
        let outcome = match cx.check() {
            Ok(()) => writer.write(piece).await.map_err(failed),
            Err(cancelled) => Err(AdaptError::Cancelled(cancelled)),
        };
        if let Err(error) = outcome {
            writer.abort().await.map_err(failed)?;
            return Err(error);
        }
    }
    Ok(writer)
}

fn file(path: &str, artefact: Artefact, content_type: &str) -> BundleFile {
    BundleFile {
        path: path.to_owned(),
        artefact,
        content_type: content_type.to_owned(),
        records: None,
        plain_bytes: None,
        frames: None,
    }
}
