//! What stands in and around the body of an answer.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use export_canon::digesting::sha256;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde::Deserialize;

use super::RemoteError;

/// Most characters of a server's reason that are shown.
const MAX_REASON: usize = 200;

/// Checks the SHA-256 that came with a body, if one did: `Content-Digest` and `Repr-Digest` (RFC 9530; no content coding is asked for, so
/// the two are the same), or the older `Digest` (RFC 3230). Other algorithms are passed over.
pub(super) fn check_digest(headers: &HeaderMap, body: &[u8]) -> Result<(), RemoteError> {
    let found = STANDARD.encode(sha256(body).as_bytes());
    for name in ["content-digest", "repr-digest", "digest"] {
        for value in headers.get_all(name) {
            let text = value.to_str().map_err(|_| RemoteError::Digest)?;
            for entry in text.split(',') {
                let Some((algorithm, digest)) = entry.trim().split_once('=') else { continue };
                if algorithm.eq_ignore_ascii_case("sha-256") && digest.trim().trim_matches(':') != found {
                    return Err(RemoteError::Digest);
                }
            }
        }
    }
    Ok(())
}

/// Whether the body is of the media type that was asked for.
pub(super) fn expect_media(headers: &HeaderMap, expected: &'static str) -> Result<(), RemoteError> {
    let found = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = found.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == expected {
        return Ok(());
    }
    Err(RemoteError::Media { found: essence.chars().take(MAX_REASON).collect(), expected })
}

/// `Retry-After` in seconds (RFC 9110 section 10.2.3). A date is passed over, and the wait is our own.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// The server's reason after a colon, shortened and in one line, or nothing (RFC 9457, or `error` and `message`).
pub(super) fn reason(body: &[u8]) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Problem {
        detail: Option<String>,
        title: Option<String>,
        message: Option<String>,
        error: Option<String>,
    }
    let Problem { detail, title, message, error } = serde_json::from_slice(body).unwrap_or_default();
    let reason = [detail, title, message, error].into_iter().flatten().next().unwrap_or_default();
    let line: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REASON).collect();
    if line.trim().is_empty() { String::new() } else { format!(": {}", line.trim()) }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::{check_digest, reason, retry_after};

    // printf abc | openssl dgst -sha256 -binary | base64
    const ABC: &str = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_digest_is_checked_in_every_form_that_it_comes_in() {
        for (name, value) in [
            ("repr-digest", format!("sha-256=:{ABC}:")),
            ("content-digest", format!("sha-512=:AAAA:, sha-256=:{ABC}:")),
            ("digest", format!("SHA-256={ABC}")),
        ] {
            check_digest(&headers(name, &value), b"abc").unwrap();
            assert!(check_digest(&headers(name, &value), b"abd").is_err(), "{name}");
        }
        check_digest(&HeaderMap::new(), b"abc").unwrap();
        check_digest(&headers("repr-digest", "sha-512=:AAAA:"), b"abc").unwrap();
    }

    #[test]
    fn a_wait_is_in_seconds_and_a_reason_is_one_short_line() {
        assert_eq!(retry_after(&headers("retry-after", "7")).unwrap().as_secs(), 7);
        assert_eq!(retry_after(&headers("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")), None);
        assert_eq!(reason(br#"{"title":"t","detail":"no\nsuch  tenant"}"#), ": no such  tenant");
        assert_eq!(reason(b"<html>"), "");
        assert_eq!(reason(format!(r#"{{"error":"{}"}}"#, "x".repeat(999)).as_bytes()).len(), 202);
    }
}
