//! The aggregation-only contract on export: no derived member stands at the top level of a line (design D5, D17).
//!
//! The guard walks the canonical text of the line and looks at its top-level names only; the document inside is skipped by its
//! brackets. It runs on every exported byte, so it parses nothing.

use export_evidence::aoc::is_forbidden;
use memchr::{memchr2, memchr3};

/// The first forbidden member of a line, if there is one. Text that is no JSON object has none; it fails elsewhere.
pub(crate) fn forbidden_member(line: &[u8]) -> Option<String> {
    let mut at = 0;
    let mut depth = 0_u32;
    // In canonical text a string after `{` or `,` at depth 1 is a name.
    let mut name_next = false;
    while let Some(byte) = line.get(at) {
        match byte {
            b'"' => {
                let end = string_end(line, at + 1)?;
                if depth == 1 && name_next {
                    let name = line.get(at + 1..end).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or("");
                    // A name with an escape could spell a forbidden one; the envelope has none.
                    if is_forbidden(name) || name.contains('\\') {
                        return Some(name.to_owned());
                    }
                    name_next = false;
                }
                at = end + 1;
            }
            b'{' | b'[' => {
                depth += 1;
                name_next = depth == 1;
                at += 1;
                if depth > 1 {
                    (at, depth) = skip_nested(line, at, depth)?;
                }
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                at += 1;
            }
            b',' => {
                name_next = depth == 1;
                at += 1;
            }
            _ => at += 1,
        }
    }
    None
}

/// From inside a nested value to just behind its end.
fn skip_nested(line: &[u8], mut at: usize, mut depth: u32) -> Option<(usize, u32)> {
    while depth > 1 {
        let rest = line.get(at..)?;
        // Strings are most of the text, brackets come next; everything between is skipped at once.
        let open = memchr3(b'"', b'{', b'[', rest);
        let close = memchr2(b'}', b']', rest.get(..open.unwrap_or(rest.len()))?);
        let next = close.or(open)?;
        match rest.get(next)? {
            b'"' => at = string_end(line, at + next + 1)? + 1,
            b'{' | b'[' => {
                depth += 1;
                at += next + 1;
            }
            _ => {
                depth -= 1;
                at += next + 1;
            }
        }
    }
    Some((at, depth))
}

/// Where the string that begins before `from` ends.
fn string_end(line: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let found = from + memchr2(b'"', b'\\', line.get(from..)?)?;
        if line.get(found) == Some(&b'"') {
            return Some(found);
        }
        from = found + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::forbidden_member;

    #[test]
    fn only_top_level_names_are_looked_at() {
        for (line, found) in [
            (r#"{"content":{"raw":{"severity":[{"a":"}\"]"}],"x":[[],{}]}},"tenant":"t"}"#, None),
            (r#"{"a":"severity","b":["severity",{"cvss":1}],"kind":"x"}"#, None),
            (r#"{"a":{"b":1},"severity":"high"}"#, Some("severity")),
            (r#"{"a":[1,"]"],"effective_range":1}"#, Some("effective_range")),
            (r#"{"\u0073everity":1}"#, Some("\\u0073everity")),
            (r#"{"a":1,"b":true,"c":null}"#, None),
            ("{}", None),
            ("", None),
            (r#"{"a":"open"#, None),
        ] {
            assert_eq!(forbidden_member(line.as_bytes()).as_deref(), found, "{line}");
        }
    }
}
