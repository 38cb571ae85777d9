//! Points in time as people give them to commands and settings.

use super::time_text::{TextFault, format_seconds, parse_seconds};
use crate::detector::time::in_range;

/// Whole seconds since 1970 UTC of an RFC 3339 text, which must have an offset from UTC and lie in
/// the years 2000 to 2099.
///
/// # Errors
/// What is wrong with the text and how to write it.
pub fn parse_moment(text: &str) -> Result<i64, String> {
    const HOW: &str = "write a time like 2026-03-02T08:00:00Z or 2026-03-02T09:00:00+01:00";
    match parse_seconds(text) {
        Ok(seconds) if in_range(seconds) => Ok(seconds),
        Ok(_) => Err(format!("\"{text}\" lies outside the years 2000 to 2099")),
        Err(TextFault::FarOffset) => {
            Err(format!("\"{text}\" has an offset from UTC that no place has; {HOW}"))
        }
        Err(TextFault::NoOffset) => Err(format!("\"{text}\" has no offset from UTC; {HOW}")),
        Err(TextFault::Unreadable) => Err(format!("\"{text}\" is no time; {HOW}")),
    }
}

/// RFC 3339 in UTC with seconds.
pub fn format_moment(seconds: i64) -> String {
    format_seconds(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_needs_an_offset_and_a_year_of_this_century() {
        assert_eq!(parse_moment("2000-01-01T00:00:00Z"), Ok(946_684_800));
        assert_eq!(parse_moment("2026-03-02T09:00:00.999+01:00"), Ok(1_772_438_400));
        assert!(parse_moment("2026-03-02T09:00:00").unwrap_err().contains("no offset"));
        assert!(parse_moment("1999-12-31T23:59:59Z").unwrap_err().contains("2000 to 2099"));
        assert!(parse_moment("2100-01-01T00:00:00Z").unwrap_err().contains("2000 to 2099"));
        assert!(parse_moment("yesterday").unwrap_err().contains("is no time"));
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        assert_eq!(format_moment(1_772_438_400), "2026-03-02T08:00:00Z");
    }
}
