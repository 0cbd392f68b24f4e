//! From the paths given to the files to read, in an order that depends on names alone, each with the name of
//! its source.
//!
//! # Names of sources (design D16)
//!
//! - A **pack**, a folder with `docs.jsonl` or `docs.jsonl.zst`, is called by its path. The path begins at
//!   the nearest folder around it that holds a `MANIFEST.json` with a list `packs`, else at the folder given;
//!   so a pack has one name, whether it is imported alone or with its whole corpus.
//! - Any other **container** (`.jsonl`, `.zip`, `.tar`, compressed or not) is called by its path without
//!   extension, begun likewise.
//! - **Single documents** of a folder are called by the name of the folder given, and their path below it is
//!   part of their id. So a hub of a thousand folders is one source.
//! - Documents given as files of their own belong to the source `files`.
//!
//! # Files passed over
//!
//! In folders and archives, never when named on the command line: names that begin with a dot;
//! `MANIFEST.json`, `paths.txt`, and what begins with README, LICENSE, LICENCE, NOTICE, COPYING or CHANGELOG;
//! a folder `LICENSES`; symbolic links; and the extensions in [`PASSED_OVER`]. They are counted as skipped.
//! Everything else is read, and refused by name where it is no evidence.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use export_contract::RecordKind;

/// Extensions of text, pictures, signatures and check sums that stand beside evidence.
pub(crate) const PASSED_OVER: [&str; 22] = [
    "adoc", "asc", "crt", "csv", "htm", "html", "jpg", "markdown", "md", "md5", "pdf", "pem", "png", "pub", "rst",
    "sha1", "sha256", "sha384", "sha512", "sig", "svg", "tsv",
];

const PASSED_OVER_NAMES: [&str; 6] = ["readme", "license", "licence", "notice", "copying", "changelog"];

/// Largest `MANIFEST.json` that is looked into.
const MAX_MANIFEST_BYTES: u64 = 64 << 20;

/// How a file is read, told by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One document.
    Document,
    /// One document a line.
    Lines,
    Zip,
    Tar,
    /// A form that is not read; the text says what to do instead.
    Foreign(&'static str),
}

/// A file to read.
#[derive(Clone, Debug)]
pub(crate) struct InputFile {
    pub(crate) path: PathBuf,
    /// The path as people know it, for the reject file.
    pub(crate) shown: String,
    pub(crate) shape: Shape,
    pub(crate) is_zstd: bool,
    /// Length on disk.
    pub(crate) bytes: u64,
    pub(crate) source: String,
    /// Path that is part of the ids of its documents; empty for containers.
    pub(crate) document_path: String,
    /// The kind that the folders promise.
    pub(crate) folder_kind: Option<RecordKind>,
    /// Beside a pack: the file that names the upstream path of each line.
    pub(crate) paths_file: Option<PathBuf>,
}

impl InputFile {
    /// Stands for documents that were made here and come from no file.
    pub(crate) fn made(source: &str) -> Self {
        Self {
            path: PathBuf::new(),
            shown: source.to_owned(),
            shape: Shape::Document,
            is_zstd: false,
            bytes: 0,
            source: source.to_owned(),
            document_path: String::new(),
            folder_kind: None,
            paths_file: None,
        }
    }
}

/// What a walk found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) files: Vec<InputFile>,
    /// Sources of files passed over, once per file.
    pub(crate) skipped: Vec<String>,
    /// Folders that cannot be read, with their error.
    pub(crate) unreadable: Vec<(String, io::Error)>,
}

/// The shape of a file or archive entry of that name, and whether it is compressed with zstd.
pub(crate) fn shape(name: &str) -> (Shape, bool) {
    let name = name.to_ascii_lowercase();
    let (name, is_zstd) = match (name.strip_suffix(".zst"), name.strip_suffix(".tzst")) {
        (Some(inner), _) => (inner.to_owned(), true),
        (_, Some(inner)) => (format!("{inner}.tar"), true),
        _ => (name, false),
    };
    let shape = match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "jsonl" | "ndjson" => Shape::Lines,
        "tar" => Shape::Tar,
        "zip" if !is_zstd => Shape::Zip,
        "gz" | "tgz" | "xz" | "bz2" | "7z" | "rar" | "lz4" | "br" => {
            Shape::Foreign("this compression is not read; unpack it, or pack it again as .tar.zst, .jsonl.zst or .zip")
        }
        _ => Shape::Document,
    };
    (shape, is_zstd)
}

/// Whether a file of that name is no evidence. Names are compared without regard to case.
pub(crate) fn is_passed_over(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    name.starts_with('.')
        || matches!(name.as_str(), "manifest.json" | "paths.txt" | "paths.txt.zst")
        || PASSED_OVER_NAMES.iter().any(|begin| name.starts_with(begin))
        || PASSED_OVER.contains(&extension)
}

/// Finds the files of all `paths`.
///
/// # Errors
/// The first of `paths` that cannot be read, with the reason.
pub(crate) fn walk(paths: &[PathBuf]) -> Result<Found, (PathBuf, io::Error)> {
    let mut found = Found::default();
    for path in paths {
        walk_one(path, &mut found).map_err(|cause| (path.clone(), cause))?;
    }
    Ok(found)
}

