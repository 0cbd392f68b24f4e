//! What every driver must do. Each driver calls [`conformance`] from its own tests.

use crate::signer::Signer;

/// Runs every promise of [`Signer`].
///
/// # Panics
/// When a promise is broken; that is its purpose.
#[expect(clippy::expect_used, reason = "a test suite that is called from tests")]
pub async fn conformance(signer: &dyn Signer) {
    let key = signer.public_key();
    for message in [&b""[..], b"message", &vec![7_u8; 100_000]] {
        let signature = signer.sign(message).await.expect("signed");
        key.verify(message, &signature).expect("verifies");
        assert!(key.verify(b"another message", &signature).is_err(), "verifies another message");
        let mut flipped = signature.clone();
        if let Some(last) = flipped.last_mut() {
            *last ^= 1;
        }
        assert!(key.verify(message, &flipped).is_err(), "a flipped bit verifies");
        assert!(key.verify(message, &[]).is_err(), "no signature verifies");
    }
    let read_back = crate::PublicKey::from_pem(key.pem()).expect("its own PEM");
    assert_eq!(read_back.key_id(), key.key_id());
    signer.check().await.expect("ready");
}
