//! Disks that can be full.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use export_tests::output;

use crate::fault::Disk;

/// Room for databases that grow, where a file system can be mounted.
const SCRATCH: &str = "24m";
/// The same for ledgers, with staging in a folder, and for a broker.
const ROOM: &str = "256m";

/// A small file system of its own, where this may be mounted.
pub(crate) struct Mounted {
    at: PathBuf,
}

impl Mounted {
    /// Every disk that may be full, below the folder of a deployment.
    pub(crate) fn all(folder: &Path) -> anyhow::Result<BTreeMap<Disk, Self>> {
        let mut disks = BTreeMap::new();
        for (disk, name, room) in
            [(Disk::Scratch, "scratch", SCRATCH), (Disk::Data, "data", ROOM), (Disk::Broker, "nats/nats-1", ROOM)]
        {
            disks.extend(Self::at(&folder.join(name), room)?.map(|mounted| (disk, mounted)));
        }
        Ok(disks)
    }

    fn at(folder: &Path, room: &str) -> anyhow::Result<Option<Self>> {
        std::fs::create_dir_all(folder).context("no folder to mount at")?;
        let size = format!("size={room}");
        let mounted =
            output(std::process::Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder));
        if let Err(error) = mounted {
            eprintln!("the disk at {} will not be full, since none can be mounted: {error:#}", folder.display());
            return Ok(None);
        }
        Ok(Some(Self { at: folder.to_owned() }))
    }

    pub(crate) fn fill(&self) -> anyhow::Result<()> {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.at.join("filler")).context("cannot fill the disk")?;
        let piece = vec![0; 64 << 10];
        while file.write_all(&piece).is_ok() {}
        Ok(())
    }

    pub(crate) fn empty(&self) -> anyhow::Result<()> {
        std::fs::remove_file(self.at.join("filler")).context("cannot make room again")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(std::process::Command::new("umount").arg("-l").arg(&self.at).status());
    }
}
