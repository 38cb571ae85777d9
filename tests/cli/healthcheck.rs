//! `healthcheck`, against listeners of every kind.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use crate::{Ran, run};

/// A listener that answers one request so; its address.
fn answering(answer: &'static [u8]) -> String {
    listening(move |mut stream| {
        let mut request = [0; 512];
        let read = stream.read(&mut request).unwrap();
        let request = String::from_utf8_lossy(&request[..read]).into_owned();
        assert!(request.starts_with("GET /livez HTTP/1.1\r\n"), "{request}");
        stream.write_all(answer).unwrap();
    })
}

fn listening(serve: impl FnOnce(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || serve(listener.accept().unwrap().0));
    format!("http://{address}/livez")
}

fn healthcheck(url: &str) -> Ran {
    run(&["healthcheck", "--url", url, "--timeout", "1"])
}

#[test]
fn an_instance_that_is_well_ends_the_check_with_0() {
    healthcheck(&answering(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n")).with(0);
}

#[test]
fn an_instance_that_is_not_well_ends_the_check_with_1_and_its_reason() {
    let answer = b"HTTP/1.1 503 Service Unavailable\r\n\r\nworker 1 does not turn\n";
    let ran = healthcheck(&answering(answer)).with(1);
    assert!(ran.stderr.contains("503 worker 1 does not turn"), "{}", ran.stderr);
}

#[test]
fn an_instance_that_does_not_answer_in_time_ends_the_check_with_1() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let url = listening(move |_stream| {
        let _ = held.recv();
    });
    let ran = healthcheck(&url).with(1);
    assert!(ran.stderr.contains("no answer in time"), "{}", ran.stderr);
    drop(release);
}

#[test]
fn an_answer_that_comes_byte_by_byte_does_not_outlast_the_time() {
    let url = listening(|mut stream| while stream.write_all(b" ").is_ok() {});
    let ran = healthcheck(&url).with(1);
    assert!(ran.stderr.contains("no HTTP") || ran.stderr.contains("no answer"), "{}", ran.stderr);
}

#[test]
fn a_port_where_nobody_listens_ends_the_check_with_1_and_names_it() {
    // A port that is given to none who asks for any.
    let ran = healthcheck("http://127.0.0.1:1/livez").with(1);
    assert!(ran.stderr.contains("127.0.0.1:1"), "{}", ran.stderr);
}

#[test]
fn what_answers_in_another_protocol_ends_the_check_with_1() {
    let ran = healthcheck(&answering(b"220 mail ready\r\n")).with(1);
    assert!(ran.stderr.contains("no HTTP"), "{}", ran.stderr);
}

#[test]
fn an_address_that_cannot_be_asked_is_wrong_usage() {
    for url in ["https://127.0.0.1:9465/livez", "127.0.0.1:9465", "http://127.0.0.1/livez"] {
        let ran = healthcheck(url).with(2);
        assert!(ran.stderr.contains("--url"), "{}", ran.stderr);
    }
}
