//! The writer: which calls are in order, and the stack of open buckets.

use std::cmp::Ordering;
use std::path::Path;

use crate::BoltError;
use crate::bucket::{Bucket, Is};
use crate::error::shown;
use crate::page::{PAGE, Pages};

/// Most bytes of a key or of the name of a bucket (bbolt's `MaxKeySize`).
pub const MAX_KEY: usize = 32_768;
/// Most bytes of a value (bbolt's `MaxValueSize`).
pub const MAX_VALUE: usize = (1 << 31) - 2;

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Pages of the file.
    pub pages: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Writes one bbolt database from sorted input.
///
/// The database appears at its path when [`Self::finish`] gives `Ok`, and replaces what was there. A writer that is dropped before
/// leaves nothing; one whose process is killed leaves `.bolt-….partial` in the folder. After an error of order, size or nesting
/// the writer is as before the call and can go on; after a failed write it cannot.
#[derive(Debug)]
pub struct BoltWriter {
    pages: Pages,
    /// The bucket that is being filled: the root at first.
    current: Bucket,
    /// The open buckets around it, the root first.
    around: Vec<Bucket>,
    /// Closed buckets, for their buffers: real databases have a small bucket per package.
    spare: Vec<Bucket>,
    /// The value of the bucket that is being left.
    value: Vec<u8>,
}

impl BoltWriter {
    /// Starts a database that will be at `path`, in a temporary file in the same folder, which must exist.
    ///
    /// # Errors
    /// [`BoltError::Create`].
    pub fn create(path: impl AsRef<Path>) -> Result<Self, BoltError> {
        Ok(Self {
            pages: Pages::create(path.as_ref())?,
            current: Bucket::default(),
            around: Vec::new(),
            spare: Vec::new(),
            value: Vec::new(),
        })
    }

    /// Enters a new bucket: in the root, or in the bucket that is open.
    ///
    /// # Errors
    /// [`BoltError::OutOfOrder`], [`BoltError::Duplicate`], [`BoltError::EmptyKey`], [`BoltError::KeyTooLarge`].
    pub fn enter(&mut self, name: &[u8]) -> Result<(), BoltError> {
        self.check_key(name)?;
        self.current.advance(name);
        let inner = self.spare.pop().unwrap_or_default();
        self.around.push(std::mem::replace(&mut self.current, inner));
        Ok(())
    }

    /// Puts a value, which may be empty, into the open bucket.
    ///
    /// # Errors
    /// [`BoltError::PutOutside`], [`BoltError::OutOfOrder`], [`BoltError::Duplicate`], [`BoltError::EmptyKey`],
    /// [`BoltError::KeyTooLarge`], [`BoltError::ValueTooLarge`], [`BoltError::Write`], [`BoltError::Spoiled`].
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoltError> {
        if self.around.is_empty() {
            return Err(BoltError::PutOutside { key: shown(key) });
        }
        self.check_key(key)?;
        if value.len() > MAX_VALUE {
            return Err(BoltError::ValueTooLarge { key: shown(key), size: value.len() });
        }
        self.current.advance(key);
        self.current.push(&mut self.pages, Is::Value, value)
    }

    /// Leaves the open bucket.
    ///
    /// # Errors
    /// [`BoltError::LeaveOutside`], [`BoltError::Write`], [`BoltError::Spoiled`].
    pub fn leave(&mut self) -> Result<(), BoltError> {
        let outer = self.around.pop().ok_or(BoltError::LeaveOutside)?;
        let mut inner = std::mem::replace(&mut self.current, outer);
        inner.close(&mut self.pages, &mut self.value)?;
        self.current.push(&mut self.pages, Is::Bucket, &self.value)?;
        inner.reset();
        self.spare.push(inner);
        Ok(())
    }

    /// Completes the database, makes it durable and moves it to its path.
    ///
    /// # Errors
    /// [`BoltError::FinishInside`], [`BoltError::Write`], [`BoltError::Sync`], [`BoltError::Rename`], [`BoltError::Spoiled`].
    /// Nothing is at the path then that was not there before, but for a [`BoltError::Sync`] of the folder: the database is
    /// complete there and may be gone after a crash of the host.
    pub fn finish(mut self) -> Result<Written, BoltError> {
        if let Some(outer) = self.around.last() {
            return Err(BoltError::FinishInside { bucket: shown(outer.last()) });
        }
        let root = self.current.close_as_pages(&mut self.pages)?;
        let pages = self.pages.finish(root)?;
        Ok(Written { pages, bytes: pages * PAGE as u64 })
    }

    fn check_key(&self, key: &[u8]) -> Result<(), BoltError> {
        if key.is_empty() {
            return Err(BoltError::EmptyKey);
        }
        if key.len() > MAX_KEY {
            return Err(BoltError::KeyTooLarge { key: shown(key), size: key.len() });
        }
        match key.cmp(self.current.last()) {
            Ordering::Greater => Ok(()),
            Ordering::Equal => Err(BoltError::Duplicate { key: shown(key) }),
            Ordering::Less => Err(BoltError::OutOfOrder { key: shown(key), last: shown(self.current.last()) }),
        }
    }
}
