//! Selectors as the stores want them. [`crate::predicate`] defines what they mean.
//!
//! Prefixes become ranges rather than `LIKE` or regular expressions: there is nothing to escape, an index can serve a range,
//! and both stores compare text by its UTF-8 bytes. The one exception says why.

pub(crate) mod mongo;
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
mod tests;
