//! The independent readers: `reader.py` and `acls.py` in the Python environment of `./test`, kcat.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::broker::project;

/// Runs `reader.py`; the lines that it prints.
pub fn reader(arguments: &[&str]) -> Vec<Value> {
    let printed = python("reader.py", arguments);
    printed.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Writes a topic of scans as a log for `replay`; how many of its records cannot be decoded.
pub fn export(bootstrap: &str, topic: &str, format: &str, file: &Path) -> u64 {
    let file = file.to_str().expect("a path in UTF-8");
    let to = ["export", "--bootstrap", bootstrap, "--topic", topic];
    let counts = reader(&[&to[..], &["--format", format, "--output", file]].concat());
    counts[0]["broken"].as_u64().expect("a count")
}

/// Gives a user rights, each `operation:resource:pattern:name`, as in `Read:topic:literal:scans`.
pub fn grant(bootstrap: &str, principal: &str, rights: &[String]) {
    acls("grant", bootstrap, principal, rights);
}

/// Takes rights away from a user.
pub fn revoke(bootstrap: &str, principal: &str, rights: &[String]) {
    acls("revoke", bootstrap, principal, rights);
}

fn acls(verb: &str, bootstrap: &str, principal: &str, rights: &[String]) {
    let rights: Vec<_> = rights.iter().map(String::as_str).collect();
    python("acls.py", &[&[verb, bootstrap, principal], &rights[..]].concat());
}

/// Runs kcat, a client of its own; what it prints.
pub fn kcat(arguments: &[&str]) -> String {
    finished("kcat", Command::new("kcat").args(arguments))
}

fn python(script: &str, arguments: &[&str]) -> String {
    finished("python", command(&format!("tests/kafka/{script}")).args(arguments))
}

/// The Python environment of `./test` with a script of the project.
pub fn command(script: &str) -> Command {
    let interpreter = project().join(".cache/venv/bin/python");
    assert!(interpreter.exists(), "no Python environment in .cache/venv: run ./test setup first");
    let mut command = Command::new(interpreter);
    command.arg(project().join(script));
    command
}

/// What a command that must end well prints.
pub fn finished(name: &str, command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|error| {
        panic!("{name} cannot be run ({error}): ./test setup names what is missing")
    });
    assert!(status.success(), "{name}: {status}\n{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("UTF-8")
}
