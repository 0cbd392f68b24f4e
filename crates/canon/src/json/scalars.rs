//! Numbers and the three words: where they end.

use super::scan::{Fault, FaultKind, fault};

/// End of the `word` expected at `at`.
pub(super) fn literal(text: &[u8], at: usize, word: &[u8]) -> Result<usize, Fault> {
    let end = at + word.len();
    let goes_on = text.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    if text[at..].starts_with(word) && !goes_on { Ok(end) } else { Err(fault(at, FaultKind::Literal)) }
}

/// End of the number at `at`, by the grammar of RFC 8259 section 6.
pub(super) fn number(text: &[u8], at: usize) -> Result<usize, Fault> {
    let digits = |mut at: usize| {
        while text.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let some_digits = |at: usize, problem| {
        let end = digits(at);
        if end > at { Ok(end) } else { Err(fault(at, FaultKind::Number(problem))) }
    };
    let start = at + usize::from(text.get(at) == Some(&b'-'));
    let mut end = some_digits(start, "a digit must follow the minus sign")?;
    if text.get(start) == Some(&b'0') && end > start + 1 {
        return Err(fault(start, FaultKind::Number("leading zeros are not allowed")));
    }
    if text.get(end) == Some(&b'.') {
        end = some_digits(end + 1, "a digit must follow the decimal point")?;
    }
    if let Some(b'e' | b'E') = text.get(end) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        end = some_digits(end + 1 + sign, "a digit must follow the exponent sign")?;
    }
    match text.get(end) {
        Some(byte) if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-' | b'_') => {
            Err(fault(end, FaultKind::Number("the number does not end where it should")))
        }
        _ => Ok(end),
    }
}
