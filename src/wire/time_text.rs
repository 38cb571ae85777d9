//! Times as texts: RFC 3339 in and out.

use jiff::Timestamp;
use jiff::fmt::temporal::Pieces;

use crate::detector::time::floor_to_seconds;

/// Why a text is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextFault {
    /// A date and a time of day, but of which offset from UTC is not said.
    NoOffset,
    /// A calendar year whose instants the program does not count.
    OutOfRange,
    /// No date with a time of day.
    Unreadable,
}

/// Whole seconds since 1970 UTC, floored.
pub(crate) fn parse_seconds(text: &str) -> Result<i64, TextFault> {
    let pieces = Pieces::parse(text).map_err(|_| TextFault::Unreadable)?;
    let time = pieces.time().ok_or(TextFault::Unreadable)?;
    let offset = pieces.to_numeric_offset().ok_or(TextFault::NoOffset)?;
    let timestamp =
        offset.to_timestamp(pieces.date().to_datetime(time)).map_err(|_| TextFault::OutOfRange)?;
    Ok(timestamp.as_second() - i64::from(timestamp.subsec_nanosecond() < 0))
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
        ] {
            assert_eq!(parse_seconds(text), Ok(EIGHT), "{text}");
        }
        assert_eq!(parse_seconds("1969-12-31T23:59:59.5Z"), Ok(-1));
        assert_eq!(format_seconds(EIGHT), "2026-03-02T08:00:00Z");
        assert_eq!(format_millis(EIGHT * 1000 + 120), "2026-03-02T08:00:00.12Z");
    }

    #[test]
    fn a_text_without_an_offset_is_not_guessed() {
        assert_eq!(parse_seconds("2026-03-02T08:00:00"), Err(TextFault::NoOffset));
    }

    #[test]
    fn a_text_that_is_no_time_says_so() {
        for text in ["", "soon", "2026-03-02", "1772438400000", "2026-02-30T08:00:00Z"] {
            assert_eq!(parse_seconds(text), Err(TextFault::Unreadable), "{text}");
        }
        assert_eq!(parse_seconds("9999-12-31T23:59:59Z"), Err(TextFault::OutOfRange));
    }
}
