use apache_avro::types::Value;
use apache_avro::{Schema, Writer};

use crate::{Folder, STALLED, of_repository, run, run_with, scan, stalls};

/// The same scans as an Avro container.
fn container(lines: &str) -> Vec<u8> {
    let schema = std::fs::read_to_string(of_repository("schemas/scan-log.v1.avsc")).unwrap();
    let schema = Schema::parse_str(&schema).unwrap();
    let mut writer = Writer::new(&schema, Vec::new()).unwrap();
    for line in lines.lines() {
        let scan: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| scan[name].as_str().map(str::to_owned);
        let time = |name: &str| text(name).map(|text| text.parse::<jiff::Timestamp>().unwrap());
        let null_or = |value: Option<Value>| match value {
            Some(value) => Value::Union(1, Box::new(value)),
            None => Value::Union(0, Box::new(Value::Null)),
        };
        let Schema::Record(record) = &schema else { panic!("a scan is a record") };
        let field = |field: &apache_avro::schema::RecordField| {
            let name = field.name.as_str();
            let value = match name {
                "tracking_number" | "carrier" => Value::String(text(name).unwrap()),
                "milestone" => {
                    let Schema::Enum(of) = &field.schema else { panic!("an enum") };
                    let symbol = text(name).unwrap();
                    let at = of.symbols.iter().position(|known| *known == symbol).unwrap();
                    Value::Enum(at as u32, symbol)
                }
                "evidence" => Value::Enum(0, "physical".to_owned()),
                "attributes" => Value::Map(Default::default()),
                "event_time" | "log_time" => {
                    null_or(time(name).map(|t| Value::TimestampMillis(t.as_millisecond())))
                }
                "partition" => null_or(scan[name].as_i64().map(|n| Value::Int(n as i32))),
                "offset" => null_or(scan[name].as_i64().map(Value::Long)),
                _ => null_or(text(name).map(Value::String)),
            };
            (name.to_owned(), value)
        };
        let fields = record.fields.iter().map(field).collect();
        writer.append_value(Value::Record(fields)).unwrap();
    }
    writer.into_inner().unwrap()
}

#[test]
fn exceptions_come_out_in_the_order_in_which_they_happen() {
    let ran = Folder::new().replay(stalls(), &[]).with(0);
    assert_eq!(ran.told(), STALLED);
    assert_eq!(ran.stderr, "");
}

#[test]
fn an_empty_file_has_no_exceptions_and_says_so() {
    let ran = Folder::new().replay("", &[]).with(0);
    assert_eq!(ran.text(), "");
    assert_eq!(ran.stderr, "warning: the input has no records\n");
}

