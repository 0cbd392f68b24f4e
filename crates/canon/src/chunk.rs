//! Where a file of records is cut.
//!
//! A chunk is one zstd frame, one unit of parallel work, one checkpoint and one entry of the seek table. Its bounds depend on
//! the plain bytes alone, never on arrival or workers, so a file is cut alike however often it is written.

/// Plain bytes at which a chunk closes unless the caller says otherwise.
pub const DEFAULT_TARGET: u64 = 4 << 20;

/// Closes a chunk at the first record end at or past the target.
#[derive(Clone, Debug)]
pub struct Chunker {
    target: u64,
    bytes: u64,
    records: u64,
}

impl Chunker {
    /// Chunks of `target` plain bytes; a target of 0 closes after every record.
    pub const fn new(target: u64) -> Self {
        Self { target, bytes: 0, records: 0 }
    }

    /// Takes a record of `len` plain bytes, its line feed included. `true` means: close the chunk after this record; the next
    /// one starts a new chunk.
    #[must_use]
    pub const fn push(&mut self, len: u64) -> bool {
        self.bytes = self.bytes.saturating_add(len);
        self.records += 1;
        let close = self.bytes >= self.target;
        if close {
            self.bytes = 0;
            self.records = 0;
        }
        close
    }

    /// Plain bytes in the open chunk.
    pub const fn open_bytes(&self) -> u64 {
        self.bytes
    }

    /// Records in the open chunk; 0 means that nothing is left to flush.
    pub const fn open_records(&self) -> u64 {
        self.records
    }
}

impl Default for Chunker {
    fn default() -> Self {
        Self::new(DEFAULT_TARGET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_closes_at_the_first_record_end_at_or_past_the_target() {
        let mut chunker = Chunker::new(10);
        let closes: Vec<bool> = [4, 6, 9, 0, 1, 25, 3].into_iter().map(|len| chunker.push(len)).collect();
        assert_eq!(closes, [false, true, false, false, true, true, false]);
        assert_eq!((chunker.open_bytes(), chunker.open_records()), (3, 1));
    }

    #[test]
    fn sum_of_lengths_cannot_overflow() {
        let mut chunker = Chunker::new(u64::MAX);
        assert!(!chunker.push(u64::MAX - 1));
        assert!(chunker.push(u64::MAX - 1));
    }
}
