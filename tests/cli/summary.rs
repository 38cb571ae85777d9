use serde_json::{Value, json};

use crate::{Folder, STALLED, scan, stalls, told};

/// Stalls, one alarm that the feed raised by being late, a broken line and one behind the end.
fn log() -> String {
    let late = scan("03T08", "1Z-4", "departed", "\"log_time\":\"2026-03-06T00:00:00Z\"");
    let after = scan("20T08", "1Z-9", "arrived", "\"log_time\":\"2026-03-20T08:00:00Z\"");
    let early = scan("02T10", "1Z-4", "arrived", "");
    let stalls = stalls();
    let mut lines: Vec<_> = stalls.split_inclusive('\n').collect();
    lines.insert(2, &early);
    lines.extend(["nonsense\n", &late, &after]);
    lines.concat()
}

const UNTIL: [&str; 3] = ["--until", "2026-03-07T00:00:00Z", "--summary"];

#[test]
fn a_summary_for_scripts_has_every_count() {
    let folder = Folder::new();
    let mut arguments = UNTIL.to_vec();
    let output = folder.at("out");
    arguments.extend(["-o", "json", "--output", &output]);
    let ran = folder.replay(log(), &arguments).with(0);
    let summary: Value = serde_json::from_str(ran.text()).unwrap();
    assert_eq!(summary["records"], 8);
    assert_eq!(summary["scans"], 6);
    assert_eq!(summary["rejected"], 1);
    assert_eq!(summary["rejected_by_reason"], json!({ "not_json": 1 }));
    assert_eq!(summary["skipped_after_until"], 1);
    assert_eq!(summary["partitions"], 1);
    assert_eq!(
        summary["log_time"],
        json!({ "first": "2026-03-02T08:00:00Z", "last": "2026-03-06T00:00:00Z" })
    );
    assert_eq!(summary["outcomes"], json!({ "applied": 6 }));
    assert_eq!(summary["packages"], json!({ "awaiting_first_scan": 1, "moving": 2, "settled": 1 }));
    let exceptions = &summary["exceptions"];
    let counts = |opened: u64, escalated: u64, resolved: u64, retracted: u64| json!({ "opened": opened, "escalated": escalated, "resolved": resolved, "retracted": retracted, "expired": 0 });
    assert_eq!(exceptions["by_kind"]["missing_first_scan"], counts(1, 0, 0, 0));
    assert_eq!(exceptions["by_kind"]["no_movement"], counts(3, 0, 1, 1));
    assert_eq!(exceptions["by_carrier"], json!({ "ups": counts(4, 0, 1, 1) }));
    assert_eq!(exceptions["total"], counts(4, 0, 1, 1));
    assert_eq!(
        exceptions["open_at_end"]["missing_first_scan"],
        json!({ "notice": 0, "warning": 1, "critical": 0 })
    );
    assert_eq!(exceptions["retracted_share"], 0.25);
    let longest = summary["longest_silences"].as_array().unwrap();
    assert_eq!(longest[0]["tracking_number"], "1Z2");
    assert_eq!(longest[0]["end"], "open");
    assert_eq!(longest[0]["silent_for_s"], (4 * 24 + 15) * 3_600);
    let seconds: Vec<_> = longest.iter().map(|silence| silence["silent_for_s"].as_i64()).collect();
    assert!(seconds.is_sorted_by(|a, b| a >= b), "{seconds:?}");
}

