//! Simulated time: seconds since 1970 UTC, over three weeks that begin on a Monday.

/// Seconds of a minute.
pub const MINUTE: i64 = 60;
/// Seconds of an hour.
pub const HOUR: i64 = 3_600;
/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// 2026-03-02T00:00:00Z, a Monday: the first second of the demo.
pub const START: i64 = 1_772_409_600;
/// Three weeks later: the demo's frontier comes to rest here.
pub const END: i64 = START + 21 * DAY;

/// `day 12, Fri 13:05`: a simulated second as a person reads it, days counted from 1.
pub fn display(seconds: i64) -> String {
    const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let day = (seconds - START).div_euclid(DAY);
    let second = seconds.rem_euclid(DAY);
    let weekday = WEEKDAYS[day.rem_euclid(7) as usize];
    format!("day {:2}, {weekday} {:02}:{:02}", day + 1, second / HOUR, second % HOUR / MINUTE)
}

/// `3d 4h`, `5h 10m`, `20m`, `12s`: a span in its largest unit and the next.
pub fn display_span(seconds: i64) -> String {
    let (large, small) = match seconds {
        DAY.. => ((DAY, "d"), Some((HOUR, "h"))),
        HOUR.. => ((HOUR, "h"), Some((MINUTE, "m"))),
        MINUTE.. => ((MINUTE, "m"), Some((1, "s"))),
        _ => ((1, "s"), None),
    };
    let first = format!("{}{}", seconds / large.0, large.1);
    match small.map(|(size, unit)| (seconds % large.0 / size, unit)) {
        None | Some((0, _)) => first,
        Some((count, unit)) => format!("{first} {count}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_begins_on_a_monday() {
        assert_eq!(display(START), "day  1, Mon 00:00");
        assert_eq!(display(START + 11 * DAY + 13 * HOUR + 5 * MINUTE), "day 12, Fri 13:05");
    }

    #[test]
    fn spans_show_their_largest_unit_and_the_next() {
        assert_eq!(display_span(3 * DAY + 4 * HOUR + 59), "3d 4h");
        assert_eq!(display_span(20 * MINUTE), "20m");
        assert_eq!(display_span(0), "0s");
        assert_eq!(display_span(HOUR + 5), "1h");
    }
}