#[test]
fn a_missing_file_is_named() {
    let folder = Folder::new();
    let missing = folder.at("nowhere.ndjson");
    let ran =
        run(&["replay", "--input", &missing, "--policies", &folder.at("policies.toml")]).with(1);
    assert!(
        ran.stderr.starts_with(&format!("error: {missing} cannot be read: ")),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_folder_is_not_a_file() {
    let folder = Folder::new();
    let path = folder.path().to_str().unwrap();
    let ran = run(&["replay", "--input", path, "--policies", &folder.at("policies.toml")]).with(1);
    assert!(ran.stderr.contains("is a folder"), "{}", ran.stderr);
}

#[test]
fn standard_input_gives_what_a_file_gives() {
    let folder = Folder::new();
    let of_file = folder.replay(stalls(), &[]).with(0);
    let policies = folder.at("policies.toml");
    for scans in [stalls().into_bytes(), container(&stalls())] {
        let piped = run_with(&["replay", "--input", "-", "--policies", &policies], &scans).with(0);
        assert_eq!(piped.stdout, of_file.stdout);
    }
}

#[test]
fn a_container_gives_what_lines_give() {
    let folder = Folder::new();
    let lines = folder.replay(stalls(), &[]).with(0);
    let avro = folder.replay(container(&stalls()), &[]).with(0);
    assert_eq!(avro.stdout, lines.stdout);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let folder = Folder::new();
    for format in ["ndjson", "avro"] {
        let first = folder.replay(stalls(), &["--format", format]).with(0);
        let second = folder.replay(stalls(), &["--format", format]).with(0);
        assert!(!first.stdout.is_empty());
        assert_eq!(first.stdout, second.stdout);
    }
}

#[test]
fn a_broken_line_is_told_with_its_place_and_does_not_stop_the_run() {
    let mut lines = stalls();
    lines.insert_str(0, "\nnonsense\n");
    let ran = Folder::new().replay(lines, &[]).with(0);
    assert_eq!(ran.told(), STALLED);
    let told: Vec<_> = ran.stderr.lines().collect();
    assert_eq!(told.len(), 2, "{}", ran.stderr);
    assert!(told[0].starts_with("warning: line 2: not_json: "), "{}", told[0]);
    assert_eq!(told[1], "warning: 1 record is no scan: 1 not_json");
}

#[test]
fn a_broken_datum_is_told_with_block_and_record() {
    let scans = stalls().replace("1Z-2", &"9".repeat(65));
    let ran = Folder::new().replay(container(&scans), &[]).with(0);
    assert!(
        ran.stderr.starts_with("warning: block 1, record 2: bad_tracking_number: "),
        "{}",
        ran.stderr
    );
}

#[test]
fn strict_ends_at_the_first_broken_record_and_names_it() {
    let folder = Folder::new();
    let lines = format!("{}[]\n{}", scan("02T08", "1Z1", "arrived", ""), "nonsense\n");
    let ran = folder.replay(lines, &["--strict"]).with(1);
    let input = folder.at("scans");
    assert!(
        ran.stderr.starts_with(&format!("error: {input}, line 2: not_json: ")),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("line 3"), "{}", ran.stderr);
}

#[test]
fn broken_records_beyond_the_twentieth_are_only_counted() {
    let mut lines = "nonsense\n".repeat(30);
    lines.push_str(&scan("02T08", "1Z1", "arrived", "").replace("2026-03-02T08:00:00Z", "soon"));
    let ran = Folder::new().replay(lines, &[]).with(0);
    let told: Vec<_> = ran.stderr.lines().collect();
    assert_eq!(told.len(), 22, "{}", ran.stderr);
    assert!(told[19].starts_with("warning: line 20: not_json"));
    assert_eq!(told[20], "warning: further broken records are only counted");
    assert_eq!(told[21], "warning: 31 records are no scan: 30 not_json, 1 unreadable_time");
}

#[test]
fn a_file_that_is_no_log_of_scans_says_what_it_is() {
    let ran = Folder::new().replay(b"\x1f\x8b\x08\x00\x00\x00", &[]).with(1);
    assert!(ran.stderr.contains("gzip"), "{}", ran.stderr);
    let cut = &container(&stalls())[..60];
    let ran = Folder::new().replay(cut, &[]).with(1);
    assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
}

#[test]
fn a_file_of_which_nothing_could_be_read_is_an_error_that_says_what_it_is() {
    let folder = Folder::new();
    let scan = scan("02T08", "1Z1", "arrived", "");
    let pretty =
        serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(&scan).unwrap())
            .unwrap();
    for (text, says) in [
        (
            format!("[{scan},{scan}]\n"),
            "is a JSON array; write one object a line: jq -c '.[]' FILE",
        ),
        (
            format!("\u{feff}\n[\n{},\n{}]\n", scan.trim(), scan.trim()),
            "is a JSON array; write one object a line",
        ),
        (
            format!("{pretty}\n"),
            "is JSON whose objects have several lines; write one a line: jq -c .",
        ),
        ("a,b\n1,2\n".to_owned(), "not one of its 2 records can be read: 2 not_json"),
        ("nonsense".to_owned(), "its one record cannot be read: 1 not_json"),
    ] {
        let output = folder.at("out");
        let ran = folder.replay(&text, &["--output", &output]).with(1);
        let last = ran.stderr.lines().last().unwrap();
        assert!(last.starts_with("error: ") && last.contains(says), "{}", ran.stderr);
        assert!(!folder.names().contains(&"out".to_owned()), "no output of nothing");
    }
    // What has a wrong field has been read.
    let ran = folder.replay("{}", &[]).with(0);
    assert!(ran.stderr.contains("1 record is no scan"), "{}", ran.stderr);
    // The last object of an array may stand in a line of its own.
    let ran = folder.replay(format!("[\n{},\n{scan}]\n", scan.trim()), &[]).with(0);
    let last = ran.stderr.lines().last().unwrap();
    assert!(last.starts_with("warning: ") && last.contains("is a JSON array"), "{}", ran.stderr);
}

#[test]
fn what_stands_for_no_time_can_be_other_dates_or_none() {
    let folder = Folder::new();
    let lines = |event_time: &str| {
        [
            scan("02T08", "1Z1", "arrived", "\"log_time\":\"2026-03-02T08:00:00Z\""),
            scan("02T08", "1Z1", "delivered", "\"log_time\":\"2026-03-03T08:00:00Z\"")
                .replace("2026-03-02T08:00:00Z", event_time),
        ]
        .concat()
    };
    let until = ["--until", "2026-03-06T08:00:00Z", "--summary", "-o", "json"];
    let replay = |event_time: &str, more: &[&str]| {
        let output = folder.at("out");
        let more = [&until[..], &["--output", &output], more].concat();
        let ran = folder.replay(lines(event_time), &more).with(0);
        let summary: serde_json::Value = serde_json::from_str(ran.text()).unwrap();
        (summary["exceptions"]["total"]["opened"].as_u64(), summary["no_event_time"].as_u64())
    };
    let (opened, quiet) = (Some(1), Some(0));
    assert_eq!(replay("2000-01-01T00:00:00Z", &[]), (quiet, Some(1)));
    assert_eq!(replay("1970-01-01T00:00:00Z", &[]), (quiet, Some(1)));
    assert_eq!(replay("2000-01-01T00:00:00Z", &["--no-time", "1970-01-01"]), (opened, Some(0)));
    assert_eq!(replay("2000-01-01T00:00:00Z", &["--no-time", ""]), (opened, Some(0)));
    let others = ["--no-time", "1999-12-31,2001-01-01"];
    assert_eq!(replay("2001-01-01T00:00:00+02:00", &others), (quiet, Some(1)));
    let skipped = ["--until", "2026-03-02T09:00:00Z", "--summary"];
    let ran = folder.replay(lines("2000-01-01T00:00:00Z"), &skipped).with(0);
    assert!(!ran.stderr.contains("no time"), "what is skipped does not count: {}", ran.stderr);
    let ran = folder.replay("", &["--no-time", "yesterday"]).with(2);
    assert!(ran.stderr.contains("--no-time: \"yesterday\" is no date"), "{}", ran.stderr);
}

#[test]
fn a_file_without_log_times_must_be_sorted_and_sort_helps() {
    let folder = Folder::new();
    let lines = stalls();
    let mut shuffled: Vec<_> = lines.lines().rev().collect();
    shuffled.swap(0, 2);
    let shuffled = shuffled.join("\n");
    let ran = folder.replay(&shuffled, &[]).with(1);
    assert!(ran.stderr.contains("--sort"), "{}", ran.stderr);
    assert!(ran.stderr.contains("line "), "{}", ran.stderr);
    let ran = folder.replay(&shuffled, &["--sort"]).with(0);
    assert_eq!(ran.told(), STALLED);
}

#[test]
fn sorting_keeps_the_order_of_equals_and_tells_of_broken_records() {
    let folder = Folder::new();
    let lines = [
        scan("05T08", "1Z1", "departed", "\"facility\":\"A\""),
        "nonsense\n".to_owned(),
        scan("02T08", "1Z1", "on_hold", "\"facility\":\"B\""),
        scan("02T08", "1Z1", "lost", "\"facility\":\"C\""),
    ]
    .concat();
    let ran = folder.replay(&lines, &["--sort"]).with(0);
    let opened: serde_json::Value =
        serde_json::from_str(ran.text().lines().next().unwrap()).unwrap();
    assert_eq!(opened["last_milestone"], "lost");
    assert_eq!(opened["last_facility"], "C");
    assert!(ran.stderr.contains("line 2: not_json"), "{}", ran.stderr);
    folder.replay(&lines, &["--sort", "--strict"]).with(1);
}

#[test]
fn each_partition_is_a_log_of_its_own() {
    let of = |partition: i32, time: &str, number: &str| {
        scan(time, number, "arrived", &format!("\"partition\":{partition}"))
    };
    let lines = [of(7, "02T08", "1Z-7"), of(2, "02T08", "1Z-2"), of(7, "12T08", "1Z-8")].concat();
    let ran = Folder::new().replay(&lines, &[]).with(0);
    // Partition 2 ends in the second of its only record: nothing of it is overdue.
    assert_eq!(ran.told(), ["opened ups:1Z7", "escalated ups:1Z7"]);
    let until = &["--until", "2026-03-13T00:00:00Z"];
    let ran = Folder::new().replay(&lines, until).with(0);
    // At the end the partitions are finished in their order, not in that of the file.
    let expected = ["opened ups:1Z7", "escalated ups:1Z7", "opened ups:1Z2", "escalated ups:1Z2"];
    assert_eq!(ran.told(), expected);
}

#[test]
fn closed_by_names_topic_partition_and_offset() {
    let lines = [
        scan("02T08", "1Z1", "arrived", "\"partition\":3,\"offset\":41"),
        scan("05T08", "1Z1", "departed", "\"partition\":3,\"offset\":42"),
    ]
    .concat();
    let ran = Folder::new().replay(lines, &["--topic", "carrier.scans.v1"]).with(0);
    let closed: serde_json::Value =
        serde_json::from_str(ran.text().lines().last().unwrap()).unwrap();
    let closed_by = &closed["closed_by"];
    assert_eq!(closed_by["topic"], "carrier.scans.v1");
    assert_eq!(closed_by["partition"], 3);
    assert_eq!(closed_by["offset"], 42);
}

#[test]
fn without_offsets_closed_by_counts_the_records() {
    let ran = Folder::new().replay(stalls(), &[]).with(0);
    let closed: serde_json::Value =
        serde_json::from_str(ran.text().lines().last().unwrap()).unwrap();
    assert_eq!(closed["closed_by"]["offset"], 2);
    assert!(closed["closed_by"].get("topic").is_none());
}
