use crate::{Folder, STALLED, run, scan, stalls};

fn until(time: &str) -> [&str; 2] {
    ["--until", time]
}

#[test]
fn what_is_due_by_the_end_happens_and_what_is_not_does_not() {
    let folder = Folder::new();
    let line = scan("02T08", "1Z1", "arrived", "");
    assert_eq!(folder.replay(&line, &[]).with(0).text(), "");
    assert_eq!(folder.replay(&line, &until("2026-03-04T07:59:59Z")).with(0).text(), "");
    let ran = folder.replay(&line, &until("2026-03-04T08:00:00Z")).with(0);
    assert_eq!(ran.told(), ["opened ups:1Z1"]);
    let ran = folder.replay(&line, &until("2026-03-09T09:00:00+01:00")).with(0);
    assert_eq!(ran.told(), ["opened ups:1Z1", "escalated ups:1Z1"]);
}

#[test]
fn nothing_is_forgotten_at_the_end() {
    let line = scan("02T08", "1Z1", "arrived", "");
    let ran = Folder::new().replay(line, &until("2099-12-31T00:00:00Z")).with(0);
    assert_eq!(ran.told(), ["opened ups:1Z1", "escalated ups:1Z1"]);
}

#[test]
fn records_logged_after_the_end_are_skipped_each_for_itself() {
    let logged = |time: &str, number: &str, log_time: &str| {
        scan(time, number, "arrived", &format!("\"log_time\":\"2026-03-{log_time}:00:00Z\""))
    };
    let lines = [
        logged("02T08", "1Z1", "02T08"),
        logged("02T08", "1Z2", "20T00"),
        logged("03T08", "1Z1", "03T08"),
    ]
    .concat();
    let ran = Folder::new().replay(lines, &until("2026-03-05T09:00:00Z")).with(0);
    assert_eq!(ran.told(), ["opened ups:1Z1"]);
    assert!(ran.text().contains("\"deadline\":\"2026-03-05T08:00:00Z\""));
}

#[test]
fn records_of_the_last_second_count() {
    let folder = Folder::new();
    let ran = folder.replay(stalls(), &until("2026-03-05T08:00:00Z")).with(0);
    assert_eq!(ran.told(), STALLED);
    let ran = folder.replay(stalls(), &until("2026-03-05T07:59:59Z")).with(0);
    assert_eq!(ran.told(), STALLED[..2]);
}

#[test]
fn broken_records_logged_after_the_end_are_skipped_like_others() {
    let line = scan("02T08", &"9".repeat(65), "arrived", "\"log_time\":\"2026-03-06T00:00:00Z\"");
    let folder = Folder::new();
    let ran = folder.replay(&line, &["--strict", "--until", "2026-03-05T00:00:00Z"]).with(0);
    assert_eq!(ran.stderr, "");
    folder.replay(&line, &["--strict", "--until", "2026-03-06T00:00:00Z"]).with(1);
}

#[test]
fn an_end_that_is_no_time_of_this_century_is_wrong_usage() {
    for (time, because) in [
        ("tomorrow", "is no time"),
        ("2026-03-02T08:00:00", "no offset from UTC"),
        ("1999-12-31T23:59:59Z", "outside the years 2000 to 2099"),
        ("2100-01-01T00:00:00Z", "outside the years 2000 to 2099"),
        ("1772438400", "is no time"),
    ] {
        let ran = run(&["replay", "--input", "-", "--policies", "p", "--until", time]).with(2);
        assert!(ran.stderr.contains(because), "{time}: {}", ran.stderr);
    }
}
