//! Extended header records (POSIX.1-2017, pax, "pax Extended Header"): `length keyword=value` and a line feed.

use super::Refusal;

/// What an extended header says about the entry after it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extended {
    pub(super) path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
}

/// Appends a record. The length counts its own digits.
pub(super) fn push_record(keyword: &str, value: &str, out: &mut Vec<u8>) {
    let rest = keyword.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(format!("{length} {keyword}={value}\n").as_bytes());
}

/// Reads all records. Only path and size are taken; keywords that would make the entry a link or a sparse file are refused,
/// others ignored.
pub(super) fn parse(mut records: &[u8]) -> Result<Extended, Refusal> {
    let mut extended = Extended::default();
    while !records.is_empty() {
        let space = memchr::memchr(b' ', records).ok_or(Refusal::Pax("a record has no length"))?;
        let length = decimal(&records[..space]).and_then(|length| usize::try_from(length).ok());
        let record = length.and_then(|length| records.get(space + 1..length));
        let (Some(length), Some(record)) = (length, record) else {
            return Err(Refusal::Pax("a record's length is wrong"));
        };
        let Some((b'\n', record)) = record.split_last() else {
            return Err(Refusal::Pax("a record does not end with a line feed"));
        };
        let equals = memchr::memchr(b'=', record).ok_or(Refusal::Pax("a record has no `=`"))?;
        let (keyword, value) = (&record[..equals], &record[equals + 1..]);
        match keyword {
            b"path" => {
                let before = extended.path.replace(value.to_vec());
                refuse_second(before.is_some(), "two paths")?;
            }
            b"size" => {
                let size = decimal(value).ok_or(Refusal::Pax("the size is no number"))?;
                let before = extended.size.replace(size);
                refuse_second(before.is_some(), "two sizes")?;
            }
            b"linkpath" => return Err(Refusal::Pax("it names a link target")),
            _ if keyword.starts_with(b"GNU.sparse") => {
                return Err(Refusal::Pax("it describes a sparse file"));
            }
            _ => {}
        }
        records = &records[length..];
    }
    Ok(extended)
}

fn refuse_second(is_second: bool, problem: &'static str) -> Result<(), Refusal> {
    if is_second { Err(Refusal::Pax(problem)) } else { Ok(()) }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_counts_its_own_digits() {
        for (value, expected) in [("", "8 path=\n"), ("a", "9 path=a\n"), ("ab", "11 path=ab\n")] {
            let mut out = Vec::new();
            push_record("path", value, &mut out);
            let length: usize = expected.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(out.len(), length, "{expected}");
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn every_length_comes_back() {
        for length in 0..1200 {
            let value = "x".repeat(length);
            let mut out = Vec::new();
            push_record("path", &value, &mut out);
            push_record("mtime", "1", &mut out);
            push_record("size", "18446744073709551615", &mut out);
            assert_eq!(parse(&out), Ok(Extended { path: Some(value.into_bytes()), size: Some(u64::MAX) }));
        }
    }

    #[test]
    fn damaged_records_are_refused() {
        let cases: [(&[u8], &str); 11] = [
            (b"path=a\n", "a record has no length"),
            (b"99 path=a\n", "a record's length is wrong"),
            (b"1 path=a\n", "a record's length is wrong"),
            (b"x path=a\n", "a record's length is wrong"),
            (b"99999999999999999999999 path=a\n", "a record's length is wrong"),
            (b"8 path=a\n", "a record does not end with a line feed"),
            (b"8 patha\n", "a record has no `=`"),
            (b"9 path=a\n9 path=b\n", "two paths"),
            (b"11 size=-1\n", "the size is no number"),
            (b"14 linkpath=a\n", "it names a link target"),
            (b"22 GNU.sparse.major=1\n", "it describes a sparse file"),
        ];
        for (records, problem) in cases {
            assert_eq!(parse(records), Err(Refusal::Pax(problem)));
        }
    }
}
