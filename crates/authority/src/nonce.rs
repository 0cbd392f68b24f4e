//! Nonces for proofs (RFC 9449 section 8) that no gateway has to remember: an HMAC over a span of time, under a key that all share.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use export_contract::Timestamp;

/// Seconds of one span. A nonce is good in its own and the next one: 5 to 10 minutes.
const SPAN: i64 = 300;
/// What is signed begins with this.
const CONTEXT: &str = "export-center dpop nonce v1";

/// The key that makes nonces. Printed nowhere.
#[derive(Clone)]
pub struct NonceKey(hmac::Key);

impl fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NonceKey")
    }
}

impl NonceKey {
    /// The key with these bytes, of which there should be 32.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The nonce at `now`.
    pub fn nonce(&self, now: Timestamp) -> String {
        self.of_span(now.as_seconds().div_euclid(SPAN))
    }

    /// Whether a nonce was made with this key and is not over. One of the next span is ours as well: clocks of gateways differ.
    pub fn is_ours(&self, nonce: &str, now: Timestamp) -> bool {
        let Ok(given) = URL_SAFE_NO_PAD.decode(nonce) else { return false };
        let span = now.as_seconds().div_euclid(SPAN);
        [span, span - 1, span + 1].iter().any(|span| hmac::verify(&self.0, &signed(*span), &given).is_ok())
    }

    fn of_span(&self, span: i64) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, &signed(span)))
    }
}

fn signed(span: i64) -> Vec<u8> {
    format!("{CONTEXT}\n{span}").into_bytes()
}

#[cfg(test)]
mod tests {
    use export_contract::Timestamp;

    use super::{NonceKey, SPAN};

    #[test]
    fn a_nonce_is_good_for_five_to_ten_minutes_at_every_gateway_with_the_key() {
        let key = NonceKey::new(&[7; 32]);
        let start = Timestamp::from_micros(1_800_000_000 * 1_000_000).unwrap();
        assert_eq!(start.as_seconds() % SPAN, 0);
        for made in [0, 1, SPAN - 1] {
            let nonce = key.nonce(start.plus_seconds(made));
            for used in [0, SPAN - 1, SPAN, 2 * SPAN - 1] {
                assert!(key.clone().is_ours(&nonce, start.plus_seconds(used)), "made {made}, used {used}");
            }
            assert!(!key.is_ours(&nonce, start.plus_seconds(2 * SPAN)), "made {made}");
            assert!(key.is_ours(&nonce, start.plus_seconds(-1)), "another's clock is ahead");
            assert!(!key.is_ours(&nonce, start.plus_seconds(-SPAN - 1)));
            assert!(!NonceKey::new(&[8; 32]).is_ours(&nonce, start));
        }
        for stranger in ["", "x", "not base64!", &"A".repeat(43), &"A".repeat(10_000)] {
            assert!(!key.is_ours(stranger, start), "{stranger}");
        }
        assert_eq!(format!("{key:?}"), "NonceKey");
    }
}
