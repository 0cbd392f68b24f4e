//! Files that must not be lost: keys, passwords and lists of clients. Each is there whole or not at all, for its owner's eyes where `mode` says so, and
//! is on the disk with its name when a function here returns, so that a cut of the power cannot take back what somebody was told.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Makes a folder and those above it.
///
/// # Errors
/// When one cannot be made or is not on the disk.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|above| !is_there(above)).collect();
    fs::create_dir_all(folder)?;
    for made in missing.iter().rev() {
        sync_folder_of(made)?;
    }
    // Whoever made it a moment ago may not have come so far yet.
    sync_folder_of(folder)
}

/// Writes a file unless there is one: of several writers one wins. `false` where there was one, which is on the disk then.
///
/// # Errors
/// When it cannot be written or is not on the disk.
pub fn write_once(path: &Path, bytes: &[u8], mode: u32) -> io::Result<bool> {
    let temporary = write_temporary(path, bytes, mode)?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    let written = match linked {
        Ok(()) => true,
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => false,
        Err(cause) => return Err(cause),
    };
    sync_folder_of(path)?;
    Ok(written)
}

/// Writes a file in the place of the one that is there.
///
/// # Errors
/// When it cannot be written or is not on the disk.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = write_temporary(path, bytes, mode)?;
    fs::rename(&temporary, path)?;
    sync_folder_of(path)
}

/// Waits until the name of a file that somebody else wrote is on the disk.
///
/// # Errors
/// When it is not.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        None => Ok(()),
        Some(folder) if folder.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(folder) => File::open(folder)?.sync_all(),
    }
}

fn is_there(folder: &Path) -> bool {
    folder.as_os_str().is_empty() || folder.exists()
}

fn write_temporary(path: &Path, bytes: &[u8], mode: u32) -> io::Result<PathBuf> {
    let temporary = path.with_extension(format!("new-{:016x}", rand::random::<u64>()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.write_all(bytes).and_then(|()| file.sync_all())?;
    Ok(temporary)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{make_folder, replace, write_once};

    #[test]
    fn the_first_writer_wins_and_a_replacement_is_whole_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/key");
        make_folder(path.parent().unwrap()).unwrap();
        make_folder(path.parent().unwrap()).unwrap();
        assert!(write_once(&path, b"one", 0o600).unwrap());
        assert!(!write_once(&path, b"two", 0o600).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        replace(&path, b"three", 0o600).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"three");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "temporary files are left");
    }
}
