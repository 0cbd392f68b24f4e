//! Texts of which two readers cannot understand two things.

use export_canon::jcs;
use serde_json::Value;

use crate::error::VerifyError;

/// Reads a text that must be in RFC 8785 form. Duplicate members, other forms of a number and white space are all refused by that.
/// The value takes several times the memory of the text, so only call it on what a trusted key signed.
pub(crate) fn read(name: &str, text: &[u8]) -> Result<Value, VerifyError> {
    let value: Value = serde_json::from_slice(text).map_err(|cause| VerifyError::not_json(name, &cause))?;
    let canonical = jcs::canonicalize_value(&value).map_err(|cause| VerifyError::not_canonical(name, &cause))?;
    if canonical == text { Ok(value) } else { Err(VerifyError::rule(name, "it is not in RFC 8785 canonical form")) }
}
