//! When a message is tried again.

use std::time::Duration;

/// Seconds after each attempt that was not taken: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h, some three days
/// in all.
const STEPS: [i64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// Longest that a receiver may put us off, seconds.
const LONGEST: u64 = 86_400;

/// Seconds until the attempt after `tries` attempts; `None` when it is given up. A receiver that asks for more time gets it.
/// Up to a tenth is added by the name of the message, so that what failed together does not come back together.
pub(super) fn after(tries: u32, retry_after: Option<Duration>, id: &str) -> Option<i64> {
    let step = *STEPS.get(usize::try_from(tries.checked_sub(1)?).ok()?)?;
    let spread = id.bytes().fold(i64::from(tries), |sum, byte| (sum * 31 + i64::from(byte)) % 1_000);
    let asked = retry_after.map_or(0, |wait| i64::try_from(wait.as_secs().min(LONGEST)).unwrap_or(0));
    Some((step + step * spread / 10_000).max(asked))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::after;

    #[test]
    fn a_message_is_tried_for_about_three_days_and_ever_more_seldom() {
        let waits: Vec<i64> = (1..).map_while(|tries| after(tries, None, "msg_1")).collect();
        assert_eq!(waits.len(), 9);
        assert!(waits.is_sorted(), "{waits:?}");
        let days = waits.iter().sum::<i64>() / 3_600;
        assert!((72..=90).contains(&days), "{days} h");
        assert_eq!(after(0, None, "msg_1"), None);
    }

    #[test]
    fn a_receiver_may_put_us_off_for_a_day_at_most_and_never_hurry_us() {
        assert_eq!(after(1, Some(Duration::from_mins(2)), "msg_1"), Some(120));
        assert_eq!(after(1, Some(Duration::from_hours(2_400)), "msg_1"), Some(86_400));
        assert!(after(3, Some(Duration::from_secs(1)), "msg_1").unwrap() >= 1_800);
    }
}
