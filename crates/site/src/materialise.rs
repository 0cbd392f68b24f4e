//! The new mirror from its base and a delta.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use export_canon::zst::BoundedDecoder;
use export_contract::manifest::{
    DIFF_PATH, ExportManifest, ManifestContent, ManifestDelta, PATH, TARGET_PATH, TOMBSTONES_PATH,
};
use export_contract::message::FileChange;
use export_mirror::difference::unshared;
use export_mirror::merge::Merged;
use export_mirror::rebuild::rebuild;
use export_mirror::{
    DeltaManifest, FileIndex, FrameEntry, FrameLines, MirrorError, StreamLines, TombstoneLines, layout,
};

use crate::disk::Disk;
use crate::error::{SiteError, Tried as _};

/// A delta whose files are verified and lie in `delta`, and the tree that it changes.
pub(crate) struct Materialise<'a> {
    pub(crate) disk: &'a Disk,
    /// The base's tree; absent where the delta holds the new mirror whole.
    pub(crate) base: Option<&'a Path>,
    /// The delta's tree.
    pub(crate) delta: &'a Path,
    /// What the delta's `export.json` says.
    pub(crate) export: &'a ExportManifest,
    /// Where the new tree is made.
    pub(crate) out: &'a Path,
}

impl Materialise<'_> {
    /// Makes every file of the new mirror. Their digests are not compared here: the new mirror is verified as a whole afterwards.
    pub(crate) fn run(&self, chain: &ManifestDelta, target: &ExportManifest) -> Result<(), SiteError> {
        let path = self.delta.join(DIFF_PATH);
        let text = fs::read(&path).tried("read", &path)?;
        let difference = DeltaManifest::read(&text, chain).map_err(SiteError::Mirror)?;
        let changes: BTreeMap<&str, &FileChange> =
            difference.files.iter().map(|file| (file.path.as_str(), file)).collect();
        let removed: BTreeSet<&String> = difference.removed.iter().collect();
        for content in &target.contents {
            if removed.contains(&content.path) {
                return Err(mirror(&content.path, "the delta removes it, and the new mirror has it"));
            }
            match changes.get(content.path.as_str()) {
                Some(change) if change.merge => self.merged(content, change, target)?,
                Some(change) => self.whole(&self.listed(&change.from)?, &content.path)?,
                None => self.whole(&self.of_base(&content.path)?, &content.path)?,
            }
        }
        self.whole(&self.delta.join(TARGET_PATH), PATH)
    }

    /// A file of the delta, which `export.json` must list: only such ones were verified.
    fn listed(&self, path: &str) -> Result<PathBuf, SiteError> {
        if self.export.contents.iter().any(|content| content.path == path) {
            return Ok(self.delta.join(path));
        }
        Err(mirror(path, "the delta names it and does not hold it"))
    }

    fn of_base(&self, path: &str) -> Result<PathBuf, SiteError> {
        let base = self.base.ok_or_else(|| mirror(path, "the delta should hold the whole mirror and lacks it"))?;
        Ok(base.join(path))
    }

    /// Takes a file over as it is.
    fn whole(&self, from: &Path, path: &str) -> Result<(), SiteError> {
        if !from.is_file() {
            return Err(mirror(path, "neither base nor delta has it"));
        }
        let to = self.out.join(path);
        self.disk.link(from, &to).tried("write", &to)
    }

    /// Merges the delta's lines into the base's file.
    fn merged(&self, content: &ManifestContent, change: &FileChange, target: &ExportManifest) -> Result<(), SiteError> {
        let path = content.path.as_str();
        let index = layout::index_of(path).ok_or_else(|| mirror(path, "it has no index"))?;
        let old_path = self.of_base(path)?;
        let base = read_index(&self.of_base(&index)?, &index, path)?;
        // The index comes before the file that it is of: `data/` sorts before `indexes/`, so it may not be made yet.
        let new = read_index(&self.new_index(&index)?, &index, path)?;

        let (old_frames, _) = unshared(&base, &new);
        let reader = |frame: &FrameEntry| read_frame(&old_path, path, frame);
        let lines = FrameLines::new(path, base.form, old_frames, reader).map_err(SiteError::Mirror)?;
        let changes = StreamLines::new(&change.from, base.form, self.plain(&change.from)?);
        let gone = TombstoneLines::new(path, self.plain(TOMBSTONES_PATH)?).map_err(SiteError::Mirror)?;
        let merged = Merged::new(path, lines, changes.map_err(SiteError::Mirror)?, gone).map_err(SiteError::Mirror)?;

        let to = self.out.join(path);
        let mut out = BufWriter::with_capacity(256 << 10, self.disk.create(&to).tried("write", &to)?);
        rebuild(&base, &new, target.compression.level, reader, merged, &mut out).map_err(SiteError::Mirror)?;
        out.flush().tried("write", &to)
    }

    /// Where an index of the new mirror lies: in the delta if it changed, else in the base.
    fn new_index(&self, index: &str) -> Result<PathBuf, SiteError> {
        let in_delta = self.delta.join(index);
        if in_delta.is_file() { Ok(in_delta) } else { self.of_base(index) }
    }

    /// The lines of a file of the delta; at most as many bytes as `export.json` says.
    fn plain(&self, path: &str) -> Result<BufReader<BoundedDecoder<File>>, SiteError> {
        let content = self.export.contents.iter().find(|content| content.path == path);
        let plain = content.and_then(|content| content.plain_bytes);
        let plain = plain.ok_or_else(|| mirror(path, "it should be compressed lines"))?;
        let file = self.delta.join(path);
        let reader = File::open(&file).tried("read", &file)?;
        let decoder = BoundedDecoder::new(reader, plain)
            .map_err(|cause| SiteError::Mirror(MirrorError::Zstd { path: path.to_owned(), cause }))?;
        Ok(BufReader::with_capacity(256 << 10, decoder))
    }
}

fn mirror(path: &str, rule: &'static str) -> SiteError {
    SiteError::Mirror(MirrorError::Rule { path: path.to_owned(), rule })
}

fn read_index(file: &Path, name: &str, path: &str) -> Result<FileIndex, SiteError> {
    let reader = File::open(file).tried("read", file)?;
    FileIndex::read(name, reader, path).map_err(SiteError::Mirror)
}

fn read_frame(file: &Path, path: &str, frame: &FrameEntry) -> Result<Vec<u8>, MirrorError> {
    let failed = |cause| MirrorError::Io { act: "read", path: path.to_owned(), cause };
    let mut reader = File::open(file).map_err(failed)?;
    reader.seek(SeekFrom::Start(frame.offset)).map_err(failed)?;
    let mut bytes = Vec::new();
    // No more than there is: what an index says is not believed before the digest was compared.
    reader.take(frame.bytes).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
