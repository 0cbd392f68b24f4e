//! Staging in a folder that every role sees.
//!
//! A blob is a file under its key. It is written to `.tmp/` first, made durable, and then linked or renamed to its name, so a
//! reader sees whole blobs only and a crash leaves nothing but a file in `.tmp/`, which opening the store clears by age.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use rustix::buffer::spare_capacity;
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::store::{BlobError, BlobKey, BlobMeta, BlobStore, BlobWriter, ByteStream, PutOutcome};

/// Name of the folder of half-written blobs; no key begins with a dot.
const TEMPORARY: &str = ".tmp";
/// Half-written blobs older than this are left over from a crash.
const STALE: Duration = Duration::from_hours(24);
/// Bytes read at a time. Each reader holds two of them, and whoever sends them on some more.
const PIECE: usize = 512 << 10;

/// A folder of blobs.
#[derive(Clone, Debug)]
pub struct FolderBlobs {
    root: PathBuf,
}

impl FolderBlobs {
    /// Opens the store in `root`, which is made if it is not there, and clears what crashes left.
    ///
    /// # Errors
    /// When the folder cannot be made or written to.
    pub async fn open(root: &Path) -> Result<Self, BlobError> {
        let store = Self { root: root.to_owned() };
        let temporary = store.root.join(TEMPORARY);
        make_folder(&temporary).await?;
        let mut entries = fs::read_dir(&temporary).await.map_err(|cause| failed("list the staging folder", cause))?;
        while let Some(entry) = entries.next_entry().await.map_err(|cause| failed("list the staging folder", cause))? {
            let age =
                entry.metadata().await.and_then(|meta| meta.modified()).map(|at| SystemTime::now().duration_since(at));
            if matches!(age, Ok(Ok(age)) if age > STALE) {
                remove(&entry.path()).await?;
            }
        }
        Ok(store)
    }

    fn path(&self, key: &BlobKey) -> PathBuf {
        self.root.join(key.as_str())
    }

    /// That something is not in a folder says nothing while the folder is not the one that was opened, but the empty mount point of a share
    /// that is away, or nothing at all.
    async fn is_mounted(&self) -> Result<(), BlobError> {
        match fs::metadata(self.root.join(TEMPORARY)).await {
            Ok(meta) if meta.is_dir() => Ok(()),
            Ok(_) => Err(failed("find the staging folder", io::ErrorKind::NotADirectory.into())),
            Err(cause) => Err(failed("find the staging folder", cause)),
        }
    }

    async fn opened(&self, key: &BlobKey) -> Result<File, BlobError> {
        match open(key, &self.path(key)).await {
            Err(absent @ BlobError::NotFound(_)) => Err(self.is_mounted().await.err().unwrap_or(absent)),
            outcome => outcome,
        }
    }

    fn temporary(&self) -> PathBuf {
        self.root.join(TEMPORARY).join(ulid::Ulid::generate().to_string())
    }

    async fn spool(&self, bytes: &[u8]) -> Result<Spool, BlobError> {
        let mut spool = Spool::create(self.temporary()).await?;
        spool.file.write_all(bytes).await.map_err(|cause| failed("write", cause))?;
        Ok(spool)
    }
}

/// A file in `.tmp/` that is removed when it is dropped.
struct Spool {
    file: File,
    path: PathBuf,
    kept: bool,
}

impl Spool {
    async fn create(path: PathBuf) -> Result<Self, BlobError> {
        let file = File::create_new(&path).await.map_err(|cause| failed("create a temporary file", cause))?;
        Ok(Self { file, path, kept: false })
    }

    async fn sync(&mut self) -> Result<(), BlobError> {
        self.file.flush().await.map_err(|cause| failed("write", cause))?;
        self.file.sync_all().await.map_err(|cause| failed("make durable", cause))
    }

    /// Gives the file its name, replacing what is there.
    async fn rename_to(mut self, target: &Path) -> Result<(), BlobError> {
        self.sync().await?;
        make_parent(target).await?;
        fs::rename(&self.path, target).await.map_err(|cause| failed("rename", cause))?;
        self.kept = true;
        sync_parent(target).await
    }

    /// Gives the file its name, if that is free.
    async fn link_to(mut self, target: &Path) -> Result<PutOutcome, BlobError> {
        self.sync().await?;
        make_parent(target).await?;
        match fs::hard_link(&self.path, target).await {
            Ok(()) => sync_parent(target).await.map(|()| PutOutcome::Written),
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => already_there(target).await,
            Err(cause) => Err(failed("link", cause)),
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if !self.kept {
            // If this fails, opening the store clears the file later.
            let _left_for_later = std::fs::remove_file(&self.path);
        }
    }
}

#[async_trait]
impl BlobStore for FolderBlobs {
    async fn put(&self, key: &BlobKey, bytes: Bytes) -> Result<(), BlobError> {
        self.spool(&bytes).await?.rename_to(&self.path(key)).await
    }