#[test]
fn a_summary_for_people_tells_the_same() {
    let folder = Folder::new();
    let mut arguments = UNTIL.to_vec();
    let output = folder.at("out");
    arguments.extend(["--output", &output]);
    let ran = folder.replay(log(), &arguments).with(0);
    let page = ran.text();
    for line in [
        "records     8",
        "scans       6 applied",
        "rejected    1 not_json",
        "skipped     1 logged after --until",
        "log time    2026-03-02T08:00:00Z to 2026-03-06T00:00:00Z",
        "packages    1 awaiting_first_scan, 2 moving, 1 settled",
        "retracted share 25.0 %: ups 25.0 %",
        "longest silences",
    ] {
        assert!(page.lines().any(|present| present == line), "{line}\nis not in\n{page}");
    }
    let row = |name: &str| page.lines().find(|line| line.starts_with(name)).unwrap();
    let cells = |name: &str| row(name).split_whitespace().skip(1).collect::<Vec<_>>().join(" ");
    assert_eq!(cells("exceptions"), "opened escalated resolved retracted expired open");
    assert_eq!(cells("missing_first_scan"), "1 0 0 0 0 1");
    assert_eq!(cells("no_movement"), "3 0 1 1 0 1");
    assert_eq!(cells("ups"), "4 0 1 1 0 2");
    assert!(page.contains("4d15h  ups 1Z2 missing_first_scan, warning, open, after label_created"));
    assert!(page.lines().last().unwrap().ends_with("records/s"), "{page}");
}

#[test]
fn words_that_are_unknown_are_told_by_carrier_and_text_and_case_makes_none() {
    let folder = Folder::new();
    let lines = [
        scan("02T08", "1Z1", "DEPARTED", ""),
        scan("02T09", "1Z2", "sorted", ""),
        scan("02T10", "1Z2", "sorted", "\"evidence\":\"hearsay\""),
        scan("20T08", "1Z2", "behind the end", ""),
    ];
    let output = folder.at("out");
    let mut arguments = UNTIL.to_vec();
    arguments.extend(["--output", &output]);
    let ran = folder.replay(lines.concat(), &arguments).with(0);
    let texts = "2 ups milestone \"sorted\", 1 ups evidence \"hearsay\"";
    let warned = format!(
        "warning: texts that are none of the vocabulary count as info, evidence as predicted: {texts}"
    );
    assert_eq!(ran.stderr.trim_end(), warned);
    let line = format!("unknown     {texts}");
    assert!(ran.text().lines().any(|present| present == line), "{}", ran.text());
    arguments.extend(["-o", "json"]);
    let ran = folder.replay(lines.concat(), &arguments).with(0);
    let summary: Value = serde_json::from_str(ran.text()).unwrap();
    let row = |field: &str, text: &str, count: u64| json!({ "carrier": "ups", "field": field, "text": text, "count": count });
    let texts = json!([row("milestone", "sorted", 2), row("evidence", "hearsay", 1)]);
    assert_eq!(summary["unknown_texts"], texts);
}

#[test]
fn a_summary_stays_out_of_the_way_of_exceptions() {
    let folder = Folder::new();
    let ran = folder.replay(stalls(), &["--summary"]).with(0);
    assert_eq!(ran.told(), STALLED);
    assert!(ran.stderr.contains("retracted share 0.0 %"), "{}", ran.stderr);
    let ran = folder.replay(stalls(), &["--summary", "-o", "json"]).with(0);
    assert_eq!(ran.told(), STALLED);
    assert!(serde_json::from_str::<Value>(&ran.stderr).is_ok(), "{}", ran.stderr);
    let output = folder.at("out");
    let ran = folder.replay(stalls(), &["--summary", "--output", &output]).with(0);
    assert_eq!(ran.stderr, "");
    assert!(ran.text().contains("retracted share"));
    assert_eq!(told(std::str::from_utf8(&folder.read("out")).unwrap()), STALLED);
}

#[test]
fn a_summary_of_nothing_says_so() {
    let ran = Folder::new().replay("", &["--summary"]).with(0);
    assert!(ran.stderr.contains("no exceptions"), "{}", ran.stderr);
    let ran = Folder::new().replay("", &["--summary", "-o", "json"]).with(0);
    let summary: Value = serde_json::from_str(ran.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(summary["records"], 0);
    assert_eq!(summary["log_time"], Value::Null);
    assert_eq!(summary["exceptions"]["retracted_share"], Value::Null);
}
