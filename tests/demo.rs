//! What `stallwatch demo` promises. It brings its own broker; no Kafka is needed.
#![cfg(feature = "kafka")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stallwatch"));
    command.arg("demo").args(arguments).stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Reads lines until one holds `part`; gives that line.
fn line_with(part: &str, from: &mut impl BufRead) -> String {
    let mut line = String::new();
    while from.read_line(&mut line).unwrap() > 0 {
        if line.contains(part) {
            return line;
        }
        line.clear();
    }
    panic!("no line with {part:?}");
}

#[test]
fn the_demo_misses_and_invents_nothing_and_says_so_to_scripts() {
    let arguments = ["--packages", "1500", "--speed", "200000", "--seed", "7", "-o", "json"];
    let Output { status, stdout, stderr } = demo(&arguments).output().unwrap();
    assert!(status.success(), "{}", text(&stderr));
    let summary: serde_json::Value = serde_json::from_slice(&stdout).unwrap();
    let number = |name: &str| summary[name].as_u64().unwrap();
    assert_eq!((number("packages"), number("missed"), number("invented")), (1500, 0, 0));
    assert!(number("agreed") > 200, "{summary}");
    let events = summary["events"].as_array().unwrap();
    let changes: Vec<_> = events
        .iter()
        .filter(|event| event["count"].as_u64() > Some(0))
        .map(|event| event["change"].as_str().unwrap())
        .collect();
    for change in ["opened", "escalated", "resolved", "retracted", "expired"] {
        assert!(changes.contains(&change), "nothing was {change}: {summary}");
    }
    let said = text(&stderr);
    assert!(said.contains("fakes transactions"), "{said}");
    assert!(said.contains("kcat -b 127.0.0.1:"), "{said}");
    assert!(said.contains("packages in flight"), "{said}");
}

#[test]
fn hold_keeps_the_broker_and_the_page_up_until_ctrl_c() {
    let arguments = ["--packages", "200", "--speed", "1000000", "--hold"];
    let mut child = demo(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    line_with("stay up until Ctrl-C", &mut said);
    let address = |line: String| {
        let rest = line.split("http://").nth(1).unwrap().to_owned();
        rest.trim().split('/').next().unwrap().to_owned()
    };
    let page = address(line_with("look in:  http://", &mut said));
    let look_in = line_with("kcat -b ", &mut said);
    let broker = look_in.split_whitespace().find(|word| word.contains("127.0.0.1:")).unwrap();
    TcpStream::connect(broker).unwrap();
    let probes = address(line_with("metrics:  http://", &mut said));
    assert!(get(&probes, "/readyz").starts_with("HTTP/1.1 200"));
    assert!(get(&probes, "/metrics").contains("stallwatch_exceptions_total"));
    assert!(get(&page, "/").contains("<title>stallwatch</title>"));
    assert!(get(&page, "/v1/partitions").contains("\"complete\":true"));
    interrupt(&child);
    assert!(child.wait().unwrap().success());
    let mut summary = String::new();
    child.stdout.take().unwrap().read_to_string(&mut summary).unwrap();
    assert!(summary.contains("missed 0, invented 0"), "{summary}");
}

fn get(page: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(page).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {page}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn ctrl_c_ends_the_demo_before_its_time() {
    let arguments = ["--packages", "200", "--speed", "1"];
    let mut child = demo(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    line_with("packages in flight", &mut said);
    interrupt(&child);
    line_with("error: interrupted", &mut said);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn numbers_out_of_range_are_wrong_usage() {
    for wrong in
        [["--packages", "0"], ["--speed", "0"], ["--partitions", "65"], ["--page", "0.0.0.0:9464"]]
    {
        let output = demo(&wrong).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", text(&output.stderr));
    }
}
