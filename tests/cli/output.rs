use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use apache_avro::Reader;

use crate::{Folder, STALLED, command, scan, stalls, told};

#[test]
fn a_file_gets_what_standard_output_would_have_got() {
    let folder = Folder::new();
    for format in ["ndjson", "avro"] {
        let piped = folder.replay(stalls(), &["--format", format]).with(0);
        let output = folder.at("out");
        let ran = folder.replay(stalls(), &["--format", format, "--output", &output]).with(0);
        assert_eq!(ran.text(), "");
        assert_eq!(folder.read("out"), piped.stdout);
    }
    assert_eq!(folder.names(), ["out", "policies.toml", "scans"]);
}

#[test]
fn a_container_holds_the_same_events_as_lines() {
    let folder = Folder::new();
    let lines = folder.replay(stalls(), &[]).with(0);
    let avro = folder.replay(stalls(), &["--format", "avro"]).with(0);
    let events: Vec<serde_json::Value> = Reader::new(&avro.stdout[..])
        .unwrap()
        .map(|event| serde_json::Value::try_from(event.unwrap()).unwrap())
        .collect();
    let of_lines: Vec<serde_json::Value> =
        lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), of_lines.len());
    for (event, of_line) in events.iter().zip(&of_lines) {
        for field in ["exception_id", "sequence", "change", "severity", "silent_for_s"] {
            assert_eq!(event[field], of_line[field], "{field}");
        }
    }
}

#[test]
fn a_container_without_events_is_still_one() {
    let folder = Folder::new();
    let ran = folder.replay("", &["--format", "avro"]).with(0);
    assert_eq!(Reader::new(&ran.stdout[..]).unwrap().count(), 0);
}

#[test]
fn a_file_that_was_there_stays_as_it_was_if_the_replay_fails() {
    let folder = Folder::new();
    let output = folder.file("out", "what was there");
    let broken = stalls() + "nonsense\n";
    folder.replay(broken, &["--output", &output, "--strict"]).with(1);
    assert_eq!(folder.read("out"), b"what was there");
    assert_eq!(folder.names(), ["out", "policies.toml", "scans"]);
    folder.replay(stalls(), &["--output", &output]).with(0);
    assert_eq!(told(std::str::from_utf8(&folder.read("out")).unwrap()), STALLED);
}

#[test]
fn what_a_link_points_to_is_replaced_and_the_link_stays() {
    let folder = Folder::new();
    folder.file("out", "what was there");
    let link = folder.at("link");
    std::os::unix::fs::symlink("out", &link).unwrap();
    folder.replay(stalls(), &["--output", &link]).with(0);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(told(std::str::from_utf8(&folder.read("out")).unwrap()), STALLED);
}

#[test]
fn an_output_that_cannot_be_is_named() {
    let folder = Folder::new();
    for (output, because) in [
        (folder.at("nowhere/out"), "cannot be written: "),
        (folder.path().to_str().unwrap().to_owned(), "it is a folder"),
        (folder.at("scans"), "it is the input"),
    ] {
        let ran = folder.replay(stalls(), &["--output", &output]).with(1);
        assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
        assert!(ran.stderr.contains(because), "{}", ran.stderr);
    }
    assert_eq!(folder.read("scans"), stalls().as_bytes());
}

#[test]
fn a_full_disk_is_an_error_that_says_so() {
    let folder = Folder::new();
    for format in ["ndjson", "avro"] {
        let to_file = folder.replay(stalls(), &["--output", "/dev/full", "--format", format]);
        assert_eq!(
            to_file.with(1).stderr,
            "error: /dev/full cannot be written: the disk is full; free some space\n"
        );
    }
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let input = folder.file("scans", stalls());
    let ran = command(&["replay", "--input", &input, "--policies", &folder.at("policies.toml")])
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(1));
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(
        said,
        "error: standard output cannot be written: the disk is full; free some space\n"
    );
}

#[test]
fn a_reader_that_goes_away_ends_the_run_quietly() {
    let folder = Folder::new();
    let arrivals = (0..5_000).map(|number| scan("02T08", &format!("1Z{number}"), "arrived", ""));
    let input = folder.file("scans", arrivals.collect::<String>());
    let policies = folder.at("policies.toml");
    let until = "2026-03-30T00:00:00Z";
    let mut child =
        command(&["replay", "--input", &input, "--policies", &policies, "--until", until])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(told(&line), ["opened ups:1Z0"]);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(said, "");
}

/// Waits until something holds.
fn await_that(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_interruption_leaves_no_half_written_file() {
    for (signal, number) in [("INT", 2), ("TERM", 15)] {
        let folder = Folder::new();
        let output = folder.file("out", "what was there");
        let policies = folder.at("policies.toml");
        let mut child =
            command(&["replay", "--input", "-", "--policies", &policies, "--output", &output])
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(stalls().as_bytes()).unwrap();
        await_that(|| folder.names().iter().any(|name| name.ends_with(".part")));
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().signal(), Some(number));
        assert_eq!(folder.names(), ["out", "policies.toml"]);
        assert_eq!(folder.read("out"), b"what was there");
    }
}
