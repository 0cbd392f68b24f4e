//! When a schedule is due.
//!
//! A cron expression of five fields, read in an IANA time zone. The zones are those of this build, not of the machine: any
//! two orchestrators of a version agree. At daylight-saving changes the rule is that of the Open Cron Pattern Specification,
//! which `croner` keeps: a job at one fixed time of day that the clock leaps over runs at the first minute after the leap,
//! and one whose time comes twice runs the first time; a job that recurs within hours skips what does not exist and runs
//! in both of what comes twice.

use std::cmp::Ordering;

use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::{CivilDate, CivilDateTime, CivilTime, Cron, CronDateTime, Resolution, Weekday};
use export_contract::Timestamp;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, ZonedDateTime};

/// Longest expression, bytes.
const MAX_EXPRESSION: usize = 256;

/// The times of a schedule.
#[derive(Clone, Debug)]
pub struct Times {
    cron: Cron,
    zone: TimeZone,
}

/// Why an expression or a zone is none; the path of the member at fault is `cron` or `timeZone`.
#[derive(Debug, thiserror::Error)]
pub enum TimesError {
    /// The expression cannot be read.
    #[error(
        "`{expression}` is not a cron expression of five fields such as `30 2 * * *`, nor a nickname such as `@daily`: {cause}"
    )]
    Expression {
        /// The expression.
        expression: String,
        /// What is wrong with it.
        cause: String,
    },
    /// No zone of that name.
    #[error("`{zone}` is not an IANA time zone such as `Europe/Berlin` or `UTC`")]
    Zone {
        /// The name.
        zone: String,
        /// What the time zone database says.
        #[source]
        cause: jiff::Error,
    },
}

impl TimesError {
    /// The member at fault.
    pub fn path(&self) -> &'static str {
        match self {
            Self::Expression { .. } => "cron",
            Self::Zone { .. } => "timeZone",
        }
    }
}

impl Times {
    /// Reads an expression and a zone.
    ///
    /// # Errors
    /// When one of them is none.
    pub fn new(expression: &str, zone: &str) -> Result<Self, TimesError> {
        let refuse =
            |cause: String| TimesError::Expression { expression: expression.chars().take(80).collect(), cause };
        if expression.len() > MAX_EXPRESSION {
            return Err(refuse(format!("it is longer than {MAX_EXPRESSION} bytes")));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(expression.trim()).map_err(|cause| refuse(cause.to_string()))?;
        let zone = TimeZoneDatabase::bundled()
            .get(zone)
            .map_err(|cause| TimesError::Zone { zone: zone.chars().take(80).collect(), cause })?;
        Ok(Self { cron, zone })
    }

    /// The first due time after `after`; `None` where no time to come is meant, such as the 30th of February.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = jiff::Timestamp::from_microsecond(after.as_micros()).ok()?.to_zoned_datetime(self.zone.clone());
        let next = self.cron.find_next_occurrence(&Local(after), false).ok()?;
        Timestamp::from_micros(next.0.timestamp().as_microsecond()).ok()
    }

    /// The due times after `after`, in their order.
    pub fn after(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.next(after), |time| self.next(*time))
    }

    /// The newest due time that is `from` or later, and `now` or before.
    pub fn newest(&self, from: Timestamp, now: Timestamp) -> Option<Timestamp> {
        self.after(from.plus_seconds(-1)).take_while(|time| *time <= now).last()
    }
}

/// A time of a zone's clock, as the search wants it.
#[derive(Clone, Debug)]
struct Local(ZonedDateTime);

/// Numbers of a calendar are small and not negative.
fn part(number: impl Into<i32>) -> u32 {
    u32::try_from(number.into()).unwrap_or(0)
}

impl CronDateTime for Local {
    fn to_civil(&self) -> CivilDateTime {
        let at = self.0.datetime();
        let date = CivilDate::from_ymd_opt(i32::from(at.year()), part(at.month()), part(at.day()));
        let time = CivilTime::from_hms_opt(part(at.hour()), part(at.minute()), part(at.second()));
        // Both are what jiff took for a date and a time; the fallback is never met.
        date.zip(time).map_or_else(epoch, |(date, time)| CivilDateTime::new(date, time))
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(part(self.0.weekday().to_sunday_zero_offset()))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let small = |number: u32| i8::try_from(number).map_err(|_| CronError::InvalidTime);
        let date = jiff::civil::DateTime::new(
            i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?,
            small(civil.month())?,
            small(civil.day())?,
            small(civil.hour())?,
            small(civil.minute())?,
            small(civil.second())?,
            0,
        )
        .map_err(|_| CronError::InvalidDate)?;
        let found = self.0.time_zone().to_ambiguous_zoned_datetime(date);
        let invalid = |_| CronError::InvalidTime;
        Ok(match found.offset() {
            AmbiguousOffset::Unambiguous { .. } => Resolution::Single(Self(found.unambiguous().map_err(invalid)?)),
            AmbiguousOffset::Fold { .. } => Resolution::Ambiguous(
                Self(found.clone().earlier().map_err(invalid)?),
                Self(found.later().map_err(invalid)?),
            ),
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(SignedDuration::from_secs(seconds)).ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.timestamp().cmp(&other.0.timestamp())
    }
}

fn epoch() -> CivilDateTime {
    let (Some(date), Some(time)) = (CivilDate::from_ymd_opt(1970, 1, 1), CivilTime::from_hms_opt(0, 0, 0)) else {
        unreachable!("1970-01-01T00:00:00 is a time")
    };
    CivilDateTime::new(date, time)
}