fn walk_one(given: &Path, found: &mut Found) -> io::Result<()> {
    let real = fs::canonicalize(given)?;
    let metadata = fs::metadata(&real)?;
    let folder = if metadata.is_dir() { real.as_path() } else { real.parent().unwrap_or(&real) };
    let corpus = folder.ancestors().find(|folder| is_corpus(folder));
    if metadata.is_dir() {
        let base = match corpus {
            Some(root) => Base { root, name: String::new() },
            None => Base { root: &real, name: file_name(&real) },
        };
        visit(given, &real, &base, found);
    } else {
        let base = Base { root: corpus.unwrap_or(folder), name: String::new() };
        let mut file = describe(given, &real, &base, metadata.len());
        if file.shape == Shape::Document {
            file.document_path = file_name(&real);
            "files".clone_into(&mut file.source);
        }
        found.files.push(file);
    }
    Ok(())
}

/// Where names of sources begin.
struct Base<'a> {
    root: &'a Path,
    /// Name of the root, empty where paths begin below it.
    name: String,
}

fn is_corpus(folder: &Path) -> bool {
    let Ok(file) = fs::File::open(folder.join("MANIFEST.json")) else {
        return false;
    };
    let mut text = Vec::new();
    if file.take(MAX_MANIFEST_BYTES).read_to_end(&mut text).is_err() {
        return false;
    }
    serde_json::from_slice::<serde_json::Value>(&text)
        .is_ok_and(|manifest| manifest.get("packs").is_some_and(serde_json::Value::is_array))
}

/// Visits a folder: first `snapshot.json`, by which findings beside it are placed, then everything by name.
/// Not recursive, so depth is bounded by what the file system allows.
fn visit(given: &Path, real: &Path, base: &Base<'_>, found: &mut Found) {
    let mut folders = vec![(given.to_owned(), real.to_owned())];
    while let Some((shown, folder)) = folders.pop() {
        let entries = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(cause) => {
                found.unreadable.push((shown.display().to_string(), cause));
                continue;
            }
        };
        entries.sort_by_key(|entry| (entry.file_name() != OsStr::new("snapshot.json"), entry.file_name()));
        let mut inner = Vec::new();
        for entry in entries {
            let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
            let shown = shown.join(entry.file_name());
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(cause) => {
                    found.unreadable.push((shown.display().to_string(), cause));
                    continue;
                }
            };
            // `DirEntry::metadata` does not follow links.
            if metadata.is_dir() && !name.starts_with('.') && name != "LICENSES" {
                inner.push((shown, path));
            } else if metadata.is_file() && !is_passed_over(&name) {
                found.files.push(describe(&shown, &path, base, metadata.len()));
            } else {
                found.skipped.push(source_of(base, path.parent().unwrap_or(&path), None));
            }
        }
        folders.extend(inner.into_iter().rev());
    }
}

fn describe(shown: &Path, path: &Path, base: &Base<'_>, bytes: u64) -> InputFile {
    let name = file_name(path);
    let folder = path.parent().unwrap_or(path);
    let (shape, is_zstd) = shape(&name);
    let plain = name.strip_suffix(".zst").unwrap_or(&name);
    let stem = plain.rsplit_once('.').map_or(plain, |(stem, _)| stem);
    let is_pack = shape == Shape::Lines && stem == "docs";
    let (source, document_path) = match shape {
        Shape::Lines | Shape::Zip | Shape::Tar => (source_of(base, folder, (!is_pack).then_some(stem)), String::new()),
        Shape::Document | Shape::Foreign(_) => (source_of(base, base.root, None), segments(base.root, path).join("/")),
    };
    let paths_file = is_pack
        .then(|| ["paths.txt.zst", "paths.txt"].map(|name| folder.join(name)).into_iter().find(|path| path.is_file()))
        .flatten();
    InputFile {
        shown: shown.display().to_string(),
        shape,
        is_zstd,
        bytes,
        folder_kind: folder_kind(base, folder),
        source,
        document_path,
        paths_file,
        path: path.to_owned(),
    }
}

/// Names of the folders from `root` down to `path`, fit to stand in ids and tables.
fn segments(root: &Path, path: &Path) -> Vec<String> {
    let below = path.strip_prefix(root).unwrap_or(path);
    below
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(clean(&name.to_string_lossy())),
            _ => None,
        })
        .collect()
}

fn clean(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '_' } else { c }).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| "files".to_owned(), |name| clean(&name.to_string_lossy()))
}

fn source_of(base: &Base<'_>, folder: &Path, stem: Option<&str>) -> String {
    let mut parts = segments(base.root, folder);
    if !base.name.is_empty() {
        parts.insert(0, base.name.clone());
    }
    parts.extend(stem.map(clean));
    if parts.is_empty() { file_name(base.root) } else { parts.join("/") }
}

/// The innermost folder that is called by a kind.
fn folder_kind(base: &Base<'_>, folder: &Path) -> Option<RecordKind> {
    let mut names = segments(base.root, folder);
    names.insert(0, base.name.clone());
    names.iter().rev().find_map(|name| name.parse().ok())
}
