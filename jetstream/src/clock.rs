//! How far this machine's clock is from the broker's.

use std::time::{Duration, SystemTime};

use export_contract::Timestamp;
use export_pipeline::QueueError;
use serde::Deserialize;

use crate::connect::{Nats, cannot};
use crate::topology::LOG_STREAM;

/// Clocks of a deployment may be this far apart: proofs of possession may be as far ahead of the gateway's clock, and
/// leases, due times and retention are judged by whichever process looks.
pub const MAX_SKEW: Duration = Duration::from_secs(5);

/// What the server says of a stream, what we use of it: when it said so.
#[derive(Deserialize)]
struct Said {
    ts: Timestamp,
}

/// This clock and another one, and how long it took to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    /// How far ours is ahead, in microseconds; negative where it is behind. Half of `asked` may be the way of the answer.
    pub ahead_micros: i64,
    /// From the question to the answer, in microseconds.
    pub asked_micros: i64,
}

impl Skew {
    fn of(asked: Timestamp, said: Timestamp, answered: Timestamp) -> Self {
        let asked_micros = answered.as_micros().saturating_sub(asked.as_micros()).max(0);
        let middle = asked.as_micros().saturating_add(asked_micros / 2);
        Self { ahead_micros: middle.saturating_sub(said.as_micros()), asked_micros }
    }

    /// Whether the clocks are certainly further apart than [`MAX_SKEW`], whatever the way of the answer was.
    pub fn is_too_far(self) -> bool {
        let at_least = self.ahead_micros.saturating_abs().saturating_sub(self.asked_micros / 2);
        u128::try_from(at_least).is_ok_and(|micros| micros > MAX_SKEW.as_micros())
    }
}

impl Nats {
    /// Compares this machine's clock with that of the leader of the log.
    ///
    /// # Errors
    /// When it does not answer, or does not say what time it is.
    pub async fn clock_skew(&self) -> Result<Skew, QueueError> {
        let act = || "ask the broker for the time";
        let asked = SystemTime::now();
        let subject = format!("$JS.API.STREAM.INFO.{LOG_STREAM}");
        let answer = self.client().request(subject, bytes::Bytes::new()).await.map_err(cannot(act()))?;
        let answered = SystemTime::now();
        let Said { ts } = serde_json::from_slice(&answer.payload).map_err(cannot(act()))?;
        Ok(Skew::of(asked.into(), ts, answered.into()))
    }
}

#[cfg(test)]
mod tests {
    use export_contract::Timestamp;

    use super::Skew;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000 + millis * 1_000).unwrap()
    }

    #[test]
    fn a_clock_is_wrong_only_where_no_way_of_the_answer_explains_it() {
        for (asked, said, answered, is_too_far) in [
            (0, 5, 10, false),
            (0, 5_001, 2, false),
            (0, 5_010, 2, true),
            (0, -5_010, 2, true),
            // The question may have been under way for six seconds.
            (0, 6_000, 6_000, false),
            (0, 12_000, 6_000, true),
            // The clock was set back meanwhile.
            (0, 6_000, -100, true),
        ] {
            let skew = Skew::of(at(asked), at(said), at(answered));
            assert_eq!(skew.is_too_far(), is_too_far, "{asked} {said} {answered}: {skew:?}");
        }
    }
}
