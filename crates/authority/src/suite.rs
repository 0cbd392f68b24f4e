//! What every [`ProofRegister`] must do. Each driver runs it.

#![expect(clippy::expect_used, reason = "a suite of tests")]

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::register::{ProofRegister, Sighting};

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(since).unwrap_or(i64::MAX)
}

/// A proof that is made now.
pub fn fresh() -> Sighting {
    let now = now();
    Sighting { proof: rand::random(), issued_at: now, now, until: now + 70 }
}

/// `open` gives a gateway's view of one register, a new one for each call.
pub async fn conforms<F>(open: F)
where
    F: AsyncFn() -> Arc<dyn ProofRegister>,
{
    let (one, other) = (open().await, open().await);
    a_proof_is_seen_once_at_all_gateways(&one, &other).await;
    of_many_at_once_one_is_first(&one, &other).await;
    a_proof_that_ends_at_once_is_taken_once(&one).await;
}

async fn a_proof_is_seen_once_at_all_gateways(one: &Arc<dyn ProofRegister>, other: &Arc<dyn ProofRegister>) {
    let (first, second) = (fresh(), fresh());
    assert!(one.first_seen(&first).await.expect("an answer"));
    assert!(!one.first_seen(&first).await.expect("an answer"), "the same gateway");
    assert!(!other.first_seen(&first).await.expect("an answer"), "another gateway");
    assert!(other.first_seen(&second).await.expect("an answer"), "another proof");
    assert!(!one.first_seen(&second).await.expect("an answer"));
}

async fn of_many_at_once_one_is_first(one: &Arc<dyn ProofRegister>, other: &Arc<dyn ProofRegister>) {
    let proof = fresh();
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..32 {
        let register = Arc::clone(if number % 2 == 0 { one } else { other });
        asked.spawn(async move { register.first_seen(&proof).await.expect("an answer") });
    }
    let firsts = asked.join_all().await.into_iter().filter(|first| *first).count();
    assert_eq!(firsts, 1);
}

/// Times at the edge of what a gateway takes must be no error.
async fn a_proof_that_ends_at_once_is_taken_once(one: &Arc<dyn ProofRegister>) {
    let old = Sighting { until: now(), ..fresh() };
    assert!(one.first_seen(&old).await.expect("an answer"));
    assert!(!one.first_seen(&old).await.expect("an answer"));
}
