//! A small server that stands for an instance: every request is answered by a function of its test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use openssl::ssl::SslAcceptor;

/// What was asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// With its query.
    pub path: String,
    /// Of the header, if it is there.
    pub authorization: Option<String>,
}

/// What is answered; the connection ends with it.
pub struct Answer {
    status: &'static str,
    kind: &'static str,
    body: String,
}

pub fn json(body: &serde_json::Value) -> Answer {
    Answer { status: "200 OK", kind: "application/json", body: body.to_string() }
}

pub fn refused(status: &'static str, error: &str) -> Answer {
    let body = serde_json::json!({ "error": error }).to_string();
    Answer { status, kind: "application/json", body }
}

pub fn stream(body: impl Into<String>) -> Answer {
    Answer { status: "200 OK", kind: "text/event-stream", body: body.into() }
}

pub struct Server {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::listen(None, answer)
    }

    pub fn start_tls(
        acceptor: SslAcceptor,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::listen(Some(acceptor), answer)
    }

    fn listen(
        tls: Option<SslAcceptor>,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let server = Self { address, asked: asked.clone() };
        let (answer, tls) = (Arc::new(answer), tls.map(Arc::new));
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (answer, asked, tls) = (answer.clone(), asked.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    None => serve(connection, &asked, &*answer),
                    Some(tls) => {
                        // A client that does not trust the certificate goes away here.
                        if let Ok(connection) = tls.accept(connection) {
                            serve(connection, &asked, &*answer);
                        }
                    }
                });
            }
        });
        server
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Everything that was asked so far.
    pub fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(
    connection: impl Read + Write,
    asked: &Mutex<Vec<Request>>,
    answer: &dyn Fn(&Request) -> Answer,
) {
    let mut reader = BufReader::new(connection);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let path = lines[0].split(' ').nth(1).unwrap().to_owned();
    let authorization = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("authorization").then(|| value.to_owned())
    });
    let request = Request { path, authorization };
    asked.lock().unwrap().push(request.clone());
    let Answer { status, kind, body } = answer(&request);
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n");
    let connection = reader.get_mut();
    // A client that has gone meanwhile needs no answer.
    let _ = connection.write_all(format!("{head}{body}").as_bytes());
    let _ = connection.flush();
}

/// An address at which nobody listens: a port that is given to none who asks for any.
pub fn nobody() -> &'static str {
    "127.0.0.1:1"
}