    async fn put_if_absent(&self, key: &BlobKey, bytes: Bytes) -> Result<PutOutcome, BlobError> {
        let path = self.path(key);
        // Most repeats are redeliveries: they need not write the bytes again to learn that they are there.
        if fs::try_exists(&path).await.map_err(|cause| failed("look for", cause))? {
            return already_there(&path).await;
        }
        self.spool(&bytes).await?.link_to(&path).await
    }

    async fn writer(&self) -> Result<Box<dyn BlobWriter>, BlobError> {
        Ok(Box::new(FolderWriter { root: self.root.clone(), spool: Spool::create(self.temporary()).await? }))
    }

    async fn get(&self, key: &BlobKey, limit: u64) -> Result<Bytes, BlobError> {
        let mut file = self.opened(key).await?;
        let bytes = file.metadata().await.map_err(|cause| failed("measure", cause))?.len();
        if bytes > limit {
            return Err(BlobError::TooLarge { key: key.clone(), bytes, limit });
        }
        let mut whole = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
        file.read_to_end(&mut whole).await.map_err(|cause| failed("read", cause))?;
        Ok(whole.into())
    }

    async fn read(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<ByteStream, BlobError> {
        let file = self.opened(key).await?;
        let length = file.metadata().await.map_err(|cause| failed("measure", cause))?.len();
        let range = range.map_or(0..length, |range| range.start.min(length)..range.end.min(length));
        Ok(pieces(Arc::new(file.into_std().await), range))
    }

    async fn file(&self, key: &BlobKey) -> Result<Option<std::fs::File>, BlobError> {
        Ok(Some(self.opened(key).await?.into_std().await))
    }

    async fn head(&self, key: &BlobKey) -> Result<Option<BlobMeta>, BlobError> {
        match fs::metadata(self.path(key)).await {
            Ok(meta) if meta.is_file() => Ok(Some(BlobMeta { bytes: meta.len() })),
            Ok(_) => Ok(None),
            Err(cause) if absent(&cause) => self.is_mounted().await.map(|()| None),
            Err(cause) => Err(failed("measure", cause)),
        }
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        remove(&self.path(key)).await?;
        self.is_mounted().await
    }

    async fn list(&self, prefix: &BlobKey) -> Result<Vec<BlobKey>, BlobError> {
        let mut keys = Vec::new();
        let mut folders = vec![self.path(prefix)];
        while let Some(folder) = folders.pop() {
            for entry in entries(&folder).await? {
                let path = entry.path();
                if entry.file_type().await.map_err(|cause| failed("list", cause))?.is_dir() {
                    folders.push(path);
                } else if let Some(key) =
                    path.strip_prefix(&self.root).ok().and_then(Path::to_str).and_then(|text| text.parse().ok())
                {
                    keys.push(key);
                }
            }
        }
        if keys.is_empty() {
            self.is_mounted().await?;
        }
        keys.sort();
        Ok(keys)
    }

    async fn names(&self, prefix: Option<&BlobKey>) -> Result<Vec<String>, BlobError> {
        let folder = prefix.map_or_else(|| self.root.clone(), |prefix| self.path(prefix));
        let mut names = Vec::new();
        for entry in entries(&folder).await? {
            let name = entry.file_name().to_str().filter(|name| !name.starts_with('.')).map(str::to_owned);
            if entry.file_type().await.map_err(|cause| failed("list", cause))?.is_dir() {
                names.extend(name);
            }
        }
        if names.is_empty() {
            self.is_mounted().await?;
        }
        names.sort();
        Ok(names)
    }

    async fn tidy(&self, prefix: &BlobKey) -> Result<(), BlobError> {
        let mut folders = vec![self.path(prefix)];
        let mut next = 0;
        while let Some(folder) = folders.get(next).cloned() {
            next += 1;
            for entry in entries(&folder).await? {
                if entry.file_type().await.map_err(|cause| failed("list", cause))?.is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        // The deepest come last. A folder that is not empty stays, and with it those above.
        for folder in folders.iter().rev() {
            match fs::remove_dir(folder).await {
                Ok(()) => {}
                Err(cause) if absent(&cause) || cause.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                Err(cause) => return Err(failed("remove a folder", cause)),
            }
        }
        Ok(())
    }

    async fn check(&self) -> Result<(), BlobError> {
        let mut spool = self.spool(b"probe").await?;
        spool.sync().await?;
        let back = fs::read(&spool.path).await.map_err(|cause| failed("read a probe", cause))?;
        if back == b"probe" { Ok(()) } else { Err(failed("read a probe", io::ErrorKind::InvalidData.into())) }
    }
}

struct FolderWriter {
    root: PathBuf,
    spool: Spool,
}

#[async_trait]
impl BlobWriter for FolderWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.spool.file.write_all(&bytes).await.map_err(|cause| failed("write", cause))
    }

    async fn finish(self: Box<Self>, key: &BlobKey) -> Result<(), BlobError> {
        let target = self.root.join(key.as_str());
        self.spool.rename_to(&target).await
    }

    async fn abort(self: Box<Self>) -> Result<(), BlobError> {
        Ok(())
    }
}

/// Bytes of all files in the folder of a store, half-written ones too. Takes as long as looking at each of them does; files that come and go
/// meanwhile may count or not.
///
/// # Errors
/// When the folder cannot be looked through.
pub fn used_bytes(root: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(cause) if absent(&cause) => continue,
            Err(cause) => return Err(cause),
        };
        for entry in entries {
            match entry.and_then(|entry| Ok((entry.metadata()?, entry.path()))) {
                Ok((meta, path)) if meta.is_dir() => folders.push(path),
                Ok((meta, _)) => bytes += meta.len(),
                Err(cause) if absent(&cause) => {}
                Err(cause) => return Err(cause),
            }
        }
    }
    Ok(bytes)
}

