//! What feeds send where they have no time: stand-ins, which count as a missing event time.

use jiff::civil::Date;

use crate::wire::time_text::{Written, start_of};

const DAY: i64 = 86_400;

/// The stand-ins where nothing else is said.
pub const NO_TIME: [&str; 5] =
    ["0001-01-01", "1900-01-01", "1970-01-01", "2000-01-01", "9999-12-31"];

/// The last day of the calendar stands for no time all day long, each other one at its beginning.
const LAST_DAY: &str = "9999-12-31";

/// Which event times are none.
///
/// A date is meant at 00:00:00 of any offset from UTC, also where a text does not say which; a
/// number is meant in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoTime {
    /// First second and first one behind it, since 1970.
    spans: Vec<(i64, i64)>,
}

impl Default for NoTime {
    fn default() -> Self {
        Self::of(NO_TIME).expect("they are dates")
    }
}

impl NoTime {
    /// From dates such as `1970-01-01`.
    ///
    /// # Errors
    /// The first that is none.
    pub fn of<'t>(dates: impl IntoIterator<Item = &'t str>) -> Result<Self, String> {
        let spans = dates.into_iter().map(|text| {
            let date: Option<Date> = text.parse().ok().filter(|_| text.len() == LAST_DAY.len());
            let date =
                date.ok_or_else(|| format!("\"{text}\" is no date; write one such as 1970-01-01"))?;
            let start = start_of(date);
            Ok((start, start + if text == LAST_DAY { DAY } else { 1 }))
        });
        Ok(Self { spans: spans.collect::<Result<_, String>>()? })
    }

    /// Whether a time in whole seconds since 1970 UTC is none.
    #[inline]
    pub(super) fn is(&self, seconds: i64) -> bool {
        self.spans.iter().any(|(start, end)| (*start..*end).contains(&seconds))
    }

    /// The same of a text.
    pub(super) fn is_written(&self, written: Written) -> bool {
        self.is(written.local) || written.utc().is_ok_and(|seconds| self.is(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_none(text: &str) -> bool {
        NoTime::default().is_written(Written::parse(text).unwrap())
    }

    #[test]
    fn a_date_is_meant_at_midnight_of_any_offset_and_the_last_one_all_day() {
        for date in NO_TIME {
            for behind in ["Z", "", "+00:00", "-05:00", "+05:30", "+14:00", "-23:59"] {
                assert!(is_none(&format!("{date}T00:00:00{behind}")), "{date} {behind}");
                assert!(is_none(&format!("{date}T00:00:00.000{behind}")), "{date} {behind}");
                let later = is_none(&format!("{date}T00:00:01{behind}"));
                assert_eq!(later, date == LAST_DAY, "{date} {behind}");
            }
        }
        assert!(is_none("9999-12-31T23:59:59.9999999"));
        assert!(is_none("1970-01-01T01:00:00+01:00"), "a text of the instant that a number names");
        assert!(!is_none("1999-12-31T23:59:59Z") && !is_none("2000-01-02T00:00:00Z"));
    }

    #[test]
    fn a_number_is_meant_in_utc() {
        let no_time = NoTime::default();
        for seconds in [0, -62_135_596_800, -2_208_988_800, 946_684_800, 253_402_300_799] {
            assert!(no_time.is(seconds), "{seconds}");
        }
        for seconds in [-1, 1, 3_600, 946_684_801, 253_402_300_800, i64::MIN, i64::MAX] {
            assert!(!no_time.is(seconds), "{seconds}");
        }
    }

    #[test]
    fn the_dates_can_be_others_or_none_at_all() {
        assert!(NoTime::of(["1899-12-30"]).unwrap().is(-2_209_161_600));
        assert!(!NoTime::of([]).unwrap().is(0));
        for text in ["", "1970", "1970-01-01T00:00:00Z", "1970-13-01", "19700101", "tomorrow"] {
            assert!(NoTime::of([text]).unwrap_err().contains(text), "{text}");
        }
    }
}
