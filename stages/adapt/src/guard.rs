//! The aggregation-only contract on export: no derived member stands at the top level of a line (design D5, D17).
//!
//! The guard walks the canonical text of the line and looks at its top-level names only; the document inside is skipped by its
//! brackets. It runs on every exported byte, so it parses nothing. What it cannot walk it does not let through.

use export_evidence::aoc::is_forbidden;
use memchr::{memchr, memchr2};

/// Why a line must not be exported.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    /// It carries this member, as it is written.
    Forbidden(String),
    /// It is not one JSON object and a line feed.
    NotALine,
}

/// Lets a line through that is one object without forbidden members, and a line feed.
pub(crate) fn check(line: &[u8]) -> Result<(), Breach> {
    // Canonical text holds no line feed, so the only one is the end; a second one would make two records of one.
    let text = match memchr(b'\n', line) {
        Some(end) if end + 1 == line.len() => line.get(..end).unwrap_or_default(),
        _ => return Err(Breach::NotALine),
    };
    check_object(text)
}

fn check_object(text: &[u8]) -> Result<(), Breach> {
    if text.first() != Some(&b'{') {
        return Err(Breach::NotALine);
    }
    let mut at = 1;
    // In canonical text a string after `{` or `,` is a name.
    let mut name_next = true;
    loop {
        match text.get(at).ok_or(Breach::NotALine)? {
            b'"' => {
                let end = string_end(text, at + 1).ok_or(Breach::NotALine)?;
                if name_next {
                    let name = std::str::from_utf8(text.get(at + 1..end).unwrap_or_default());
                    let name = name.map_err(|_| Breach::NotALine)?;
                    // A name with an escape could spell a forbidden one; the envelope has none.
                    if is_forbidden(name) || name.contains('\\') {
                        return Err(Breach::Forbidden(name.to_owned()));
                    }
                    name_next = false;
                }
                at = end + 1;
            }
            b'{' | b'[' => at = skip_nested(text, at + 1).ok_or(Breach::NotALine)?,
            b',' => {
                name_next = true;
                at += 1;
            }
            b'}' if at + 1 == text.len() => return Ok(()),
            b'}' | b']' => return Err(Breach::NotALine),
            _ => at += 1,
        }
    }
}

/// From inside a nested value to just behind its end.
fn skip_nested(line: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 1_u64;
    while depth > 0 {
        // Between two strings of canonical text lie one to three bytes, too few for a vector search; strings are most of it.
        let byte = *line.get(at)?;
        at += 1;
        match byte {
            b'"' => at = string_end(line, at)? + 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    Some(at)
}

/// Where the string that begins before `from` ends.
fn string_end(line: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let found = from + first_of_quote_and_backslash(line.get(from..)?)?;
        if line.get(found) == Some(&b'"') {
            return Some(found);
        }
        from = found + 2;
    }
}

/// Most strings are names and other short ones: the first words are looked at here, without the cost of a vector search.
fn first_of_quote_and_backslash(text: &[u8]) -> Option<usize> {
    /// Words of eight bytes looked at before the vector search takes over.
    const WORDS: usize = 3;
    const LOW: u64 = u64::MAX / 255;
    /// Sets the high bit of each byte that is zero, and of no byte below the first such one.
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(LOW) & !word & (LOW << 7)
    }
    for (index, word) in text.chunks_exact(8).take(WORDS).enumerate() {
        let word = u64::from_le_bytes(word.try_into().ok()?);
        let hit = zeros(word ^ (LOW * u64::from(b'"'))) | zeros(word ^ (LOW * u64::from(b'\\')));
        if hit != 0 {
            return Some(index * 8 + (hit.trailing_zeros() / 8) as usize);
        }
    }
    let looked_at = (text.len() / 8).min(WORDS) * 8;
    Some(looked_at + memchr2(b'"', b'\\', text.get(looked_at..)?)?)
}

#[cfg(test)]
mod tests {
    use super::{Breach, check};

    #[test]
    fn only_top_level_names_are_looked_at() {
        for (text, found) in [
            (r#"{"content":{"raw":{"severity":[{"a":"}\"]"}],"x":[[],{}]}},"tenant":"t"}"#, None),
            (r#"{"a":"severity","b":["severity",{"cvss":1}],"kind":"x"}"#, None),
            (r#"{"a":{"b":1},"severity":"high"}"#, Some("severity")),
            (r#"{"Severity":"high"}"#, Some("Severity")),
            (r#"{"a":[1,"]"],"effective_range":1}"#, Some("effective_range")),
            (r#"{"\u0073everity":1}"#, Some("\\u0073everity")),
            (r#"{"a":1,"b":true,"c":null}"#, None),
            ("{}", None),
        ] {
            let expected = found.map_or(Ok(()), |member| Err(Breach::Forbidden(member.to_owned())));
            assert_eq!(check(format!("{text}\n").as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_string_ends_at_its_first_quote_wherever_that_stands() {
        for length in 0..100 {
            for escape in ["", r"\\", r#"\""#] {
                let text = format!("{}{escape}{}\",\"{}\"", "x".repeat(length), "é".repeat(length % 7), "y".repeat(40));
                let end = length + escape.len() + 2 * (length % 7);
                assert_eq!(super::string_end(text.as_bytes(), 0), Some(end), "{text}");
            }
        }
        assert_eq!(super::string_end(b"no end, however long the text may be after all", 0), None);
    }

    #[test]
    fn what_is_not_one_object_and_a_line_feed_does_not_pass() {
        let no_line: [&[u8]; 13] = [
            b"",
            b"\n",
            b"{}",
            b"{}\n\n",
            b"{}\n{}\n",
            b"{}{}\n",
            b"{} \n",
            b"[]\n",
            b"\"x\"\n",
            b"{\"a\":\"open\n",
            b"{\"a\":{\"b\":1}\n",
            b"{\"a\":1]\n",
            b"{\"\xff\":1}\n",
        ];
        for line in no_line {
            assert_eq!(check(line), Err(Breach::NotALine), "{}", String::from_utf8_lossy(line));
        }
    }
}
