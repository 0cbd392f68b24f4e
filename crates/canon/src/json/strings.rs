//! Strings as they stand in the text: where one ends, and what a name says once its escapes are decoded.

/// What is wrong inside a string, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StringFault {
    /// The text ends before the closing quote.
    Unterminated,
    /// A control character stands unescaped at this offset.
    Control(usize, u8),
    /// The backslash at this offset starts no escape.
    Escape(usize),
}

/// Offset of the closing quote of the string whose text starts at `at`, and whether an escape came before it.
#[inline]
pub(super) fn closing_quote(text: &[u8], mut at: usize) -> Result<(usize, bool), StringFault> {
    let mut escaped = false;
    loop {
        at = next_special(text, at);
        match text.get(at) {
            Some(b'"') => return Ok((at, escaped)),
            Some(b'\\') => {
                escaped = true;
                at += escape_len(text, at).ok_or(StringFault::Escape(at))?;
            }
            Some(&byte) => return Err(StringFault::Control(at, byte)),
            None => return Err(StringFault::Unterminated),
        }
    }
}

/// Offset of the first quote, backslash or control character at or after `at`, or the length of the text.
///
/// Eight bytes a step with the zero-byte trick; its carries can only flag bytes above a true hit, so the lowest flag is exact.
#[inline]
fn next_special(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    while let Some(bytes) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*bytes);
        let quote = has_zero(word ^ (ONES * u64::from(b'"')));
        let backslash = has_zero(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let hits = quote | backslash | control;
        if hits != 0 {
            return at + hits.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20).unwrap_or(rest.len())
}

/// Length of the escape that starts at the backslash at `at` (RFC 8259 section 7), or `None` if it is none.
fn escape_len(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at + 1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => hex4(text, at + 2).map(|_| 6),
        _ => None,
    }
}

fn hex4(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..)?.first_chunk::<4>()?;
    digits.iter().try_fold(0, |code, &digit| Some(code << 4 | char::from(digit).to_digit(16)?))
}

/// The bytes of a checked string once its escapes are decoded, as WTF-8: a lone surrogate becomes its three-byte form, so that
/// byte order is code point order for every name that JSON can write.
pub(super) struct Decoded<'a> {
    text: &'a [u8],
    /// Bytes of the escape decoded last that are still to come, the next one lowest.
    pending: u32,
}

impl<'a> Decoded<'a> {
    /// `text` is what stands between the quotes, checked by [`closing_quote`].
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, pending: 0 }
    }

    fn unicode_escape(&mut self) -> Option<u8> {
        let unit = hex4(self.text, 1)?;
        self.text = self.text.get(5..)?;
        let code = match self.text {
            [b'\\', b'u', ..] if (0xd800..0xdc00).contains(&unit) => match hex4(self.text, 2) {
                Some(low @ 0xdc00..0xe000) => {
                    self.text = self.text.get(6..)?;
                    0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                }
                _ => unit,
            },
            _ => unit,
        };
        let tail = |shift: u32| 0x80 | (code >> shift) & 0x3f;
        let (first, pending) = match code {
            0..0x80 => (code, 0),
            0x80..0x800 => (0xc0 | code >> 6, tail(0)),
            0x800..0x1_0000 => (0xe0 | code >> 12, tail(6) | tail(0) << 8),
            _ => (0xf0 | code >> 18, tail(12) | tail(6) << 8 | tail(0) << 16),
        };
        self.pending = pending;
        u8::try_from(first).ok()
    }
}

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if self.pending != 0 {
            // Continuation bytes are never zero, so zero means that none is left.
            let [byte, ..] = self.pending.to_le_bytes();
            self.pending >>= 8;
            return Some(byte);
        }
        let (&byte, rest) = self.text.split_first()?;
        self.text = rest;
        if byte != b'\\' {
            return Some(byte);
        }
        let byte = match self.text.first()? {
            b'u' => return self.unicode_escape(),
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            &other => other,
        };
        self.text = self.text.get(1..)?;
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_bytes_are_found_at_every_place_of_a_word() {
        for special in [b'"', b'\\', 0, 0x1f] {
            for length in 0..40 {
                for place in 0..length {
                    let mut text = vec![0xff; length];
                    text[place] = special;
                    assert_eq!(next_special(&text, 0), place);
                }
            }
        }
        let harmless: Vec<u8> = (0x20..=0xff).filter(|byte| !matches!(byte, b'"' | b'\\')).collect();
        assert_eq!(next_special(&harmless, 0), harmless.len());
    }

    #[test]
    fn names_decode_to_wtf8() {
        let decode = |text: &str| Decoded::new(text.as_bytes()).collect::<Vec<u8>>();
        assert_eq!(decode(r#"a\u0041\n\/\"\\"#), b"aA\n/\"\\");
        assert_eq!(decode(r"\u00e9\u20AC\ud83d\ude00"), "é€😀".as_bytes());
        assert_eq!(decode(r"\ud83d\u0041"), b"\xed\xa0\xbdA");
        assert_eq!(decode(r"\ud83d\ud83d\ude00"), b"\xed\xa0\xbd\xf0\x9f\x98\x80");
        assert_eq!(decode(r"\ude00\u0000x"), b"\xed\xb8\x80\0x");
    }

    #[test]
    fn faults_name_their_place() {
        assert_eq!(closing_quote(b"abc\\n\"", 0), Ok((5, true)));
        assert_eq!(closing_quote(b"ab", 0), Err(StringFault::Unterminated));
        assert_eq!(closing_quote(b"ab\x01\"", 0), Err(StringFault::Control(2, 1)));
        for bad in [&b"a\\x\""[..], b"a\\u12g4\"", b"a\\u12", b"a\\", b"a\\U0041\"", b"a\\u+123\""] {
            assert_eq!(closing_quote(bad, 0), Err(StringFault::Escape(1)));
        }
    }
}
