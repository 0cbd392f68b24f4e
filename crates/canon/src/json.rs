//! The canonical form of a raw document (decision D6).
//!
//! Object members are sorted by the code points of their decoded names, insignificant white space goes, and everything else
//! stays byte for byte: `1.0`, `1e3`, `12345678901234567890`, `\u00e9`, `\/`, `null` members and empty containers. The grammar
//! of RFC 8259 is enforced on all of it. This is not RFC 8785 (see [`crate::jcs`]), which rewrites numbers and escapes.
//!
//! Rules where RFC 8259 leaves a choice:
//! - Two members whose names are equal after decoding are refused, because readers disagree on which of them counts. A caller that
//!   must not lose a document says [`Canonicalizer::keep_duplicates`]: both stay, in the order in which they came.
//! - A surrogate escape without its partner (`\ud800`) stays as written. In a name it sorts by its code point, that is by the
//!   WTF-8 form of the decoded name.
//! - A byte order mark is refused. White space around the document is dropped.
//!
//! The form is stable: canonical text is returned as it is. Names sorted by code point are names sorted by UTF-8 bytes.
//!
//! How it works: one pass over the text without a value tree. For every open object it holds a list of member names (the first
//! eight decoded bytes beside the position). An object found in order leaves no trace, so a subtree in order is copied as one
//! slice; only objects out of order are recorded and rebuilt. Nothing recurses, and work and memory are linear in the input.

mod rebuild;
mod scalars;
mod scan;
mod strings;
mod whereabouts;

use std::borrow::Cow;

use self::scan::Scan;
use crate::CanonError;

/// Bounds on one document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Longest input in bytes. Inputs of 4 GiB and more are refused whatever stands here.
    pub max_bytes: usize,
    /// Deepest nesting of objects and arrays; a scalar has depth 0.
    pub max_depth: usize,
}

impl Default for Limits {
    /// 256 MiB and 4,096 levels.
    fn default() -> Self {
        Self { max_bytes: 256 << 20, max_depth: 4096 }
    }
}

/// Brings one document into canonical form; text that is canonical already is borrowed.
///
/// # Errors
/// Every fault of the text, with its place, and the limits; see [`CanonError`].
pub fn canonicalize<'a>(input: &'a [u8], limits: &Limits) -> Result<Cow<'a, [u8]>, CanonError> {
    Canonicalizer::new(*limits).canonicalize(input)
}

/// Appends the canonical form of one document to `out`, which is left as it was if the document is refused.
///
/// # Errors
/// As [`canonicalize`].
pub fn canonicalize_into(input: &[u8], limits: &Limits, out: &mut Vec<u8>) -> Result<(), CanonError> {
    Canonicalizer::new(*limits).canonicalize_into(input, out)
}

/// Reuses its working memory from document to document; for callers with many.
#[derive(Debug)]
pub struct Canonicalizer {
    limits: Limits,
    scan: Scan,
}

impl Canonicalizer {
    /// Holds no memory before the first document.
    pub fn new(limits: Limits) -> Self {
        Self { limits, scan: Scan::default() }
    }

    /// Keeps members with equal names instead of refusing the document. They stand together in the output, in the order in which
    /// they came, so that a reader that takes the last (or the first) of them finds the same one as before.
    #[must_use]
    pub fn keep_duplicates(mut self) -> Self {
        self.scan.keep_duplicates = true;
        self
    }

    /// As the function [`canonicalize`].
    ///
    /// # Errors
    /// As [`canonicalize`].
    pub fn canonicalize<'a>(&mut self, input: &'a [u8]) -> Result<Cow<'a, [u8]>, CanonError> {
        let text = self.check(input)?;
        if self.scan.is_in_order() {
            return Ok(if self.scan.is_compact() {
                Cow::Borrowed(text)
            } else {
                Cow::Owned(self.scan.take_compacted())
            });
        }
        let mut out = Vec::new();
        rebuild::rebuild(&self.scan, self.scan.compacted().unwrap_or(text), &mut out);
        Ok(Cow::Owned(out))
    }

    /// As the function [`canonicalize_into`].
    ///
    /// # Errors
    /// As [`canonicalize`].
    pub fn canonicalize_into(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), CanonError> {
        let text = self.check(input)?;
        let text = self.scan.compacted().unwrap_or(text);
        if self.scan.is_in_order() {
            out.extend_from_slice(text);
        } else {
            rebuild::rebuild(&self.scan, text, out);
        }
        Ok(())
    }

    /// Checks the document and fills the scan; gives the input without the white space around it.
    fn check<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], CanonError> {
        let limit = self.limits.max_bytes.min(u32::MAX as usize);
        if input.len() > limit {
            return Err(CanonError::TooLarge { bytes: input.len() as u64, limit: limit as u64 });
        }
        if input.starts_with(b"\xef\xbb\xbf") {
            return Err(CanonError::ByteOrderMark);
        }
        if let Err(error) = simdutf8::basic::from_utf8(input).or_else(|_| simdutf8::compat::from_utf8(input)) {
            return Err(CanonError::InvalidUtf8 { offset: error.valid_up_to() as u64 });
        }
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        let Some(first) = input.iter().position(|byte| !is_space(byte)) else {
            return Err(CanonError::Empty);
        };
        let last = input.iter().rposition(|byte| !is_space(byte)).unwrap_or(first);
        let text = &input[first..=last];
        self.scan
            .run(text, self.limits.max_depth)
            .map_err(|fault| whereabouts::explain(&self.scan, text, first, &fault))?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
