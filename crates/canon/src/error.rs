//! What can be wrong with a document that is to be made canonical.

/// A document could not be brought into canonical form.
///
/// Offsets count bytes from the start of the input given, beginning with 0. Paths are JSONPath-like (`$.affected[3]`), shortened
/// where a hostile document would make them long.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CanonError {
    /// The input is longer than the limit (or than 4 GiB, whatever the limit says).
    #[error("document of {bytes} bytes is larger than the limit of {limit} bytes")]
    TooLarge {
        /// Length of the input.
        bytes: u64,
        /// The limit that was exceeded.
        limit: u64,
    },
    /// Objects and arrays are nested deeper than the limit.
    #[error("nesting is deeper than the limit of {limit} levels (byte {offset})")]
    TooDeep {
        /// The limit that was exceeded.
        limit: usize,
        /// Where the first level too many opens.
        offset: u64,
    },
    /// The input is empty or only white space.
    #[error("empty input where a JSON document is expected")]
    Empty,
    /// The input begins with U+FEFF, which RFC 8259 section 8.1 forbids to writers.
    #[error("document starts with a byte order mark; remove the first three bytes")]
    ByteOrderMark,
    /// The input is not UTF-8 (RFC 8259 section 8.1).
    #[error("invalid UTF-8 at byte {offset}")]
    InvalidUtf8 {
        /// First byte that does not belong to a valid sequence.
        offset: u64,
    },
    /// The input ends inside the document.
    #[error("document ends early: {expected} expected at {path} (byte {offset})")]
    UnexpectedEnd {
        /// What the grammar asks for here.
        expected: &'static str,
        /// The value being read.
        path: String,
        /// Length of the input.
        offset: u64,
    },
    /// A byte that the grammar does not allow here.
    #[error("unexpected {found} where {expected} is expected at {path} (byte {offset})")]
    Unexpected {
        /// The byte, readable.
        found: String,
        /// What the grammar asks for here.
        expected: &'static str,
        /// The value being read.
        path: String,
        /// Where it stands.
        offset: u64,
    },
    /// A word that is neither `true`, `false` nor `null`.
    #[error("invalid literal `{found}` at {path} (byte {offset}); only `true`, `false` and `null` are words of JSON")]
    InvalidLiteral {
        /// The beginning of the word.
        found: String,
        /// The value being read.
        path: String,
        /// Where the word starts.
        offset: u64,
    },
    /// A number outside the grammar of RFC 8259 section 6.
    #[error("invalid number at {path} (byte {offset}): {problem}")]
    InvalidNumber {
        /// What is wrong with it.
        problem: &'static str,
        /// The value being read.
        path: String,
        /// Where it goes wrong.
        offset: u64,
    },
    /// A backslash that starts no escape of RFC 8259 section 7.
    #[error("invalid escape in a string at {path} (byte {offset})")]
    InvalidEscape {
        /// The string's place.
        path: String,
        /// Where the backslash stands.
        offset: u64,
    },
    /// A control character that had to be escaped.
    #[error("control character U+{character:04X} must be escaped in a string at {path} (byte {offset})")]
    ControlCharacter {
        /// The character's code.
        character: u8,
        /// The string's place.
        path: String,
        /// Where it stands.
        offset: u64,
    },
    /// Two members of one object have the same name once escapes are decoded.
    #[error("duplicate key `{key}` at {path} (byte {offset})")]
    DuplicateKey {
        /// The name, decoded and shortened.
        key: String,
        /// The object that holds both.
        path: String,
        /// Where the later of the two stands.
        offset: u64,
    },
    /// Something but white space follows the document.
    #[error("trailing {found} after the document (byte {offset})")]
    Trailing {
        /// The byte, readable.
        found: String,
        /// Where it stands.
        offset: u64,
    },
    /// A value of our own has no JSON form.
    #[error("cannot serialise a value as JSON")]
    Serialize(#[source] serde_json::Error),
    /// An integer that JavaScript numbers cannot hold exactly, so RFC 8785 could not keep it.
    #[error("integer {number} at {path} is beyond 2^53 - 1 and would lose digits in RFC 8785; write it as a string")]
    UnsafeInteger {
        /// The number.
        number: String,
        /// Its place.
        path: String,
    },
}
