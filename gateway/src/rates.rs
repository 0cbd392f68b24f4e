//! Request rates: a token bucket for each caller, and one for each address from which wrong credentials come.
//!
//! Kept in memory, by each gateway for itself: behind a load balancer a caller has the sum of them.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use export_contract::{ErrorCode, TenantId};
use governor::clock::{Clock, DefaultClock, Reference as _};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::problem::Problem;

/// Callers, and addresses, of which each has a bucket of its own.
const MAX_KEYS: usize = 10_000;
/// Buckets that those share who come when there are so many.
const SHARED: u64 = 256;

/// How many requests in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests that come back each second; 0: no limit.
    pub per_second: u32,
    /// Requests at once.
    pub burst: u32,
}

/// Who a bucket belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key<K> {
    Own(K),
    Shared(u64),
}

/// A caller for a tenant.
type CallerKey = (TenantId, String);

/// Token buckets by key, bounded in number.
struct Buckets<K: Hash + Eq + Clone, C: Clock> {
    limiter: RateLimiter<Key<K>, HashMapStateStore<Key<K>>, C, StateInformationMiddleware>,
    clock: C,
    rate: Rate,
    most: usize,
}

/// What is left in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    rate: Rate,
    remaining: u32,
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Buckets<K, C> {
    fn new(rate: Rate, most: usize, clock: C) -> Option<Self> {
        let quota = Quota::per_second(NonZeroU32::new(rate.per_second)?)
            .allow_burst(NonZeroU32::new(rate.burst.max(1)).unwrap_or(NonZeroU32::MIN));
        let limiter = RateLimiter::new(quota, HashMapStateStore::default(), clock.clone());
        Some(Self { limiter, clock, rate, most })
    }

    /// Takes one; the time until there is one again where there is none.
    fn take(&self, key: K) -> Result<Level, Duration> {
        if self.limiter.len() >= self.most {
            // Buckets that are full again say nothing: their owners are forgotten.
            self.limiter.retain_recent();
        }
        let key = if self.limiter.len() >= self.most {
            let mut hasher = DefaultHasher::new();
            key.hash(&mut hasher);
            Key::Shared(hasher.finish() % SHARED)
        } else {
            Key::Own(key)
        };
        match self.limiter.check_key(&key) {
            Ok(state) => Ok(Level { rate: self.rate, remaining: state.remaining_burst_capacity() }),
            Err(until) => Err(until.wait_time_from(self.clock.now())),
        }
    }
}

impl Level {
    /// `RateLimit-Policy` and `RateLimit`, as draft-ietf-httpapi-ratelimit-headers-10 has them: a policy has a quota `q` in a
    /// window of `w` seconds; `r` is left of it, and after `t` seconds all of it is there again.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        let Self { rate: Rate { per_second, burst }, remaining } = self;
        let seconds = |requests: u32| requests.div_ceil(per_second.max(1)).max(1);
        let policy = format!("\"requests\";q={burst};w={}", seconds(burst));
        let limit = format!("\"requests\";r={remaining};t={}", seconds(burst.saturating_sub(remaining)));
        for (name, value) in [("ratelimit-policy", policy), ("ratelimit", limit)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

/// The request rates of a gateway.
pub struct Rates {
    callers: Option<Buckets<CallerKey, DefaultClock>>,
    guesses: Option<Guesses<DefaultClock>>,
}

/// Wrong credentials by address, and the addresses that must wait.
struct Guesses<C: Clock> {
    buckets: Buckets<IpAddr, C>,
    waiting: Mutex<BTreeMap<IpAddr, C::Instant>>,
}

impl fmt::Debug for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rates")
            .field("callers", &self.callers.as_ref().map(|buckets| buckets.rate))
            .finish_non_exhaustive()
    }
}

impl Rates {
    /// `callers`: of each caller for a tenant. `guesses`: of wrong credentials from each address.
    pub fn new(callers: Rate, guesses: Rate) -> Self {
        Self {
            callers: Buckets::new(callers, MAX_KEYS, DefaultClock::default()),
            guesses: Guesses::new(guesses, DefaultClock::default()),
        }
    }

    /// Counts a request of a caller.
    ///
    /// # Errors
    /// When too many came; nothing is to be done for it.
    pub(crate) fn take(&self, tenant: &TenantId, subject: &str) -> Result<Option<Level>, (Level, Problem)> {
        let Some(callers) = &self.callers else { return Ok(None) };
        callers.take((tenant.clone(), subject.to_owned())).map(Some).map_err(|wait| {
            let Rate { per_second, burst } = callers.rate;
            let detail = format!(
                "too many requests: a caller has {per_second} a second and {burst} at once (limits.requests_per_second, \
                 limits.request_burst)"
            );
            (Level { rate: callers.rate, remaining: 0 }, slow_down(detail, wait))
        })
    }

