//! What was refused, and why.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::error::{SiteError, Tried as _};
use crate::site::Site;

/// Refusals that are kept; the oldest goes first.
const KEPT: usize = 100;

impl Site {
    /// Keeps why the bundle in `given` was refused, and its small files. Its large ones are still where they came from.
    pub(crate) fn quarantine(&self, given: &Path, reason: &SiteError) -> Result<(), SiteError> {
        let folder = self.folder.join("quarantine");
        self.disk.make_folder(&folder).tried("make", &folder)?;
        let mut numbers = numbered(&folder)?;
        let place = folder.join(format!("{:06}", numbers.last().copied().unwrap_or(0) + 1));
        let tree = given.join("tree");
        self.disk.remove_folder(&tree).tried("remove", &tree)?;
        let causes = std::iter::successors(Some(reason as &dyn Error), |cause| (**cause).source());
        let reason = json!({
            "exitCode": reason.exit_code(),
            "reason": causes.map(ToString::to_string).collect::<Vec<_>>(),
        });
        let path = given.join("reason.json");
        self.disk.write(&path, format!("{reason:#}\n").as_bytes()).tried("write", &path)?;
        self.disk.rename(given, &place).tried("rename", given)?;
        while numbers.len() >= KEPT {
            let oldest = folder.join(format!("{:06}", numbers.remove(0)));
            self.disk.remove_folder(&oldest).tried("remove", &oldest)?;
        }
        Ok(())
    }
}

/// The numbers that the entries of a folder begin with, ascending.
pub(crate) fn numbered(folder: &PathBuf) -> Result<Vec<u64>, SiteError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).tried("read", folder)? {
        let name = entry.tried("read", folder)?.file_name();
        let digits = name.to_str().and_then(|name| name.split('-').next());
        numbers.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}
