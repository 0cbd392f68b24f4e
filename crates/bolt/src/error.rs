//! What can go wrong with a database that is being written.

use std::io;
use std::path::PathBuf;

use crate::{MAX_KEY, MAX_VALUE};

/// Why a database was not written. Keys in messages are escaped and cut, since they are bytes.
#[derive(Debug, thiserror::Error)]
pub enum BoltError {
    /// The temporary file beside the database could not be made.
    #[error("cannot create a file beside the database {}", path.display())]
    Create {
        /// The database.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A page could not be written.
    #[error("cannot write the database {}", path.display())]
    Write {
        /// The database.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The file, or the entry in its folder, could not be made durable.
    #[error("cannot make the database {} durable", path.display())]
    Sync {
        /// The database.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The finished file could not be moved to its place.
    #[error("cannot move the finished database to {}", path.display())]
    Rename {
        /// The database.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// Keys and names of buckets ascend by their bytes; this one does not.
    #[error("key `{key}` comes after `{last}`, but sorts before it")]
    OutOfOrder {
        /// The key.
        key: String,
        /// The key before it in the same bucket.
        last: String,
    },
    /// A key or a name of a bucket came twice in one bucket.
    #[error("key `{key}` comes twice in one bucket")]
    Duplicate {
        /// The key.
        key: String,
    },
    /// bbolt has no empty keys.
    #[error("a key is empty")]
    EmptyKey,
    /// The key or the name of a bucket is too large.
    #[error("key `{key}` has {size} bytes, more than the {MAX_KEY} that bbolt allows")]
    KeyTooLarge {
        /// The key.
        key: String,
        /// Its size in bytes.
        size: usize,
    },
    /// The value is too large.
    #[error("the value of key `{key}` has {size} bytes, more than the {MAX_VALUE} that bbolt allows")]
    ValueTooLarge {
        /// The key of the value.
        key: String,
        /// The size of the value in bytes.
        size: usize,
    },
    /// The root of a bbolt database holds buckets only.
    #[error("key `{key}` is put outside of any bucket")]
    PutOutside {
        /// The key.
        key: String,
    },
    /// No bucket is open that could be left.
    #[error("a bucket is left, but none was entered")]
    LeaveOutside,
    /// The database was finished while a bucket was open.
    #[error("the database is finished inside of bucket `{bucket}`")]
    FinishInside {
        /// The innermost open bucket.
        bucket: String,
    },
    /// An earlier page could not be written, so nothing that comes later can be right.
    #[error("the database {} cannot go on after a failed write", path.display())]
    Spoiled {
        /// The database.
        path: PathBuf,
    },
}

/// Most bytes of a key that a message shows.
const SHOWN: usize = 120;

/// A key as a message shows it.
pub(crate) fn shown(key: &[u8]) -> String {
    let mut text = key.get(..SHOWN).unwrap_or(key).escape_ascii().to_string();
    if key.len() > SHOWN {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_keys_are_cut_in_messages() {
        assert_eq!(shown(b"a\0b"), "a\\x00b");
        assert_eq!(shown(&[b'k'; SHOWN]), "k".repeat(SHOWN));
        assert_eq!(shown(&[b'k'; SHOWN + 1]), "k".repeat(SHOWN) + "…");
    }
}