    /// Whether credentials from an address are looked at.
    ///
    /// # Errors
    /// When too many of them were wrong.
    pub(crate) fn may_try(&self, peer: IpAddr) -> Result<(), Problem> {
        let wait = self.guesses.as_ref().and_then(|guesses| guesses.wait(network(peer)));
        wait.map_or(Ok(()), |wait| {
            let detail = "too many wrong credentials from this address; nothing of it is looked at for a while";
            Err(slow_down(detail.to_owned(), wait))
        })
    }

    /// Counts wrong credentials.
    pub(crate) fn guessed(&self, peer: IpAddr) {
        if let Some(guesses) = &self.guesses {
            guesses.count(network(peer));
        }
    }
}

impl<C: Clock + Clone> Guesses<C> {
    fn new(rate: Rate, clock: C) -> Option<Self> {
        Some(Self { buckets: Buckets::new(rate, MAX_KEYS, clock)?, waiting: Mutex::default() })
    }

    fn count(&self, peer: IpAddr) {
        let Err(wait) = self.buckets.take(peer) else { return };
        let now = self.buckets.clock.now();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= self.buckets.most {
            waiting.retain(|_, until| *until > now);
        }
        if waiting.len() < self.buckets.most {
            waiting.insert(peer, now + wait.into());
        }
    }

    fn wait(&self, peer: IpAddr) -> Option<Duration> {
        let now = self.buckets.clock.now();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let until = *waiting.get(&peer)?;
        if until > now {
            return Some(until.duration_since(now).into());
        }
        waiting.remove(&peer);
        None
    }
}

/// Whoever has one address of version 6 has 2^64 of them.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        IpAddr::V4(address) => IpAddr::V4(address),
    }
}

fn slow_down(detail: String, wait: Duration) -> Problem {
    let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
    Problem::new(ErrorCode::Quota, detail).with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;
    use http::HeaderMap;

    use super::{Buckets, Guesses, Level, Rate, network};

    const RATE: Rate = Rate { per_second: 2, burst: 4 };

    #[test]
    fn a_bucket_has_its_burst_and_fills_at_its_rate_and_each_key_has_its_own() {
        let clock = FakeRelativeClock::default();
        let buckets = Buckets::new(RATE, 100, clock.clone()).unwrap();
        let taken = |key| (0..10).filter(|_| buckets.take(key).is_ok()).count();
        assert_eq!((taken("a"), taken("b")), (4, 4));
        assert_eq!(buckets.take("a"), Err(Duration::from_millis(500)));
        clock.advance(Duration::from_secs(1));
        assert_eq!((taken("a"), taken("c")), (2, 4));
        assert!(Buckets::<&str, _>::new(Rate { per_second: 0, burst: 4 }, 100, clock).is_none());
    }

    #[test]
    fn keys_are_bounded_and_those_that_are_at_rest_are_forgotten() {
        let clock = FakeRelativeClock::default();
        let buckets = Buckets::new(RATE, 50, clock.clone()).unwrap();
        for key in 0..1_000 {
            buckets.take(key).ok();
        }
        assert!(buckets.limiter.len() <= 50 + 256, "{}", buckets.limiter.len());
        clock.advance(Duration::from_secs(10));
        assert_eq!((0..10).filter(|_| buckets.take(5_000).is_ok()).count(), 4);
        assert_eq!(buckets.limiter.len(), 1);
    }

    #[test]
    fn an_address_waits_after_too_many_wrong_credentials_and_no_other_does() {
        let clock = FakeRelativeClock::default();
        let guesses = Guesses::new(RATE, clock.clone()).unwrap();
        let address = |text: &str| network(text.parse::<IpAddr>().unwrap());
        for _ in 0..4 {
            guesses.count(address("192.0.2.1"));
            assert_eq!(guesses.wait(address("192.0.2.1")), None);
        }
        guesses.count(address("192.0.2.1"));
        assert_eq!(guesses.wait(address("192.0.2.1")), Some(Duration::from_millis(500)));
        assert_eq!(guesses.wait(address("::ffff:192.0.2.1")), Some(Duration::from_millis(500)));
        assert_eq!(guesses.wait(address("192.0.2.2")), None);
        clock.advance(Duration::from_secs(1));
        assert_eq!(guesses.wait(address("192.0.2.1")), None);
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
    }

    #[test]
    fn the_headers_say_what_is_left_and_when_it_is_all_there_again() {
        let mut headers = HeaderMap::new();
        Level { rate: Rate { per_second: 200, burst: 1_000 }, remaining: 399 }.write(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"requests\";q=1000;w=5");
        assert_eq!(headers["ratelimit"], "\"requests\";r=399;t=4");
    }
}
