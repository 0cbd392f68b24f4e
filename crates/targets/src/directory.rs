//! A folder that others read, such as a mounted share or a disk that is carried away.
//!
//! `<folder>/<tenant>/<run>/` with the bundle and the files beside it, of a replay `<run>-g<generation>`. The files are written to a folder
//! beside it whose name begins with a dot, and renamed when all are durable: nobody finds half a bundle under its name.

use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use export_canon::digesting::Digester;
use export_contract::Digest;
use export_contract::message::{Artefact, Distribution};
use export_contract::profile::DistributionKind;
use export_contract::run::RunRef;
use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::delivery::{BUNDLE, Delivery};
use crate::error::TargetError;
use crate::generations::{is_up_to, name_of};
use crate::port::{Removal, Target};

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// Hands over to a folder.
#[derive(Clone, Debug)]
pub struct DirectoryTarget {
    folder: PathBuf,
}

impl DirectoryTarget {
    /// The target below `folder`, which must be there.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn folder_of(&self, run: &RunRef) -> PathBuf {
        self.folder.join(run.tenant.as_str()).join(name_of(run))
    }

    fn distribution(&self, delivery: &Delivery<'_>) -> Distribution {
        let location = self.folder_of(delivery.run()).join(BUNDLE).display().to_string();
        Distribution::new(self.kind(), location, delivery.tar(), delivery.expires_at)
    }

    async fn fill(&self, folder: &Path, delivery: &Delivery<'_>) -> Result<(), TargetError> {
        write(&folder.join(BUNDLE), delivery.read_tar().await?).await?;
        for (name, artefact) in delivery.sidecars() {
            write(&folder.join(name), delivery.read_file(name, artefact).await?).await?;
        }
        sync(folder).await
    }
}

#[async_trait]
impl Target for DirectoryTarget {
    fn kind(&self) -> DistributionKind {
        DistributionKind::Directory
    }

    async fn place(&self, delivery: &Delivery<'_>) -> Result<Option<Distribution>, TargetError> {
        Ok(Some(self.distribution(delivery)))
    }

    async fn distribute(&self, delivery: &Delivery<'_>) -> Result<Distribution, TargetError> {
        let place = self.folder_of(delivery.run());
        let tenant = self.folder.join(delivery.run().tenant.as_str());
        if !exists(&place).await? {
            // The folder itself is the operator's to make: an unmounted share must not be filled in its stead.
            match fs::create_dir(&tenant).await {
                Ok(()) => sync(&self.folder).await?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("make", &tenant, error)),
            }
            let incoming = tenant.join(format!(".{}.{}", delivery.run().run, ulid::Ulid::generate()));
            fs::create_dir(&incoming).await.map_err(|error| failed("make", &incoming, error))?;
            let filled = match self.fill(&incoming, delivery).await {
                Ok(()) => fs::rename(&incoming, &place).await.map_err(|error| failed("rename", &incoming, error)),
                Err(error) => Err(error),
            };
            match filled {
                Ok(()) => sync(&tenant).await?,
                // Another delivery of the run was first, and may have cleared this one's folder away; what it wrote is looked at next.
                Err(TargetError::Unavailable { .. }) if exists(&place).await? => clear(&incoming).await,
                Err(error) => {
                    clear(&incoming).await;
                    return Err(error);
                }
            }
        }
        let files = std::iter::once((BUNDLE, delivery.tar())).chain(delivery.sidecars());
        for (name, artefact) in files {
            confirm(&place.join(name), artefact).await?;
        }
        clear_older(&tenant, delivery.run()).await;
        Ok(self.distribution(delivery))
    }

    async fn remove(&self, run: &RunRef, _distribution: &Distribution) -> Result<Removal, TargetError> {
        let tenant = self.folder.join(run.tenant.as_str());
        let stem = run.run.to_string();
        for name in names(&tenant).await? {
            if name.strip_prefix(&stem).is_some_and(|rest| is_up_to(run, rest)) {
                // Renamed first: a removal that is interrupted leaves nothing that looks like a bundle.
                let place = tenant.join(&name);
                let leaving = tenant.join(format!(".{stem}.{}", ulid::Ulid::generate()));
                match fs::rename(&place, &leaving).await {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(failed("rename", &place, error));
                    }
                    _ => {}
                }
            }
        }
        for name in names(&tenant).await?.iter().filter(|name| name.starts_with(&format!(".{stem}."))) {
            let leaving = tenant.join(name);
            match fs::remove_dir_all(&leaving).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &leaving, error)),
                _ => {}
            }
        }
        Ok(Removal::Removed)
    }
}

/// Names in a folder; none where there is no such folder.
async fn names(folder: &Path) -> Result<Vec<String>, TargetError> {
    let mut entries = match fs::read_dir(folder).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("list", folder, error)),
    };
    let mut names = Vec::new();
    while let Some(entry) = entries.next_entry().await.map_err(|error| failed("list", folder, error))? {
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}

async fn exists(path: &Path) -> Result<bool, TargetError> {
    fs::try_exists(path).await.map_err(|error| failed("look for", path, error))
}

async fn write(path: &Path, mut pieces: BoxStream<'_, Result<Bytes, TargetError>>) -> Result<(), TargetError> {
    let failed = |error| failed("write", path, error);
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).await.map_err(failed)?;
    while let Some(piece) = pieces.try_next().await? {
        file.write_all(&piece).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    file.sync_all().await.map_err(failed)
}

/// Makes the names in a folder durable.
async fn sync(folder: &Path) -> Result<(), TargetError> {
    let failed = |error| failed("write", folder, error);
    File::open(folder).await.map_err(failed)?.sync_all().await.map_err(failed)
}

/// Whether a file is what it should be.
async fn confirm(path: &Path, artefact: &Artefact) -> Result<(), TargetError> {
    let mut digester = Digester::new();
    let mut file = File::open(path).await.map_err(|error| failed("read", path, error))?;
    let mut piece = vec![0; PIECE];
    loop {
        let length = file.read(&mut piece).await.map_err(|error| failed("read", path, error))?;
        let Some(read) = piece.get(..length).filter(|read| !read.is_empty()) else { break };
        digester.update(read);
    }
    let found = Digest::from_bytes(*digester.finish().sha256.as_bytes());
    if found == artefact.digest {
        return Ok(());
    }
    let what = path.display().to_string();
    Err(TargetError::Differs { what, expected: artefact.digest.to_string(), found: found.to_string() })
}

/// What killed hand-overs of the run left; it is seen by nobody.
async fn clear_older(tenant: &Path, run: &RunRef) {
    let Ok(names) = names(tenant).await else { return };
    for name in names.iter().filter(|name| name.starts_with(&format!(".{}.", run.run))) {
        clear(&tenant.join(name)).await;
    }
}

async fn clear(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder).await
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(folder = %folder.display(), error = &error as &dyn std::error::Error, "cannot clear a half-written folder");
    }
}

fn failed(act: &str, path: &Path, error: io::Error) -> TargetError {
    let act = format!("{act} `{}`", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            TargetError::Refused { act, cause: Box::new(error) }
        }
        // A share that is not mounted just now, a full disk, or another delivery that was first and cleared up.
        _ => TargetError::Unavailable { act, after: None, cause: Box::new(error) },
    }
}
