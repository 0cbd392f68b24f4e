//! Records that tell by themselves whether they came as they were written.
//!
//! Some are read by whoever knows their key and not their digest: those of parts, of a step that may be done, of admission. A byte that is
//! another one may leave JSON that can be read, and is then believed. So the last member of each record is the digest of all before it. Builds that do
//! not know the member pass over it; records without one are read as they are.

use export_canon::digesting::sha256;
use export_contract::Digest;

/// What comes before the 64 digits, and behind them.
const BEFORE: &[u8] = b",\"_sum\":\"";
const BEHIND: &[u8] = b"\"}";
const DIGITS: usize = 64;
/// So many bytes of these may be other ones, and it is still a sum, if a spoilt one.
const SPOILT: usize = 3;

/// A JSON object with its sum as last member; anything else as it is.
#[must_use]
pub fn with_sum(mut record: Vec<u8>) -> Vec<u8> {
    if record.len() > 2 && record.first() == Some(&b'{') && record.last() == Some(&b'}') {
        let sum = hex_of(&record);
        record.pop();
        for piece in [BEFORE, sum.as_bytes(), BEHIND] {
            record.extend_from_slice(piece);
        }
    }
    record
}

/// Whether a record is what was written, by its sum; also where it has none.
#[must_use]
pub fn is_as_written(record: &[u8]) -> bool {
    let Some(at) = record.len().checked_sub(BEFORE.len() + DIGITS + BEHIND.len()) else { return true };
    let (all_before, tail) = record.split_at(at);
    let (before, rest) = tail.split_at(BEFORE.len());
    let (digits, behind) = rest.split_at(DIGITS);
    let spoilt = differences(before, BEFORE) + differences(behind, BEHIND);
    if spoilt > SPOILT {
        return true;
    }
    let summed = [all_before, b"}"].concat();
    spoilt == 0 && digits == hex_of(&summed).as_bytes()
}

fn differences(found: &[u8], expected: &[u8]) -> usize {
    found.iter().zip(expected).filter(|(found, expected)| found != expected).count()
}

fn hex_of(bytes: &[u8]) -> String {
    Digest::from_bytes(*sha256(bytes).as_bytes()).hex().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{is_as_written, with_sum};

    #[test]
    fn no_bit_of_a_record_can_be_another_one_unnoticed() {
        let written = with_sum(br#"{"v":1,"records":17,"name":"a"}"#.to_vec());
        assert!(is_as_written(&written));
        let text: serde_json::Value = serde_json::from_slice(&written).unwrap();
        assert_eq!((&text["records"], text["_sum"].as_str().map(str::len)), (&17.into(), Some(64)));
        for at in 0..written.len() {
            for bit in 0..8 {
                let mut spoilt = written.clone();
                spoilt[at] ^= 1 << bit;
                assert!(!is_as_written(&spoilt), "byte {at}, bit {bit}: {}", String::from_utf8_lossy(&spoilt));
            }
        }
    }

    #[test]
    fn what_has_no_sum_is_taken_as_it_is() {
        let digest = "0".repeat(64);
        let ends_in_a_digest = format!(r#"{{"v":1,"result":{{"digest":"sha256:{digest}"}}}}"#);
        for record in ["", "{}", "7", "\"text\"", r#"{"v":1}"#, &ends_in_a_digest] {
            assert!(is_as_written(record.as_bytes()), "{record}");
        }
        for record in ["{}", "7", "[1]", "null"] {
            assert_eq!(with_sum(record.as_bytes().to_vec()), record.as_bytes());
        }
    }
}
