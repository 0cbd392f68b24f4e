//! A brake for whoever guesses secrets: so many wrong ones a minute, for one client id and for all together.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::{Duration, Instant};

/// Wrong secrets of one client id within [`SPAN`].
const OF_ONE: u32 = 20;
/// Wrong secrets of all within [`SPAN`]; so many client ids are remembered at most.
const OF_ALL: u32 = 1_000;
const SPAN: Duration = Duration::from_mins(1);

/// Counts wrong secrets. While it holds, right ones are refused too: else a guess could be told from a hit.
#[derive(Debug, Default)]
pub struct Brake(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    all: Option<Tries>,
    clients: BTreeMap<String, Tries>,
}

#[derive(Clone, Copy, Debug)]
struct Tries {
    since: Instant,
    count: u32,
}

impl Tries {
    fn is_over(&self, now: Instant) -> bool {
        now >= self.since + SPAN
    }

    /// Time until the next try, where there were `most`.
    fn wait(&self, most: u32, now: Instant) -> Option<Duration> {
        (!self.is_over(now) && self.count >= most).then(|| self.since + SPAN - now)
    }
}

impl Brake {
    /// How many seconds `client` must wait before its secret is looked at, if it must.
    pub(crate) fn wait(&self, client: &str) -> Option<u64> {
        let now = Instant::now();
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let one = state.clients.get(client).and_then(|tries| tries.wait(OF_ONE, now));
        let all = state.all.as_ref().and_then(|tries| tries.wait(OF_ALL, now));
        one.max(all).map(|wait| wait.as_secs() + 1)
    }

    /// That `client` came with a wrong secret.
    pub(crate) fn failed(&self, client: &str) {
        let now = Instant::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Tries { since: now, count: 0 };
        let all = state.all.get_or_insert(fresh);
        if all.is_over(now) {
            *all = fresh;
        }
        all.count = all.count.saturating_add(1);
        state.clients.retain(|_, tries| !tries.is_over(now));
        // Client ids are short, and as many as wrong secrets: both are bounded.
        if client.len() <= 255 && state.clients.len() < OF_ALL as usize {
            let tries = state.clients.entry(client.to_owned()).or_insert(fresh);
            tries.count = tries.count.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Brake, OF_ALL, OF_ONE, SPAN};

    #[tokio::test(start_paused = true)]
    async fn a_client_that_guesses_waits_and_another_does_not() {
        let brake = Brake::default();
        for _ in 0..OF_ONE {
            assert_eq!(brake.wait("ci"), None);
            brake.failed("ci");
        }
        assert_eq!((brake.wait("ci"), brake.wait("other")), (Some(61), None));
        tokio::time::advance(SPAN).await;
        assert_eq!(brake.wait("ci"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_under_many_names_hold_everybody_and_take_no_memory() {
        let brake = Brake::default();
        for number in 0..2 * OF_ALL {
            brake.failed(&format!("client-{number}"));
        }
        brake.failed(&"x".repeat(10_000));
        assert!(brake.wait("ci").is_some());
        assert_eq!(brake.0.lock().unwrap().clients.len(), OF_ALL as usize);
        tokio::time::advance(SPAN).await;
        assert_eq!(brake.wait("ci"), None);
        brake.failed("ci");
        assert_eq!(brake.0.lock().unwrap().clients.len(), 1);
    }
}
