//! Where a bundle is copied to while it is verified.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use export_verify::Unpack;

use crate::disk::Disk;

/// Takes the files of a bundle: those of the tar into `tree/`, the others beside it.
#[derive(Debug)]
pub(crate) struct Incoming {
    disk: Disk,
    folder: PathBuf,
}

impl Incoming {
    pub(crate) fn new(disk: &Disk, folder: &Path) -> Self {
        Self { disk: disk.clone(), folder: folder.to_owned() }
    }
}

impl Unpack for Incoming {
    fn file(&mut self, path: &str) -> io::Result<Box<dyn Write>> {
        // The verifier has judged the path before.
        let output = self.disk.create(&self.folder.join("tree").join(path))?;
        Ok(Box::new(io::BufWriter::with_capacity(64 << 10, output)))
    }

    fn beside(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.disk.write(&self.folder.join(name), bytes)
    }
}
