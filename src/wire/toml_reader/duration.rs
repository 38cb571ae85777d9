//! Durations as people write them: "48h", "7d", "1h30m", "500ms".

use std::time::Duration;

/// Longest duration that is read: a thousand years. Nobody means more.
const LONGEST_MILLIS: u64 = 365_250 * 86_400_000;

const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration: whole numbers, each with one of the units d, h, m, s and ms, in falling order.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let malformed = || {
        format!(
            "\"{text}\" is no duration; write whole numbers with units, for instance \"48h\", \"7d\", \"1h30m\" or \"500ms\""
        )
    };
    if is_business_days(text) {
        return Err(format!(
            "\"{text}\": business days need calendars, which are not built yet; write hours or days"
        ));
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut last_unit = u64::MAX;
    while !rest.is_empty() {
        let (digits, after) = split_where(rest, |c| !c.is_ascii_digit());
        let (unit, after) = split_where(after, |c| !c.is_ascii_alphabetic());
        let (_, unit) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(malformed)?;
        if digits.is_empty() || unit >= last_unit {
            return Err(malformed());
        }
        let millis = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(unit));
        total = millis
            .and_then(|millis| total.checked_add(millis))
            .filter(|total| *total <= LONGEST_MILLIS)
            .ok_or_else(|| format!("\"{text}\" is too long a time"))?;
        last_unit = unit;
        rest = after;
    }
    if last_unit == u64::MAX { Err(malformed()) } else { Ok(Duration::from_millis(total)) }
}

fn is_business_days(text: &str) -> bool {
    text.strip_suffix("bd")
        .is_some_and(|count| !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit()))
}

fn split_where(text: &str, end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(end).unwrap_or(text.len()))
}

/// Writes a duration the way [`parse_duration`] reads it.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    let mut text = String::new();
    for (name, unit) in UNITS {
        let count = rest / u128::from(unit);
        if count > 0 {
            text.push_str(&format!("{count}{name}"));
            rest %= u128::from(unit);
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let millis = |text| parse_duration(text).map(|duration| duration.as_millis());
        assert_eq!(millis("48h"), Ok(172_800_000));
        assert_eq!(millis("7d"), Ok(604_800_000));
        assert_eq!(millis("10m"), Ok(600_000));
        assert_eq!(millis("30s"), Ok(30_000));
        assert_eq!(millis("500ms"), Ok(500));
        assert_eq!(millis("1h30m"), Ok(5_400_000));
        assert_eq!(millis("0s"), Ok(0));
    }

    #[test]
    fn what_is_no_duration_says_how_to_write_one() {
        for text in ["", "48", "h", "48 h", "-1h", "1.5h", "30m1h", "1h1h", "2weeks", "h2", "½h"] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains("is no duration"), "{text}: {error}");
        }
        for text in ["99999999999999999999d", "999999999999d", "400000d"] {
            assert!(parse_duration(text).unwrap_err().contains("too long"), "{text}");
        }
    }

    #[test]
    fn business_days_say_that_calendars_are_not_built_yet() {
        assert!(parse_duration("2bd").unwrap_err().contains("not built yet"));
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["48h", "7d", "1d2h3m4s5ms", "500ms", "0s"] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
        assert_eq!(format_duration(Duration::from_secs(5_400)), "1h30m");
    }
}
