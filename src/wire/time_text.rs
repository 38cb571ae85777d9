//! Times as texts: RFC 3339 in and out.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::fmt::temporal::{Pieces, TimeZoneAnnotationKind};

use crate::detector::time::floor_to_seconds;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Digits of a fraction of a second that the library reads.
const DIGITS: usize = 9;

/// Why a text is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextFault {
    /// A date and a time of day, but of which offset from UTC is not said.
    NoOffset,
    /// An offset from UTC of a day or more, or of more than any zone has.
    FarOffset,
    /// No date with a time of day.
    Unreadable,
}

/// A date and a time of day as a text has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// What the clock on the wall shows, in whole seconds since 1970 there, floored.
    pub(crate) local: i64,
    /// How far that clock is ahead of UTC, in seconds.
    offset: Option<i64>,
}

impl Written {
    pub(crate) fn parse(text: &str) -> Result<Self, TextFault> {
        match Pieces::parse(text) {
            Ok(pieces) => Self::of(&pieces),
            Err(_) => {
                let text = with_fewer_digits(text).ok_or(TextFault::Unreadable)?;
                Self::of(&Pieces::parse(&*text).map_err(|_| TextFault::Unreadable)?)
            }
        }
    }

    fn of(pieces: &Pieces<'_>) -> Result<Self, TextFault> {
        let time = pieces.time().ok_or(TextFault::Unreadable)?;
        let of_day = i64::from(time.hour()) * HOUR
            + i64::from(time.minute()) * MINUTE
            + i64::from(time.second());
        let offset = pieces.to_numeric_offset().map(|offset| i64::from(offset.seconds()));
        let zone = pieces.time_zone_annotation().and_then(|zone| match zone.kind() {
            TimeZoneAnnotationKind::Offset(offset) => Some(i64::from(offset.seconds())),
            _ => None,
        });
        if offset.is_some_and(|offset| offset.abs() >= DAY)
            || zone.is_some_and(|zone| zone.abs() > 14 * HOUR)
        {
            return Err(TextFault::FarOffset);
        }
        Ok(Self { local: start_of(pieces.date()) + of_day, offset })
    }

    /// Whole seconds since 1970 UTC, floored.
    pub(crate) fn utc(self) -> Result<i64, TextFault> {
        self.offset.map(|offset| self.local - offset).ok_or(TextFault::NoOffset)
    }
}

/// Seconds from 1970 to the beginning of a day, by the clock that the day is told by.
pub(crate) fn start_of(date: Date) -> i64 {
    date.duration_since(Date::constant(1970, 1, 1)).as_secs()
}

/// The text without the digits of its fraction that are too many: nothing is finer than a second
/// here.
fn with_fewer_digits(text: &str) -> Option<Cow<'_, str>> {
    let fraction = text.find(['.', ','])? + 1;
    let length = text[fraction..].bytes().take_while(u8::is_ascii_digit).count();
    let kept = &text[..fraction + DIGITS.min(length)];
    (length > DIGITS).then(|| format!("{kept}{}", &text[fraction + length..]).into())
}

/// Whole seconds since 1970 UTC, floored.
pub(crate) fn parse_seconds(text: &str) -> Result<i64, TextFault> {
    Written::parse(text)?.utc()
}

/// `2026-03-04T08:00:00Z`; for a time beyond the calendar its seconds.
pub(crate) fn format_seconds(seconds: i64) -> String {
    match Timestamp::from_second(seconds) {
        Ok(timestamp) => timestamp.to_string(),
        Err(_) => format!("{seconds} s after 1970"),
    }
}

/// `2026-03-04T08:00:00.123Z`, without a fraction where it is none.
pub(crate) fn format_millis(millis: i64) -> String {
    match Timestamp::from_millisecond(millis) {
        Ok(timestamp) => timestamp.to_string(),
        Err(_) => format_seconds(floor_to_seconds(millis)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EIGHT: i64 = 1_772_438_400;

    #[test]
    fn one_instant_has_many_texts() {
        for text in [
            "2026-03-02T08:00:00Z",
            "2026-03-02t08:00:00z",
            "2026-03-02T08:00:00.999Z",
            "2026-03-02T08:00:00+00:00",
            "2026-03-02T03:00:00-05:00",
            "2026-03-02 13:30:00+05:30",
            "2026-03-03T07:59:00+23:59",
            "2026-03-01T08:01:00-23:59",
            "2026-03-02T09:00:00+01:00[Europe/Berlin]",
            "2026-03-02T22:00:00+14:00[+14:00]",
        ] {
            assert_eq!(parse_seconds(text), Ok(EIGHT), "{text}");
        }
        assert_eq!(parse_seconds("1969-12-31T23:59:59.5Z"), Ok(-1));
        assert_eq!(parse_seconds("9999-12-31T23:59:59Z"), Ok(253_402_300_799));
        assert_eq!(parse_seconds("0001-01-01T00:00:00Z"), Ok(-62_135_596_800));
        assert_eq!(format_seconds(EIGHT), "2026-03-02T08:00:00Z");
        assert_eq!(format_millis(EIGHT * 1000 + 120), "2026-03-02T08:00:00.12Z");
    }

    #[test]
    fn a_fraction_may_have_any_number_of_digits() {
        for digits in [1, 9, 10, 22, 300] {
            for (sign, zone) in [('.', "Z"), (',', "+00:00")] {
                let text = format!("2026-03-02T08:00:00{sign}{}{zone}", "9".repeat(digits));
                assert_eq!(parse_seconds(&text), Ok(EIGHT), "{text}");
            }
        }
        let local = format!("2026-03-02T08:00:00.{}", "0".repeat(12));
        assert_eq!(parse_seconds(&local), Err(TextFault::NoOffset));
        for text in ["2026-03-02T08:00:00.Z", "2026-03-02T08:00.1234567890Z0", "1.12345678901é"] {
            assert_eq!(parse_seconds(text), Err(TextFault::Unreadable), "{text}");
        }
    }

    #[test]
    fn a_text_without_an_offset_is_not_guessed() {
        assert_eq!(parse_seconds("2026-03-02T08:00:00"), Err(TextFault::NoOffset));
        assert_eq!(parse_seconds("2026-03-02T08:00:00[Europe/Berlin]"), Err(TextFault::NoOffset));
    }

    #[test]
    fn an_offset_of_a_day_or_more_is_none() {
        for offset in ["+24:00", "-24:00", "+25:00", "+25:59", "-25:59:59", "+14:00[+15:00]"] {
            let text = format!("2026-03-02T08:00:00{offset}");
            assert_eq!(parse_seconds(&text), Err(TextFault::FarOffset), "{text}");
        }
        for offset in ["+26:00", "+99:00", "+01:60"] {
            let text = format!("2026-03-02T08:00:00{offset}");
            assert_eq!(parse_seconds(&text), Err(TextFault::Unreadable), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_time_says_so() {
        for text in ["", "soon", "2026-03-02", "1772438400000", "2026-02-30T08:00:00Z"] {
            assert_eq!(parse_seconds(text), Err(TextFault::Unreadable), "{text}");
        }
    }
}
