//! `healthcheck`: asks a probe and answers by the exit code, for images that hold nothing but this
//! program.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use clap::Args;

use super::Failure;

/// Most bytes of an answer that are read.
const LONGEST_ANSWER: usize = 4096;

/// Ask a probe of a running instance: 0 if it answers with 200, 1 if not
#[derive(Args)]
pub struct Arguments {
    /// The probe
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:9465/livez",
        value_parser = Probe::parse
    )]
    url: Probe,
    /// How many seconds the answer may take
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 3,
        value_parser = clap::value_parser!(u64).range(1..=60)
    )]
    timeout: u64,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { url, timeout } = arguments;
    let failed = |why: String| Failure::Failed(format!("{}: {why}", url.text));
    let answer = url.ask(Duration::from_secs(*timeout)).map_err(|error| failed(said(&error)))?;
    match answer.status {
        200 => Ok(()),
        status => Err(failed(format!("{status} {}", answer.body.trim()))),
    }
}

fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        _ => error.to_string(),
    }
}

/// What is asked, and where.
#[derive(Clone)]
struct Probe {
    text: String,
    authority: String,
    path: String,
}

struct Answer {
    status: u16,
    body: String,
}

impl Probe {
    fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("http://").ok_or("it must begin with http://")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() {
            return Err("it needs host and port, as in http://127.0.0.1:9465/livez".to_owned());
        }
        if path.contains(|c: char| c.is_control() || c == ' ') {
            return Err("its path must have no space and no control character".to_owned());
        }
        Ok(Self {
            text: text.to_owned(),
            authority: authority.to_owned(),
            path: format!("/{path}"),
        })
    }

    /// Asks, and reads until the answer ends or the time is up.
    fn ask(&self, patience: Duration) -> io::Result<Answer> {
        let deadline = Instant::now() + patience;
        let mut stream = self.connect(deadline)?;
        stream.set_write_timeout(Some(left(deadline)?))?;
        let (path, host) = (&self.path, &self.authority);
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut bytes = Vec::new();
        let mut chunk = [0; 512];
        while bytes.len() < LONGEST_ANSWER {
            stream.set_read_timeout(Some(left(deadline)?))?;
            match stream.read(&mut chunk)? {
                0 => break,
                read => bytes.extend_from_slice(&chunk[..read]),
            }
        }
        Answer::parse(&String::from_utf8_lossy(&bytes))
    }

    fn connect(&self, deadline: Instant) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in self.authority.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, left(deadline)?) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl Answer {
    fn parse(text: &str) -> io::Result<Self> {
        let status = text
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.split(' ').nth(1)?.split("\r\n").next()?.parse().ok());
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
        let no_http = || io::Error::new(io::ErrorKind::InvalidData, "the answer is no HTTP");
        Ok(Self { status: status.ok_or_else(no_http)?, body })
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}
