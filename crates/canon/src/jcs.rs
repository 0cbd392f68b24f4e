//! RFC 8785 (JCS) for our own documents, such as `export.json`.
//!
//! Names are sorted by UTF-16 code units, strings are escaped as ECMAScript does, numbers are written as ECMAScript does.
//! Integers beyond 2^53 - 1 are refused instead of losing digits. Raw documents of others go through [`crate::json`].
//!
//! The `serde_json_canonicalizer` crate is not used, because it turns on `serde_json/float_roundtrip` for the whole workspace.

use serde::Serialize;
use serde_json::{Number, Value};

use crate::CanonError;

/// Largest integer that an IEEE 754 double and all below it hold exactly (RFC 7493 section 2.2).
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// The RFC 8785 text of a value. A NaN or infinity becomes `null` on the way through `serde_json`, so our documents hold none.
///
/// # Errors
/// [`CanonError::Serialize`] if the value has no JSON form (a map with keys that are no strings, say), and
/// [`CanonError::UnsafeInteger`].
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CanonError> {
    canonicalize_value(&serde_json::to_value(value).map_err(CanonError::Serialize)?)
}

/// The RFC 8785 text of a JSON value.
///
/// # Errors
/// [`CanonError::UnsafeInteger`].
pub fn canonicalize_value(value: &Value) -> Result<Vec<u8>, CanonError> {
    let mut out = Vec::new();
    write_value(value, &mut Vec::new(), &mut out)?;
    Ok(out)
}

/// One step from a container to a value in it; paths are built only for errors.
enum Step<'a> {
    Member(&'a str),
    Element(usize),
}

fn write_value<'a>(value: &'a Value, path: &mut Vec<Step<'a>>, out: &mut Vec<u8>) -> Result<(), CanonError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(number, path, out)?,
        Value::String(text) => write_string(text, out)?,
        Value::Array(elements) => {
            out.push(b'[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                path.push(Step::Element(index));
                write_value(element, path, out)?;
                path.pop();
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push(b'{');
            for (index, (name, member)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(name, out)?;
                out.push(b':');
                path.push(Step::Member(name));
                write_value(member, path, out)?;
                path.pop();
            }
            out.push(b'}');
        }
    }
    Ok(())
}

/// `serde_json` escapes exactly as RFC 8785 section 3.2.2.2 asks: the two-character forms, else lower-case `\u00xx`.
fn write_string(text: &str, out: &mut Vec<u8>) -> Result<(), CanonError> {
    serde_json::to_writer(out, text).map_err(CanonError::Serialize)
}

fn write_number(number: &Number, path: &[Step<'_>], out: &mut Vec<u8>) -> Result<(), CanonError> {
    let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    let mut buffer = ryu_js::Buffer::new();
    match (magnitude, number.as_f64()) {
        (Some(magnitude), _) if magnitude <= MAX_SAFE_INTEGER => {
            out.extend_from_slice(number.to_string().as_bytes());
        }
        (None, Some(float)) => out.extend_from_slice(buffer.format_finite(float).as_bytes()),
        _ => {
            let (number, path) = (number.to_string(), render(path));
            return Err(CanonError::UnsafeInteger { number, path });
        }
    }
    Ok(())
}

fn render(path: &[Step<'_>]) -> String {
    let steps = path.iter().map(|step| match step {
        Step::Member(name) => format!(".{name}"),
        Step::Element(index) => format!("[{index}]"),
    });
    std::iter::once("$".to_owned()).chain(steps).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(value: &Value, expected: &str) {
        assert_eq!(String::from_utf8(canonicalize_value(value).unwrap()).unwrap(), expected);
    }

    #[test]
    fn sample_of_rfc_8785_section_3_2_2_comes_out_as_printed_there() {
        let value = json!({
            "numbers": [333_333_333.333_333_3, 1E30, 4.50, 2e-3, 0.000_000_000_000_000_000_000_000_001],
            "string": "\u{20ac}$\u{000F}\u{000a}A'\u{0042}\u{0022}\u{005c}\\\"/",
            "literals": [null, true, false]
        });
        let expected = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
                        \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        check(&value, expected);
    }

    #[test]
    fn names_sort_by_utf16_units_and_not_by_code_points() {
        // Section 3.2.3: the emoji's first unit is D83D, below FB33, though its code point is above.
        let value = json!({"\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7});
        check(&value, "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}");
    }

    #[test]
    fn integers_are_exact_or_refused() {
        check(
            &json!([9_007_199_254_740_991_i64, -9_007_199_254_740_991_i64, -0.0, 10.0]),
            "[9007199254740991,-9007199254740991,0,10]",
        );
        let refused = canonicalize_value(&json!({"a": [0, {"b": 9_007_199_254_740_992_u64}]})).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "integer 9007199254740992 at $.a[1].b is beyond 2^53 - 1 and would lose digits in RFC 8785; write it as a string"
        );
        assert!(canonicalize_value(&json!(i64::MIN)).is_err());
        assert!(canonicalize_value(&json!(u64::MAX)).is_err());
    }

    #[test]
    fn structs_are_sorted_and_maps_without_string_keys_refused() {
        #[derive(Serialize)]
        struct Document {
            zebra: u8,
            apple: Option<&'static str>,
        }
        assert_eq!(to_vec(&Document { zebra: 1, apple: None }).unwrap(), b"{\"apple\":null,\"zebra\":1}");
        let unfit = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!(matches!(to_vec(&unfit), Err(CanonError::Serialize(_))));
    }
}
