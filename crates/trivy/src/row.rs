//! Rows of the external merge: what a part stages and assemble merges.

/// What a row is for. Tables come one after the other in the merged order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Ids that were rejected by their authority and are dropped everywhere; they come first, so that the merger knows them
    /// before it sees what they are in.
    Rejected = 0,
    /// Rows of the database.
    Database = 1,
    /// What could not be expressed, for `trivy/report.json`.
    Report = 2,
}

/// Where a row sorts: by table, root bucket, package, id, and last by its origin, so that several rows for one entry always
/// come in the same order, whatever part they were made in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What the row is for.
    pub table: Table,
    /// Root bucket of the database, or the reason of a report.
    pub bucket: String,
    /// Package, empty in root buckets of one level (`vulnerability`, `data-source`).
    pub package: String,
    /// Vulnerability id, or what a one-level bucket is keyed by.
    pub id: String,
    /// Source and document id of the record that the row is from, and its ordinal there.
    pub origin: String,
}

/// A row: its place and a JSON value that only the mapper and the merger of this crate read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its place.
    pub key: Key,
    /// The value.
    pub value: Vec<u8>,
}

/// A staged row that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRow {
    /// The key has not its five parts.
    #[error("the key of a staged row is damaged")]
    Key,
    /// The value is not what the mapper writes.
    #[error("the value of a staged row is damaged")]
    Value,
}

/// Between the parts of an encoded key. It sorts below every byte of a name, so encoded keys sort as keys do.
const SEPARATOR: char = '\0';

impl Key {
    /// The bytes that rows are sorted and merged by.
    ///
    /// Names hold no NUL: the mapper reports a record that has one (`a name with a NUL`) instead of making rows of it.
    pub fn encode(&self) -> Vec<u8> {
        let Self { table, bucket, package, id, origin } = self;
        let mut bytes = vec![*table as u8];
        bytes.extend(format!("{bucket}{SEPARATOR}{package}{SEPARATOR}{id}{SEPARATOR}{origin}").into_bytes());
        bytes
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`BadRow::Key`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BadRow> {
        let (table, rest) = bytes.split_first().ok_or(BadRow::Key)?;
        let table = match table {
            0 => Table::Rejected,
            1 => Table::Database,
            2 => Table::Report,
            _ => return Err(BadRow::Key),
        };
        let text = std::str::from_utf8(rest).map_err(|_| BadRow::Key)?;
        let mut parts = text.splitn(4, SEPARATOR).map(str::to_owned);
        let mut next = || parts.next().ok_or(BadRow::Key);
        Ok(Self { table, bucket: next()?, package: next()?, id: next()?, origin: next()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{BadRow, Key, Table};

    fn any_key() -> impl Strategy<Value = Key> {
        let table = prop_oneof![Just(Table::Rejected), Just(Table::Database), Just(Table::Report)];
        let name = || "[a-c\u{1}\u{e9} ]{0,3}";
        (table, name(), name(), name(), name()).prop_map(|(table, bucket, package, id, origin)| Key {
            table,
            bucket,
            package,
            id,
            origin,
        })
    }

    proptest! {
        #[test]
        fn encoded_keys_are_read_back_and_sort_as_keys_do(one in any_key(), other in any_key()) {
            prop_assert_eq!(one.encode().cmp(&other.encode()), one.cmp(&other));
            prop_assert_eq!(Key::decode(&one.encode()), Ok(one));
        }

        #[test]
        fn no_bytes_are_too_much_to_be_read(bytes in prop::collection::vec(0_u8..4, 0..12)) {
            if let Ok(key) = Key::decode(&bytes) {
                prop_assert_eq!(key.encode(), bytes);
            }
        }
    }

    #[test]
    fn a_key_without_its_parts_is_damaged() {
        for bytes in [&b""[..], &[3, 0, 0, 0], &[1, b'a', 0, b'b', 0, b'c'], &[1, 0xff, 0, 0, 0]] {
            assert_eq!(Key::decode(bytes), Err(BadRow::Key), "{bytes:?}");
        }
    }
}
