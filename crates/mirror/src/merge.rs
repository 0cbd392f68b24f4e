//! A base's lines, with changes put in and what is gone taken out.

use std::cmp::Ordering;

use export_contract::RecordKey;

use crate::error::MirrorError;
use crate::lines::LineSource;

/// Lines of a new file. It is strict: whatever the delta says must fit the base, because it was made from that very base.
#[derive(Debug)]
pub struct Merged<B, C, T> {
    path: String,
    base: B,
    changes: C,
    gone: T,
}

impl<B: LineSource, C: LineSource, T: LineSource> Merged<B, C, T> {
    /// Merges `changes` and `gone` into `base`, lines of `path`.
    ///
    /// # Errors
    /// When a key is gone that was not there.
    pub fn new(path: &str, base: B, changes: C, gone: T) -> Result<Self, MirrorError> {
        let mut merged = Self { path: path.to_owned(), base, changes, gone };
        merged.skip_gone()?;
        Ok(merged)
    }

    fn takes_change(&self) -> bool {
        match (self.base.key(), self.changes.key()) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(base), Some(change)) => change <= base,
        }
    }

    /// Passes over the base's lines that are gone.
    fn skip_gone(&mut self) -> Result<(), MirrorError> {
        while let Some(gone) = self.gone.key() {
            match self.base.key().map(|base| base.cmp(gone)) {
                Some(Ordering::Less) => return Ok(()),
                Some(Ordering::Equal) => {
                    if self.changes.key() == Some(gone) {
                        return Err(MirrorError::rule(&self.path, "the delta changes a line and takes it away"));
                    }
                    self.base.advance()?;
                    self.gone.advance()?;
                }
                Some(Ordering::Greater) | None => {
                    return Err(MirrorError::rule(
                        &self.path,
                        "the delta takes a line away that the base does not have",
                    ));
                }
            }
        }
        Ok(())
    }
}

impl<B: LineSource, C: LineSource, T: LineSource> LineSource for Merged<B, C, T> {
    fn key(&self) -> Option<&RecordKey> {
        if self.takes_change() { self.changes.key() } else { self.base.key() }
    }

    fn text(&self) -> &[u8] {
        if self.takes_change() { self.changes.text() } else { self.base.text() }
    }

    fn advance(&mut self) -> Result<(), MirrorError> {
        if self.takes_change() {
            let replaces = self.changes.key() == self.base.key();
            self.changes.advance()?;
            if replaces {
                self.base.advance()?;
            }
        } else {
            self.base.advance()?;
        }
        self.skip_gone()
    }
}
