//! The `Range` header (RFC 9110 section 14).

use std::ops::Range;

/// What a request wants of a representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it: no `Range`, or one that this server does not take (another unit, several ranges, bad syntax),
    /// which a server may ignore.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// Bytes that are not there.
    Unsatisfiable,
}

/// Reads a `Range` header for a representation of `length` bytes.
pub(crate) fn wanted(header: Option<&str>, length: u64) -> Wanted {
    let Some(spec) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return Wanted::Whole;
    };
    let Some((first, last)) = spec.trim().split_once('-') else {
        return Wanted::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>();
    match (first.trim(), last.trim()) {
        ("", suffix) => match number(suffix) {
            Ok(0) => Wanted::Unsatisfiable,
            Ok(count) if length > 0 => Wanted::Part(length.saturating_sub(count)..length),
            Ok(_) => Wanted::Unsatisfiable,
            Err(_) => Wanted::Whole,
        },
        (first, "") => match number(first) {
            Ok(first) if first < length => Wanted::Part(first..length),
            Ok(_) => Wanted::Unsatisfiable,
            Err(_) => Wanted::Whole,
        },
        (first, last) => match (number(first), number(last)) {
            (Ok(first), Ok(last)) if first > last => Wanted::Whole,
            (Ok(first), Ok(_)) if first >= length => Wanted::Unsatisfiable,
            (Ok(first), Ok(last)) => Wanted::Part(first..last.saturating_add(1).min(length)),
            _ => Wanted::Whole,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{Wanted, wanted};

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        for (header, expected) in [
            (None, Wanted::Whole),
            (Some("bytes=0-0"), Wanted::Part(0..1)),
            (Some("bytes=90-"), Wanted::Part(90..100)),
            (Some("bytes=-10"), Wanted::Part(90..100)),
            (Some("bytes=-1000"), Wanted::Part(0..100)),
            (Some("bytes=50-1000"), Wanted::Part(50..100)),
            (Some("bytes=100-"), Wanted::Unsatisfiable),
            (Some("bytes=-0"), Wanted::Unsatisfiable),
            (Some("bytes=5-4"), Wanted::Whole),
            (Some("bytes=0-1,3-4"), Wanted::Whole),
            (Some("lines=0-1"), Wanted::Whole),
            (Some("bytes=a-b"), Wanted::Whole),
            (Some("bytes=18446744073709551615-18446744073709551615"), Wanted::Unsatisfiable),
        ] {
            assert_eq!(wanted(header, 100), expected, "{header:?}");
        }
        assert_eq!(wanted(Some("bytes=-1"), 0), Wanted::Unsatisfiable);
    }
}
