//! BSON as JSON, in one fixed form. Two BSON documents with the same values give the same text.
//!
//! | BSON | JSON |
//! |---|---|
//! | int32, int64 | the integer, all digits, also beyond 2^53 |
//! | double | the shortest form that reads back as the same double, as ECMAScript writes it (RFC 8785 section 3.2.2.3): `1`, `0.1`, `1e+30`; `-0` is `0` |
//! | decimal128 | as it stands in the document, trailing zeros included: `1.50`, `1E+3` |
//! | date | a string, RFC 3339 in UTC with no more digits than it needs: `2026-01-31T12:00:00.5Z` |
//! | `ObjectId` | a string of 24 lower-case hexadecimal digits |
//! | string, symbol | a string, escaped as RFC 8785 section 3.2.2.2 says |
//! | document, array, boolean, null | the same |
//!
//! Everything else says what JSON cannot say, or not in one way (binary, regular expression, code, timestamp, undefined,
//! min and max key, `DBPointer`, NaN, infinities, dates outside the years 0 to 9999), and is refused with its place.
//! Members keep their order and repeats; [`export_canon::json`] does with them what it does with any document.

use export_canon::jcs;
use export_contract::Timestamp;
use export_mongo::bson::raw::{Error, RawBsonRef, RawIter};
use export_mongo::bson::{RawArray, RawDocument};

use crate::import::RefusalCode;

/// Deepest nesting, the outermost document included. MongoDB itself stores 100 levels.
const MAX_DEPTH: usize = 1_024;

/// A document with no JSON form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoText {
    pub(super) code: RefusalCode,
    pub(super) reason: String,
}

/// Appends the JSON text of `document`. Nothing recurses.
pub(super) fn write(document: &RawDocument, max_bytes: u64, out: &mut Vec<u8>) -> Result<(), NoText> {
    let mut writer = Writer { out, open: Vec::new() };
    writer.open("", document, false)?;
    while let Some(level) = writer.open.last_mut() {
        let (is_array, is_first) = (level.is_array, level.is_first);
        let Some(element) = level.elements.next() else {
            writer.out.push(if is_array { b']' } else { b'}' });
            writer.open.pop();
            continue;
        };
        level.is_first = false;
        let element = element.and_then(|element| Ok((element.key(), element.value()?)));
        let (key, value) = element.map_err(|cause| writer.malformed(&cause))?;
        if !is_first {
            writer.out.push(b',');
        }
        if !is_array {
            writer.text(key)?;
            writer.out.push(b':');
        }
        writer.value(key, value)?;
        if writer.out.len() as u64 > max_bytes {
            let reason = format!("larger than the limit of {max_bytes} bytes");
            return Err(NoText { code: RefusalCode::TooLarge, reason });
        }
    }
    Ok(())
}

/// A container that is being written.
struct Level<'a> {
    key: &'a str,
    elements: RawIter<'a>,
    is_array: bool,
    is_first: bool,
}

struct Writer<'a, 'o> {
    out: &'o mut Vec<u8>,
    open: Vec<Level<'a>>,
}

impl<'a> Writer<'a, '_> {
    fn open(&mut self, key: &'a str, document: &'a RawDocument, is_array: bool) -> Result<(), NoText> {
        if self.open.len() >= MAX_DEPTH {
            let reason = format!("nested deeper than {MAX_DEPTH} levels at {}", self.place(key));
            return Err(NoText { code: RefusalCode::TooLarge, reason });
        }
        self.out.push(if is_array { b'[' } else { b'{' });
        self.open.push(Level { key, elements: document.iter_elements(), is_array, is_first: true });
        Ok(())
    }

    fn value(&mut self, key: &'a str, value: RawBsonRef<'a>) -> Result<(), NoText> {
        match value {
            RawBsonRef::Document(document) => return self.open(key, document, false),
            RawBsonRef::Array(array) => {
                let elements = elements_of(array).map_err(|cause| self.malformed(&cause))?;
                return self.open(key, elements, true);
            }
            RawBsonRef::String(text) | RawBsonRef::Symbol(text) => return self.text(text),
            RawBsonRef::ObjectId(id) => return self.text(&id.to_hex()),
            RawBsonRef::DateTime(date) => {
                let text = date_text(date.timestamp_millis());
                return self.text(&text.ok_or_else(|| self.no_form(key, "a date outside the years 0 to 9999"))?);
            }
            RawBsonRef::Null => self.out.extend_from_slice(b"null"),
            RawBsonRef::Boolean(true) => self.out.extend_from_slice(b"true"),
            RawBsonRef::Boolean(false) => self.out.extend_from_slice(b"false"),
            RawBsonRef::Int32(number) => self.out.extend_from_slice(number.to_string().as_bytes()),
            RawBsonRef::Int64(number) => self.out.extend_from_slice(number.to_string().as_bytes()),
            RawBsonRef::Double(number) => {
                let text = number.is_finite().then(|| jcs::to_vec(&number).ok()).flatten();
                let text = text.ok_or_else(|| self.no_form(key, "a double that is not finite"))?;
                self.out.extend_from_slice(&text);
            }
            RawBsonRef::Decimal128(number) => {
                let text = number.to_string();
                if !text.ends_with(|c: char| c.is_ascii_digit()) {
                    return Err(self.no_form(key, "a decimal that is not finite"));
                }
                self.out.extend_from_slice(text.as_bytes());
            }
            other => return Err(self.no_form(key, &format!("a value of BSON type {:?}", other.element_type()))),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), NoText> {
        serde_json::to_writer(&mut *self.out, text)
            .map_err(|cause| NoText { code: RefusalCode::Malformed, reason: cause.to_string() })
    }

    fn no_form(&self, key: &str, what: &str) -> NoText {
        let reason = format!("{} is {what}, which has no form in JSON", self.place(key));
        NoText { code: RefusalCode::UnsupportedValue, reason }
    }

    fn malformed(&self, cause: &Error) -> NoText {
        NoText { code: RefusalCode::Malformed, reason: format!("malformed BSON in {}: {cause}", self.place("")) }
    }

    /// A path to what is wrong, short enough to be read.
    fn place(&self, key: &str) -> String {
        const STEPS: usize = 12;
        const CHARACTERS: usize = 40;
        let steps = self.open.iter().skip(1).map(|level| level.key).chain([key]).filter(|key| !key.is_empty());
        let steps: Vec<String> = steps.take(STEPS + 1).map(|key| key.chars().take(CHARACTERS).collect()).collect();
        let end = if steps.len() > STEPS { ".…" } else { "" };
        std::iter::once("content.raw".to_owned()).chain(steps.into_iter().take(STEPS)).collect::<Vec<_>>().join(".")
            + end
    }
}

/// An array is a document whose names are not looked at.
fn elements_of(array: &RawArray) -> Result<&RawDocument, Error> {
    RawDocument::from_bytes(array.as_bytes())
}

/// The text of a date in milliseconds since 1970, if it has one in RFC 3339.
pub(super) fn date_text(millis: i64) -> Option<String> {
    let text = Timestamp::from_micros(millis.checked_mul(1_000)?).ok()?.to_string();
    // Years before 0 are written with a sign, which RFC 3339 does not know.
    text.starts_with(|c: char| c.is_ascii_digit()).then_some(text)
}

#[cfg(test)]
mod tests;
