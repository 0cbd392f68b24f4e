//! What every driver of [`Wrapping`] must do. Each calls [`conformance`] from its own tests.

use crate::secret::RunKey;
use crate::wrapping::{Context, Wrapping};

/// Runs every promise of [`Wrapping`] on a key that can both wrap and unwrap.
///
/// # Panics
/// When a promise is broken; that is its purpose.
#[expect(clippy::expect_used, reason = "a test suite that is called from tests")]
pub async fn conformance(keeper: &dyn Wrapping) {
    let context = Context { tenant: "acme".to_owned(), run: "01J0000000000000000000000A".to_owned() };
    let identity = crate::age_file::run_identity().expect("an identity").0;
    for key in [RunKey::random().expect("a key"), identity] {
        let wrapped = keeper.wrap(&key, &context).await.expect("wrapped");
        let again = keeper.wrap(&key, &context).await.expect("wrapped again");
        assert_ne!(wrapped.bytes, again.bytes, "two wrappings are the same");
        let shows = wrapped.bytes.windows(8).any(|bytes| key.expose().windows(8).any(|part| part == bytes));
        assert!(!shows, "the wrapped key shows the key");
        let back = keeper.unwrap(&wrapped.bytes, &context).await.expect("unwrapped");
        assert_eq!(back.expose(), key.expose(), "another key came back");
        assert!(!format!("{back:?} {keeper:?}").contains(&format!("{:?}", key.expose())), "a key is printed");

        for at in [wrapped.bytes.len() / 2, wrapped.bytes.len().saturating_sub(1)] {
            let mut changed = wrapped.bytes.clone();
            // Of text another letter, of bytes another bit.
            changed.get_mut(at).into_iter().for_each(|byte| *byte = if *byte == b'A' { b'B' } else { *byte ^ 1 });
            assert!(keeper.unwrap(&changed, &context).await.is_err(), "changed bytes unwrap");
        }
        let half = wrapped.bytes.get(..wrapped.bytes.len() / 2).unwrap_or_default();
        for cut in [half, &[]] {
            assert!(keeper.unwrap(cut, &context).await.is_err(), "cut bytes unwrap");
        }
        if keeper.binds_context() {
            for other in [
                Context { tenant: "other".to_owned(), ..context.clone() },
                Context { run: "01J0000000000000000000000B".to_owned(), ..context.clone() },
            ] {
                assert!(keeper.unwrap(&wrapped.bytes, &other).await.is_err(), "unwraps for {other:?}");
            }
        }
    }
}
