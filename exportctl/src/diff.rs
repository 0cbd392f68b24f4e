//! `exportctl bundle diff`: what two bundles tell differently.

mod facts;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read};
use std::path::Path;

use export_canon::zst::BoundedDecoder;
use export_contract::manifest::{ExportManifest, ManifestContent};
use export_mirror::difference::{Change, compare};
use export_mirror::lines::NoLines;
use export_mirror::{LineForm, MirrorError, StreamLines, layout};
use export_verify::Members;
use serde::Serialize;

use crate::cli::Global;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::verify::failed;
use facts::Facts;

/// Most records of a kind of difference that are named; the counts are of all.
const NAMED: usize = 10_000;

/// What differs.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Differences {
    /// Records and documents that only the newer one has.
    pub(crate) added: Named,
    /// That both have, with other contents.
    pub(crate) changed: Named,
    /// That only the older one has, or whose publisher has taken them back since.
    pub(crate) withdrawn: Named,
    /// Where a severity changed.
    pub(crate) severities: Vec<Flip>,
    /// Where a VEX status or a policy status changed.
    pub(crate) statuses: Vec<Flip>,
    /// Other files that differ, such as databases: by path.
    pub(crate) files: Vec<String>,
}

/// Records by file and subject.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Named {
    /// How many.
    pub(crate) count: u64,
    /// Which, `file: subject`; the first 10,000.
    pub(crate) records: Vec<String>,
}

/// A value that changed.
#[derive(Debug, Serialize)]
pub(crate) struct Flip {
    /// Of which record.
    pub(crate) record: String,
    /// Of what in it.
    pub(crate) of: String,
    /// What it was.
    pub(crate) from: String,
    /// What it is.
    pub(crate) to: String,
}

/// Tells what differs.
pub(crate) fn diff(global: &Global, old: &Path, new: &Path, markdown: bool) -> Result<Exit, Failure> {
    let (mut old, mut new) = (Members::open(old).map_err(failed)?, Members::open(new).map_err(failed)?);
    let mut differences = Differences::default();
    let (before, after) = (contents(old.manifest()), contents(new.manifest()));
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for path in paths {
        match (before.get(path), after.get(path)) {
            (Some(one), Some(other)) if one.digest == other.digest => {}
            (one, other) if path.ends_with(".jsonl.zst") => {
                lines(&mut differences, path, (&mut old, one), (&mut new, other))?;
            }
            (one, other) if path.starts_with("data/raw/sboms/") => {
                let named = match (one, other) {
                    (None, _) => &mut differences.added,
                    (_, None) => &mut differences.withdrawn,
                    _ => &mut differences.changed,
                };
                named.take(path.clone());
            }
            // Pages and indexes follow from the rest.
            _ if path.starts_with("indexes/") || path.ends_with("README.md") => {}
            _ => differences.files.push(path.clone()),
        }
    }
    let any = differences.any();
    if markdown {
        output::text(&told::markdown(&differences));
    } else {
        output::document(global, &differences, told::table);
    }
    Ok(if any { Exit::Differences } else { Exit::Ok })
}

fn contents(manifest: &ExportManifest) -> BTreeMap<String, ManifestContent> {
    manifest.contents.iter().map(|content| (content.path.clone(), content.clone())).collect()
}

type Side<'a> = (&'a mut Members, Option<&'a ManifestContent>);

/// Compares two files of lines, of which one may not be there. Both pass by once.
fn lines(differences: &mut Differences, path: &str, old: Side<'_>, new: Side<'_>) -> Result<(), Failure> {
    let take = |change: Change<'_>| {
        differences.take(path, change);
        Ok(())
    };
    let ((old, before), (new, after)) = (old, new);
    match (before, after) {
        (Some(before), Some(after)) => within(old, path, |one| {
            let one = open(path, one, before)?;
            within(new, path, |other| compare(one, open(path, other, after)?, take).map_err(Failure::Mirror))
        }),
        (Some(before), None) => {
            within(old, path, |one| compare(open(path, one, before)?, NoLines, take).map_err(Failure::Mirror))
        }
        (None, Some(after)) => {
            within(new, path, |other| compare(NoLines, open(path, other, after)?, take).map_err(Failure::Mirror))
        }
        (None, None) => Ok(()),
    }
}

fn within(
    members: &mut Members,
    path: &str,
    use_it: impl FnOnce(&mut dyn Read) -> Result<(), Failure>,
) -> Result<(), Failure> {
    members.with(path, use_it).map_err(failed)?.unwrap_or(Ok(()))
}

type Opened<'a> = StreamLines<BufReader<BoundedDecoder<&'a mut dyn Read>>>;

/// The lines of a compressed file; no more bytes than its manifest says.
fn open<'a>(path: &str, body: &'a mut dyn Read, content: &ManifestContent) -> Result<Opened<'a>, Failure> {
    let form = if path == layout::EVALUATIONS { LineForm::Finding } else { LineForm::Evidence };
    let decoder = BoundedDecoder::new(body, content.plain_bytes.unwrap_or(0))
        .map_err(|cause| Failure::Mirror(MirrorError::Zstd { path: path.to_owned(), cause }))?;
    StreamLines::new(path, form, BufReader::with_capacity(256 << 10, decoder)).map_err(Failure::Mirror)
}

impl Named {
    fn take(&mut self, record: String) {
        self.count += 1;
        if self.records.len() < NAMED {
            self.records.push(record);
        }
    }
}

impl Differences {
    pub(crate) fn any(&self) -> bool {
        self.added.count + self.changed.count + self.withdrawn.count > 0 || !self.files.is_empty()
    }

    fn take(&mut self, path: &str, change: Change<'_>) {
        let stem = path.rsplit('/').next().and_then(|name| name.split('.').next()).unwrap_or(path);
        let name = |key: &export_contract::RecordKey| format!("{stem}: {}", key.subject);
        match change {
            Change::Added { key, .. } => self.added.take(name(key)),
            Change::Gone { key, .. } => self.withdrawn.take(name(key)),
            Change::Changed { key, old, new } => {
                let (before, after) = (Facts::of(old), Facts::of(new));
                if after.withdrawn && !before.withdrawn {
                    self.withdrawn.take(name(key));
                } else {
                    self.changed.take(name(key));
                }
                let flips = |of: &BTreeMap<String, String>, was: &BTreeMap<String, String>| {
                    let flipped = of.iter().filter_map(|(what, to)| {
                        let from = was.get(what).filter(|from| *from != to)?;
                        Some(Flip { record: name(key), of: what.clone(), from: from.clone(), to: to.clone() })
                    });
                    flipped.collect::<Vec<_>>()
                };
                let room = NAMED.saturating_sub(self.severities.len());
                self.severities.extend(flips(&after.severities, &before.severities).into_iter().take(room));
                let room = NAMED.saturating_sub(self.statuses.len());
                self.statuses.extend(flips(&after.statuses, &before.statuses).into_iter().take(room));
            }
        }
    }
}
