//! The picture of ARCHITECTURE.md, checked: imports point inward, and the rooms that decide know no
//! clock, thread, socket, file or randomness.

use std::fs;
use std::path::{Path, PathBuf};

/// What each room may use of the others. `main.rs`, `cli` and `demo` may use them all.
const ROOMS: &[(&str, &[&str])] = &[
    ("detector", &["detector"]),
    ("protocol", &["protocol", "detector"]),
    ("wire", &["wire", "detector"]),
    ("replay", &["replay", "wire", "detector"]),
    ("config", &["config", "wire", "detector"]),
    ("service", &["service", "config", "prefault", "protocol", "wire", "detector"]),
];

/// The rooms that decide.
const PURE: &[&str] = &["detector", "protocol"];

/// What a room that decides must not name, and why.
const IMPURE: &[(&str, &str)] = &[
    ("std::fs", "a decision is a function of the log, not of files"),
    ("std::io", "a decision is a function of the log, not of files"),
    ("std::net", "a decision is a function of the log, not of the network"),
    ("std::env", "a decision is a function of the log, not of the environment"),
    ("std::process", "a decision is a function of the log, not of other programs"),
    ("std::thread", "the outcome must not depend on scheduling"),
    ("SystemTime", "the wall clock decides nothing; times come with the records"),
    ("Instant", "the wall clock decides nothing; times come with the records"),
    ("Timestamp::now", "the wall clock decides nothing; times come with the records"),
    ("RandomState", "the same input must give the same bytes: seed the hash"),
    ("new_v4", "identities are functions of the log"),
    ("rand::", "the same input must give the same bytes"),
    ("tokio", "carrying records is the service's work"),
    ("rdkafka", "carrying records is the service's work"),
    ("println!", "speaking to people is the command line's work"),
];

#[test]
fn imports_point_inward() {
    let mut broken = Vec::new();
    for (room, allowed) in ROOMS {
        for (place, line) in code(room) {
            broken.extend(
                rooms_named_in(&line)
                    .filter(|named| !allowed.contains(named))
                    .map(|named| format!("{place}: {room} must not use {named}: {line}")),
            );
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn the_rooms_that_decide_know_no_clock_thread_socket_file_or_randomness() {
    let mut broken = Vec::new();
    for room in PURE {
        for (place, line) in code(room) {
            for (name, why) in IMPURE.iter().filter(|(name, _)| names(&line, name)) {
                broken.push(format!("{place}: {name} in {room}: {why}"));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// The lines of a room that are no comments, each with its file and number.
fn code(room: &str) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for file in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room)) {
        let text = fs::read_to_string(&file).expect("a source file");
        let shown =
            file.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("in the project").display();
        for (number, line) in text.lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default().trim();
            if !line.is_empty() {
                lines.push((format!("{shown}:{}", number + 1), line.to_owned()));
            }
        }
    }
    lines
}

/// The Rust files of a folder and of the file of the same name, if there are any.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> =
        Some(folder.with_extension("rs")).into_iter().filter(|file| file.is_file()).collect();
    let Ok(entries) = fs::read_dir(folder) else {
        return found;
    };
    for entry in entries {
        let path = entry.expect("an entry of a folder").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Whether a line names something, not merely as a part of a longer word.
fn names(line: &str, what: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    line.match_indices(what).any(|(at, _)| {
        let before = line[..at].bytes().next_back().is_some_and(word);
        let after = line[at + what.len()..].bytes().next().is_some_and(word);
        !before && (!after || !word(what.as_bytes()[what.len() - 1]))
    })
}

/// The rooms that a line names as `crate::ROOM` or `crate::{ROOM, …}`.
fn rooms_named_in(line: &str) -> impl Iterator<Item = &str> {
    let named = line.split("crate::").skip(1).flat_map(|rest| match rest.strip_prefix('{') {
        Some(list) => list.split([',', '}']).map(str::trim).collect(),
        None => vec![rest],
    });
    let root = |path: &'_ str| path.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    named.map(move |path| &path[..root(path).unwrap_or(path.len())]).filter(|room| {
        ROOMS.iter().any(|(known, _)| known == room) || ["cli", "demo"].contains(room)
    })
}

#[test]
fn the_check_finds_what_it_looks_for() {
    let rooms = |line| rooms_named_in(line).collect::<Vec<_>>();
    assert_eq!(rooms("use crate::wire::scan;"), ["wire"]);
    assert_eq!(
        rooms("use crate::{config::Config, detector, demo};"),
        ["config", "detector", "demo"]
    );
    assert_eq!(rooms("let x = crate::service::clock::now();"), ["service"]);
    assert!(names("let now = Instant::now();", "Instant"));
    assert!(names("println!(\"x\")", "println!"));
    assert!(!names("struct InstantNoodles;", "Instant"));
    for room in PURE {
        assert!(!code(room).is_empty(), "src/{room} is gone");
    }
}
