//! Selectors as the stores want them. [`crate::predicate`] defines what they mean.
//!
//! Prefixes become ranges, `LIKE` and regular expressions are not used: there is nothing to escape, an index can
//! serve a range, and both stores compare text by its UTF-8 bytes.

pub(crate) mod sql;

/// The least text that is greater than every text starting with `prefix`; `None` where there is none.
///
/// UTF-8 keeps the order of code points, so it is the prefix with its last character replaced by the next one.
pub(crate) fn after_prefix(prefix: &str) -> Option<String> {
    let mut text: String = prefix.to_owned();
    while let Some(last) = text.pop() {
        let next = match last {
            // Surrogates are no characters.
            '\u{D7FF}' => Some('\u{E000}'),
            char::MAX => None,
            other => char::from_u32(u32::from(other) + 1),
        };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::after_prefix;

    #[test]
    fn range_of_a_prefix_holds_exactly_the_texts_that_start_with_it() {
        let texts = ["", "a", "ab", "a\u{D7FF}", "a\u{E000}", "a\u{10FFFF}", "a\u{10FFFF}z", "b", "\u{10FFFF}", "\u{10FFFF}b"];
        for prefix in texts {
            let end = after_prefix(prefix);
            for text in texts {
                let inside = text >= prefix && end.as_deref().is_none_or(|end| text < end);
                assert_eq!(inside, text.starts_with(prefix), "{text:?} and {prefix:?}");
            }
        }
    }
}
