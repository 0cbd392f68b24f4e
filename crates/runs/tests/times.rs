//! When schedules are due: expressions, zones, and the two nights a year.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use export_contract::Timestamp;
use proptest::prelude::*;

use export_runs::schedule::{Times, TimesError};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The due times after `after`, as text.
fn due(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    Times::new(cron, zone).unwrap().after(at(after)).take(count).map(|time| time.to_string()).collect()
}

#[test]
fn five_fields_and_nicknames_name_minutes_of_the_zones_clock() {
    assert_eq!(due("30 2 * * *", "UTC", "2026-01-01T02:30:00Z", 2), ["2026-01-02T02:30:00Z", "2026-01-03T02:30:00Z"]);
    assert_eq!(due("30 2 * * *", "Asia/Kathmandu", "2026-01-01T00:00:00Z", 1), ["2026-01-01T20:45:00Z"]);
    assert_eq!(due("@daily", "America/New_York", "2026-01-01T00:00:00Z", 1), ["2026-01-01T05:00:00Z"]);
    assert_eq!(due("@weekly", "UTC", "2026-01-01T00:00:00Z", 1), ["2026-01-04T00:00:00Z"]);
    assert_eq!(due("0 6 * * MON-FRI", "UTC", "2026-01-02T06:00:00Z", 1), ["2026-01-05T06:00:00Z"]);
    assert_eq!(due("0 0 L * *", "UTC", "2026-02-01T00:00:00Z", 1), ["2026-02-28T00:00:00Z"]);
    // A leap year is waited for, and a day that never comes is none.
    assert_eq!(due("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", 1), ["2028-02-29T00:00:00Z"]);
    assert_eq!(due("0 0 30 2 *", "UTC", "2026-01-01T00:00:00Z", 1), [""; 0]);
}

#[test]
fn what_is_no_expression_or_zone_is_refused_by_name() {
    for cron in ["", "* * * *", "* * * * * *", "0 0 * * * * 2030", "60 * * * *", "@fortnightly", "a b c d e"] {
        let error = Times::new(cron, "UTC").unwrap_err();
        assert!(matches!(error, TimesError::Expression { .. }), "{cron}: {error}");
        assert_eq!(error.path(), "cron");
    }
    assert!(Times::new(&"0,".repeat(200), "UTC").is_err());
    for zone in ["", "Mars/Olympus", "Europe/", "+02:00"] {
        let error = Times::new("@daily", zone).unwrap_err();
        assert_eq!(error.path(), "timeZone", "{zone}");
    }
}

#[test]
fn a_fixed_time_that_the_clock_leaps_over_comes_right_after_the_leap() {
    // In Berlin 02:00 became 03:00 on the 29th of March 2026, at 01:00 UTC.
    assert_eq!(
        due("30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", 3),
        ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
    );
    // What recurs within hours has nothing to make up for.
    assert_eq!(
        due("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:15:00Z", 3),
        ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]
    );
}

#[test]
fn a_fixed_time_that_comes_twice_is_due_once_and_what_recurs_in_both() {
    // In Berlin 03:00 became 02:00 on the 25th of October 2026, at 01:00 UTC.
    assert_eq!(
        due("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
        ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
    );
    assert_eq!(
        due("*/30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 4),
        ["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"]
    );
}

const EXPRESSIONS: [&str; 8] =
    ["30 2 * * *", "0 3 * * *", "*/7 * * * *", "15 1-4 * * *", "@daily", "@hourly", "0 0 1 * *", "45 23 * * SUN"];
const ZONES: [&str; 6] =
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo"];

proptest! {
    /// The orchestrators come at their own times and must agree on what was due.
    #[test]
    fn due_times_do_not_depend_on_when_one_looks(
        cron in proptest::sample::select(&EXPRESSIONS[..]),
        zone in proptest::sample::select(&ZONES[..]),
        start in 0_i64..400 * 86_400,
        looks in proptest::collection::vec(0_i64..86_400, 1..20),
    ) {
        let times = Times::new(cron, zone).unwrap();
        let start = at("2026-01-01T00:00:00Z").plus_seconds(start);
        let end = start.plus_seconds(looks.iter().sum());
        let all: Vec<Timestamp> = times.after(start).take_while(|time| *time <= end).collect();
        let mut now = start;
        for look in looks {
            let from = now;
            now = now.plus_seconds(look);
            let expected: Vec<Timestamp> = all.iter().copied().filter(|time| from < *time && *time <= now).collect();
            let found: Vec<Timestamp> = times.after(from).take_while(|time| *time <= now).collect();
            prop_assert_eq!(&found, &expected);
            prop_assert_eq!(times.newest(from.plus_seconds(1), now), expected.last().copied());
        }
        prop_assert!(all.windows(2).all(|pair| pair[1].as_micros() - pair[0].as_micros() >= 60_000_000));
    }
}
