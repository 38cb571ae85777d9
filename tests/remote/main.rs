//! What `get package`, `top` and `tap` promise, against servers that stand for instances.
#![cfg(feature = "kafka")]

mod authority;
mod server;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use server::{Answer, Request, Server, refused, stream};

const NUMBER: &str = "1Z999AA10123456784";
const OPENED: &str = include_str!("../../schemas/examples/tracking-exception.opened.json");
const RESOLVED: &str = include_str!("../../schemas/examples/tracking-exception.resolved.json");

fn stallwatch(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stallwatch"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn ran(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = stallwatch(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn package(partition: i32) -> Value {
    json!({
        "partition": partition, "phase": "moving", "last_milestone": "arrived",
        "last_facility": "Köln", "last_country": "DE", "anchor_time": "2026-03-02T08:00:00Z",
        "silent_for_s": 187_200, "policy_id": "ground", "forgotten_at": "2026-05-01T08:00:00Z",
        "frontier": "2026-03-04T12:00:00Z", "why": "It has awaited movement.",
        "deadlines": [], "open": [],
    })
}

fn answer(partitions: &[i32], packages: &[Value]) -> Answer {
    server::json(&json!({
        "carrier": "ups", "tracking_number": NUMBER, "packages": packages, "instances": [],
        "partitions": partitions, "input_partitions": 4, "complete": partitions.len() == 4,
    }))
}

#[test]
fn a_package_is_put_together_of_what_all_instances_know() {
    let first = Server::start(|_: &Request| answer(&[0, 1], &[]));
    let second = Server::start(|_: &Request| answer(&[2, 3], &[package(3)]));
    let both = format!("{},{}", first.address(), second.address());
    let asked = ["get", "package", "UPS", "1z 999/aa", "--address", &both];
    let (code, told, said) = ran(&asked);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert!(told.starts_with("ups 1Z999AA10123456784   moving (partition 3)"), "{told}");
    assert!(told.contains("arrived, Köln, DE"), "{told}");
    assert!(!told.contains("Not complete"), "{told}");
    let (_, told, _) = ran(&[&asked[..], &["-o", "json"]].concat());
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["complete"], &told["packages"][0]["partition"]), (&json!(true), &json!(3)));
    let paths: Vec<_> = second.asked().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/v1/packages/UPS/1z%20999%2Faa"; 2]);
}

#[test]
fn a_package_that_nobody_knows_ends_with_1_for_a_script_and_it_is_said_who_was_not_asked() {
    let (half, gone) = (Server::start(|_: &Request| answer(&[0, 1], &[])), server::nobody());
    let (code, told, said) =
        ran(&["get", "package", "ups", NUMBER, "--address", &half.address(), "--address", gone]);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(told.starts_with("ups 1Z999AA10123456784 is not known"), "{told}");
    assert!(told.contains("Not complete: 2 of 4 partitions answered"), "{told}");
    assert!(told.contains(&format!("{gone} did not answer: ")), "{told}");
}

#[test]
fn nobody_to_ask_is_a_failure_that_says_what_to_look_at() {
    let gone = server::nobody();
    for verb in [&["get", "package", "ups", NUMBER][..], &["top"], &["tap"]] {
        let (code, told, said) = ran(&[verb, &["--address", gone]].concat());
        assert_eq!((code, told.as_str()), (Some(1), ""), "{verb:?}");
        assert!(said.starts_with("error: no instance answered; is one running"), "{said}");
        assert!(said.contains(&format!("{gone} did not answer: ")), "{said}");
    }
}

#[test]
fn the_token_comes_from_its_file_and_a_missing_one_is_explained() {
    let instance = Server::start(|request: &Request| match request.authorization.as_deref() {
        Some("Bearer 0123456789abcdef") => answer(&[0, 1, 2, 3], &[package(0)]),
        _ => refused("401 Unauthorized", "show the token of admin.token_file"),
    });
    let address = instance.address();
    let asked = ["get", "package", "ups", NUMBER, "--address", &address];
    let (code, _, said) = ran(&asked);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("refused: show the token of admin.token_file (here: --token-file)"),
        "{said}"
    );
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "0123456789abcdef").unwrap();
    let token_file = file.path().to_str().unwrap();
    let (code, told, said) = ran(&[&asked[..], &["--token-file", token_file]].concat());
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert!(told.contains("moving"), "{told}");
    let (code, _, said) = ran(&[&asked[..], &["--token-file", "/nowhere/token"]].concat());
    assert_eq!(code, Some(1));
    assert!(said.contains("/nowhere/token cannot be read"), "{said}");
}

#[test]
fn over_tls_only_the_named_authority_is_trusted() {
    let (ours, theirs) = (authority::Authority::new(), authority::Authority::new());
    let instance =
        Server::start_tls(ours.acceptor(), |_: &Request| answer(&[0, 1, 2, 3], &[package(0)]));
    let address = instance.address();
    let asked = |ca_file: &str| {
        ran(&["get", "package", "ups", NUMBER, "--address", &address, "--ca-file", ca_file])
    };
    let (code, told, said) = asked(ours.file());
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert!(told.contains("moving"), "{told}");
    let (code, _, said) = asked(theirs.file());
    assert_eq!(code, Some(1));
    assert!(said.contains("certificate verify failed"), "{said}");
    assert_eq!(instance.asked().len(), 1, "nothing is asked of a server that is not trusted");
}

