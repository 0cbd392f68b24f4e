//! Signatures of Standard Webhooks 1.0: `v1,` and HMAC-SHA256 of `id.timestamp.body`.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::secret::WebhookSecret;

/// The `webhook-signature` of a message; `seconds` is its `webhook-timestamp`. An id holds no full stop, so that no two
/// messages are signed as one.
pub fn signature(secret: &WebhookSecret, id: &str, seconds: i64, body: &str) -> String {
    let tag = hmac::sign(&key(secret), signed(id, seconds, body).as_bytes());
    format!("v1,{}", STANDARD.encode(tag))
}

/// Whether one of the signatures of a message is the secret's: what a receiver does.
pub fn verify(secret: &WebhookSecret, id: &str, seconds: i64, body: &str, signatures: &str) -> bool {
    let message = signed(id, seconds, body);
    signatures.split(' ').filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok()).any(|tag| {
        // In constant time.
        hmac::verify(&key(secret), message.as_bytes(), &tag).is_ok()
    })
}

fn key(secret: &WebhookSecret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.bytes())
}

fn signed(id: &str, seconds: i64, body: &str) -> String {
    format!("{id}.{seconds}.{body}")
}

#[cfg(test)]
mod tests {
    use super::{signature, verify};
    use crate::WebhookSecret;

    /// The example that the reference implementations of the specification test themselves by.
    #[test]
    fn the_signature_is_that_of_the_specifications_own_example() {
        let secret = WebhookSecret::from_shown("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, seconds, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signature(&secret, id, seconds, body), expected);
        assert!(verify(&secret, id, seconds, body, &format!("v1a,else {expected}")));
        assert!(!verify(&secret, id, seconds + 1, body, expected));
        assert!(!verify(&secret, id, seconds, "{\"test\": 2432232315}", expected));
        assert!(!verify(&WebhookSecret::random(), id, seconds, body, expected));
    }
}
