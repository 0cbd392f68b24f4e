//! The place of a run in a distributed trace, as W3C Trace Context writes it.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::RunId;

/// What follows from a request hangs below this: trace, the span to hang below, and whether the trace is recorded
/// (`traceparent` of W3C Trace Context, <https://www.w3.org/TR/trace-context/>).
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceParent {
    trace: u128,
    span: u64,
    sampled: bool,
}

/// Why a text is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent: `00-`, 32 hex digits, `-`, 16 hex digits, `-`, 2 hex digits, in lower case and not all 0")]
pub struct ParseTraceParentError;

impl TraceParent {
    /// The beginning of a trace; `None` where an id is 0, which W3C Trace Context forbids.
    pub fn root(trace: u128, span: u64) -> Option<Self> {
        (trace != 0 && span != 0).then_some(Self { trace, span, sampled: true })
    }

    /// The trace of a run that was written without one: its id is that of the run, and nothing is above its spans.
    pub fn of_run(run: &RunId) -> Self {
        // A ULID has the 128 bits of a trace id.
        let trace = run.bits().max(1);
        Self { trace, span: 0, sampled: true }
    }

    /// A span below this one.
    #[must_use]
    pub fn child(self, span: u64) -> Self {
        Self { span: span.max(1), ..self }
    }

    /// Id of the trace: 32 hex digits.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }

    /// Id of the span: 16 hex digits; `None` where nothing is above.
    pub fn span_id(self) -> Option<String> {
        (self.span != 0).then(|| format!("{:016x}", self.span))
    }

    /// Whether whoever began the trace wants it recorded.
    pub fn is_sampled(self) -> bool {
        self.sampled
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TraceParent {
    type Err = ParseTraceParentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        fn hex(text: &str, digits: usize) -> Result<u128, ParseTraceParentError> {
            let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            if text.len() != digits || !text.bytes().all(is_hex) {
                return Err(ParseTraceParentError);
            }
            u128::from_str_radix(text, 16).map_err(|_| ParseTraceParentError)
        }
        let mut fields = text.split('-');
        let mut next = || fields.next().ok_or(ParseTraceParentError);
        let version = hex(next()?, 2)?;
        let trace = hex(next()?, 32)?;
        let span = u64::try_from(hex(next()?, 16)?).map_err(|_| ParseTraceParentError)?;
        let flags = hex(next()?, 2)?;
        // A later version may say more behind the flags; ours is the part that we know of.
        let has_more = fields.next().is_some();
        if version == 0xff || (version == 0 && has_more) || trace == 0 || span == 0 {
            return Err(ParseTraceParentError);
        }
        Ok(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

impl TryFrom<String> for TraceParent {
    type Error = ParseTraceParentError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TraceParent> for String {
    fn from(parent: TraceParent) -> Self {
        parent.to_string()
    }
}

impl JsonSchema for TraceParent {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TraceParent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "The place of a run in a distributed trace: `traceparent` of W3C Trace Context.",
            "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::TraceParent;
    use crate::RunId;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_written_as_it_was_read() {
        let parent: TraceParent = GOOD.parse().unwrap();
        assert_eq!(parent.to_string(), GOOD);
        assert_eq!(parent.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(parent.span_id().as_deref(), Some("00f067aa0ba902b7"));
        assert!(parent.is_sampled() && !GOOD.replace("-01", "-00").parse::<TraceParent>().unwrap().is_sampled());
        let child = parent.child(7);
        assert_eq!((child.trace_id(), child.span_id().as_deref()), (parent.trace_id(), Some("0000000000000007")));
    }

    #[test]
    fn what_the_recommendation_forbids_is_refused_and_later_versions_are_read_as_far_as_they_are_known() {
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(bad.parse::<TraceParent>().is_err(), "{bad}");
        }
        let later: TraceParent = format!("{}-more", GOOD.replacen("00", "01", 1)).parse().unwrap();
        assert_eq!(later.to_string(), GOOD);
    }

    #[test]
    fn a_run_without_one_has_a_trace_of_its_own_with_nothing_above() {
        let of = |number| TraceParent::of_run(&RunId::from_parts(1, number));
        assert_eq!(of(1), of(1));
        assert_ne!(of(1).trace_id(), of(2).trace_id());
        assert_eq!(of(1).span_id(), None);
    }
}
