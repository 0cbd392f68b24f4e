//! Something of an authority that is kept, and fetched again before it ends.

use std::error::Error;

use tokio::sync::Mutex;
use tokio::time::{Duration, Instant};

/// It is renewed so long before it ends, or when a fifth of its life is left, where that is shorter.
const MARGIN: Duration = Duration::from_mins(1);
/// After a failure nobody is asked for this long; it doubles each time …
const PAUSE: Duration = Duration::from_secs(1);
/// … up to this.
const MOST_PAUSE: Duration = Duration::from_mins(1);

/// What is kept. One fetch at a time; whoever comes meanwhile waits for it.
#[derive(Debug)]
pub(crate) struct Renewed<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    held: Option<Held<T>>,
    failures: u32,
    next: Option<Instant>,
}

#[derive(Debug)]
struct Held<T> {
    it: T,
    renew: Instant,
    ends: Instant,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum Without<E> {
    /// It was asked for in vain.
    Failed(E),
    /// That was a moment ago; the next try is in so many seconds.
    Paused(u64),
}

impl<T> Default for Renewed<T> {
    fn default() -> Self {
        Self(Mutex::new(State { held: None, failures: 0, next: None }))
    }
}

impl<T: Clone> Renewed<T> {
    /// What is kept if it is good, else what `ask` gives, with the time that it is good for. What has not ended goes on while `ask`
    /// fails; `what` is for the log.
    pub(crate) async fn get<E: Error + 'static>(
        &self,
        what: &str,
        ask: impl AsyncFnOnce() -> Result<(T, Duration), E>,
    ) -> Result<T, Without<E>> {
        let mut state = self.0.lock().await;
        let now = Instant::now();
        if let Some(held) = state.held.as_ref().filter(|held| now < held.renew) {
            return Ok(held.it.clone());
        }
        let good = |state: &State<T>| state.held.as_ref().filter(|held| now < held.ends).map(|held| held.it.clone());
        if let Some(next) = state.next.filter(|next| now < *next) {
            return good(&state).ok_or(Without::Paused((next - now).as_secs() + 1));
        }
        match ask().await {
            Ok((it, life)) => {
                let held =
                    Held { it: it.clone(), renew: now + life.saturating_sub(MARGIN.min(life / 5)), ends: now + life };
                *state = State { held: Some(held), failures: 0, next: None };
                Ok(it)
            }
            Err(error) => {
                tracing::warn!(what, error = &error as &dyn Error, "the authority gave nothing");
                let pause = PAUSE.saturating_mul(1 << state.failures.min(16)).min(MOST_PAUSE);
                state.failures = state.failures.saturating_add(1);
                state.next = Some(Instant::now() + pause);
                good(&state).ok_or(Without::Failed(error))
            }
        }
    }
}