/// The bytes of a file, each piece in a buffer of its own that nobody copies: with tokio's own file they go through one more.
pub fn pieces(file: Arc<std::fs::File>, range: Range<u64>) -> ByteStream {
    let pieces = stream::unfold(range, move |left| {
        let file = Arc::clone(&file);
        async move {
            let wanted = usize::try_from(left.end.saturating_sub(left.start)).unwrap_or(usize::MAX).min(PIECE);
            if wanted == 0 {
                return None;
            }
            let read = tokio::task::spawn_blocking(move || {
                let mut piece = Vec::with_capacity(wanted);
                while piece.len() < wanted {
                    let at = left.start + piece.len() as u64;
                    if rustix::io::pread(&*file, spare_capacity(&mut piece), at)? == 0 {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                    }
                    // Room may be more than was asked for.
                    piece.truncate(wanted);
                }
                Ok(Bytes::from(piece))
            });
            let read = read.await.unwrap_or_else(|cause| Err(io::Error::other(cause)));
            // After an error there is nothing more.
            let next = if read.is_ok() { left.start + wanted as u64..left.end } else { 0..0 };
            Some((read.map_err(|cause| failed("read", cause)), next))
        }
    });
    pieces.boxed()
}

async fn open(key: &BlobKey, path: &Path) -> Result<File, BlobError> {
    let file = match File::open(path).await {
        Ok(file) => file,
        Err(cause) if absent(&cause) => return Err(BlobError::NotFound(key.clone())),
        Err(cause) => return Err(failed("open", cause)),
    };
    // A folder can be opened too; it is where longer keys lie, and no blob.
    if file.metadata().await.map_err(|cause| failed("measure", cause))?.is_file() {
        Ok(file)
    } else {
        Err(BlobError::NotFound(key.clone()))
    }
}

/// Makes the folder that `path` needs.
async fn make_parent(path: &Path) -> Result<(), BlobError> {
    match path.parent() {
        Some(parent) => make_folder(parent).await,
        None => Ok(()),
    }
}

/// Makes a folder and those above it, each durable: a blob under a folder that a power failure takes away is lost.
async fn make_folder(folder: &Path) -> Result<(), BlobError> {
    let mut missing = Vec::new();
    for above in folder.ancestors().take_while(|above| !above.as_os_str().is_empty()) {
        if fs::try_exists(above).await.map_err(|cause| failed("look for a folder", cause))? {
            break;
        }
        missing.push(above);
    }
    fs::create_dir_all(folder).await.map_err(|cause| failed("create a folder", cause))?;
    for made in missing.iter().rev() {
        sync_parent(made).await?;
    }
    Ok(())
}

/// The one that wrote may not have made the name durable yet, and this caller goes on as if it were.
async fn already_there(path: &Path) -> Result<PutOutcome, BlobError> {
    sync_parent(path).await.map(|()| PutOutcome::AlreadyThere)
}

/// A name is durable only once its folder is.
async fn sync_parent(path: &Path) -> Result<(), BlobError> {
    let parent = match path.parent() {
        None => return Ok(()),
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
    };
    let folder = File::open(parent).await.map_err(|cause| failed("open a folder", cause))?;
    folder.sync_all().await.map_err(|cause| failed("make a folder durable", cause))
}

/// What lies in a folder; nothing in one that is not there.
async fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>, BlobError> {
    let mut found = Vec::new();
    let mut entries = match fs::read_dir(folder).await {
        Ok(entries) => entries,
        Err(cause) if absent(&cause) => return Ok(found),
        Err(cause) => return Err(failed("list", cause)),
    };
    while let Some(entry) = entries.next_entry().await.map_err(|cause| failed("list", cause))? {
        found.push(entry);
    }
    Ok(found)
}

async fn remove(path: &Path) -> Result<(), BlobError> {
    match fs::remove_file(path).await {
        Ok(()) => Ok(()),
        Err(cause) if absent(&cause) => Ok(()),
        Err(cause) => Err(failed("remove", cause)),
    }
}

/// No such file, or a name on its way is a file: either way there is no such blob.
fn absent(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory)
}

fn failed(act: &str, cause: io::Error) -> BlobError {
    let act = act.to_owned();
    let cause_is_final = matches!(cause.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem);
    let cause = Box::new(cause);
    if cause_is_final { BlobError::Refused { act, cause } } else { BlobError::Unavailable { act, cause } }
}