fn status(request: &Request) -> Answer {
    let covered = |mut answer: Value| {
        answer["partitions"] = json!([0, 1]);
        answer["input_partitions"] = json!(2);
        answer["complete"] = json!(true);
        server::json(&answer)
    };
    let rows = [0, 1].map(|partition| {
        json!({
            "partition": partition, "stage": "live", "position": 10, "end": 12, "lag": 2,
            "committed": 9, "log_clock": null, "frontier": "2026-03-04T08:00:00Z",
            "hold": "behind", "halted": null, "packages": { "moving": 5 }, "open": 1,
        })
    });
    match request.path.as_str() {
        "/v1/partitions" => covered(json!({
            "instance_id": "a", "version": "0", "group_id": "g", "input": "i", "ready": true,
            "not_ready": null,
            "rows": rows,
        })),
        "/v1/summary?by=carrier" => covered(json!({
            "by": ["carrier"], "at": "2026-03-04T08:00:09Z", "rest": null,
            "rows": [{ "carrier": "ups", "open": 2, "notice": 0, "warning": 1, "critical": 1,
                "missing_first_scan": 0, "no_movement": 2, "opened_by_hour": [0, 1] }],
        })),
        _ => refused("404 Not Found", "there is nothing"),
    }
}

#[test]
fn top_tells_once_where_no_terminal_looks_on() {
    let instance = Server::start(status);
    let address = instance.address();
    let (code, told, said) = ran(&["top", "--address", &address]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let line = |start: &str| {
        let line = told.lines().find(|line| line.trim_start().starts_with(start)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert!(line("1 of 1").contains("2 of 2 partitions lag 4 2 open"), "{told}");
    assert_eq!(line("0 "), "0 a live 2 9s 5 1 behind");
    assert_eq!(line("ups"), "ups 2 1 1 0 0 2 1");
    let (_, told, _) = ran(&["top", "--address", &address, "-o", "json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["instances"][0]["summary"]["rows"][0]["open"], 2);
}

fn event(pretty: &str) -> String {
    let event: Value = serde_json::from_str(pretty).unwrap();
    format!(
        "id: {}:{}\nevent: exception\ndata: {event}\n\n",
        event["exception_id"], event["sequence"]
    )
}

#[test]
fn tap_connects_again_when_it_is_lost_and_ends_well_with_ctrl_c() {
    let times = AtomicUsize::new(0);
    let instance = Server::start(move |_: &Request| {
        stream(match times.fetch_add(1, Ordering::SeqCst) {
            0 => format!(": alive\n\n{}", event(OPENED)),
            1 => format!("event: lagged\ndata: {{\"missed\":3}}\n\n{}", event(RESOLVED)),
            _ => String::new(),
        })
    });
    let address = instance.address();
    let arguments = ["tap", "--address", &address, "--carrier", "ups", "--kind", "no_movement"];
    let mut tap = stallwatch(&arguments);
    let mut tap = tap.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(tap.stdout.take().unwrap()).lines();
    let first = told.next().unwrap().unwrap();
    assert!(first.contains("opened") && first.contains(NUMBER), "{first}");
    let second = told.next().unwrap().unwrap();
    assert!(second.contains("resolved") && second.ends_with("-> departed"), "{second}");
    let interrupted = Command::new("kill").args(["-INT", &tap.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let Output { status, stderr, .. } = tap.wait_with_output().unwrap();
    assert!(status.success(), "{status}");
    let said = String::from_utf8(stderr).unwrap();
    assert!(said.contains("ended the stream; again in 1 s"), "{said}");
    assert!(said.contains("3 events came faster than they were read"), "{said}");
    assert_eq!(instance.asked()[0].path, "/v1/tap?carrier=ups&kind=no_movement");
}

#[test]
fn tap_hands_json_on_as_it_comes() {
    let instance = Server::start(|_: &Request| stream(event(OPENED)));
    let address = instance.address();
    let mut tap = stallwatch(&["tap", "--address", &address, "-o", "json"]);
    let mut tap = tap.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut told = BufReader::new(tap.stdout.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    let expected: Value = serde_json::from_str(OPENED).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
    // Nobody reads on: that is an end and no failure.
    drop(told);
    assert!(tap.wait().unwrap().success());
}

#[test]
fn what_tap_is_refused_it_does_not_ask_again() {
    let instance = Server::start(|_: &Request| refused("401 Unauthorized", "show the token"));
    let (code, _, said) = ran(&["tap", "--address", &instance.address()]);
    assert_eq!(code, Some(1));
    assert!(said.contains("refused: show the token"), "{said}");
    assert_eq!(instance.asked().len(), 1);
}

#[test]
fn what_is_no_address_is_wrong_usage() {
    let (code, _, said) = ran(&["top", "--address", "http://127.0.0.1:9464"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("write HOST:PORT"), "{said}");
}
