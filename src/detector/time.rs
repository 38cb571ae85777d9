//! The kinds of time. Each has a type of its own, so that none is taken for another.
//!
//! | type | what it is | who moves it |
//! | --- | --- | --- |
//! | [`EventTime`] | when the carrier says a scan happened; may be late or wrong | the carrier |
//! | [`LogTime`] | when the feed received a record; the greatest so far is a partition's log clock | the log |
//! | [`EffectiveTime`] | the earlier of the two: what a silence is measured from | a scan |
//! | [`Frontier`] | the log up to here is complete and applied | records and evidence |
//! | [`Deadline`] | when a step of a ladder is reached | a policy |
//!
//! All are whole seconds since 1970-01-01T00:00:00Z. Rounding is said once, here: milliseconds are
//! floored, negative ones too. Ties are said once, in [`super::shard`]: what is due in a second
//! happens before anything of that second is applied.

use std::fmt;

/// First second that an event or log time may have: 2000-01-01T00:00:00Z.
pub const FIRST_SECOND: i64 = 946_684_800;
/// First second after the last that an event or log time may have: 2100-01-01T00:00:00Z.
pub const END_SECOND: i64 = 4_102_444_800;

/// Whole seconds from milliseconds since 1970, floored.
pub const fn floor_to_seconds(millis: i64) -> i64 {
    millis.div_euclid(1000)
}

/// Whether a time in whole seconds lies in the years 2000 to 2099.
pub const fn in_range(seconds: i64) -> bool {
    seconds >= FIRST_SECOND && seconds < END_SECOND
}

macro_rules! timeline {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// From whole seconds since 1970 UTC.
            pub const fn from_secs(seconds: i64) -> Self {
                Self(seconds)
            }

            /// From milliseconds since 1970 UTC, floored to the second.
            pub const fn from_millis(millis: i64) -> Self {
                Self(floor_to_seconds(millis))
            }

            /// Whole seconds since 1970 UTC.
            pub const fn secs(self) -> i64 {
                self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    )*};
}

timeline! {
    /// When the carrier says that a scan happened.
    EventTime,
    /// When the feed received a record: the Kafka record's timestamp.
    LogTime,
    /// The earlier of event time and log time. A scan never lies in the future.
    EffectiveTime,
    /// The log of a partition is known to be complete and applied up to this time.
    Frontier,
    /// When a step of a ladder is reached.
    Deadline,
}

impl EffectiveTime {
    /// The earlier of event time and log time; log time where the event time is missing.
    pub fn of(event: Option<EventTime>, log: LogTime) -> Self {
        Self(event.map_or(log.secs(), |event| event.secs().min(log.secs())))
    }
}

impl Frontier {
    /// The frontier that a record of this log time brings.
    pub const fn at(log: LogTime) -> Self {
        Self(log.secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_floored_below_zero_too() {
        assert_eq!(LogTime::from_millis(1_999).secs(), 1);
        assert_eq!(LogTime::from_millis(-1).secs(), -1);
        assert_eq!(LogTime::from_millis(-1_000).secs(), -1);
        assert_eq!(LogTime::from_millis(-1_001).secs(), -2);
    }

    #[test]
    fn a_scan_never_lies_in_the_future() {
        let log = LogTime::from_secs(10);
        let event = |secs| Some(EventTime::from_secs(secs));
        assert_eq!(EffectiveTime::of(event(7), log).secs(), 7);
        assert_eq!(EffectiveTime::of(event(11), log).secs(), 10);
        assert_eq!(EffectiveTime::of(None, log).secs(), 10);
    }
}
