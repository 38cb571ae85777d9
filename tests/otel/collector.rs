//! A collector of traces: keeps what is posted to it, as OTLP over HTTP has it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Posted {
    /// Method and path.
    pub line: String,
    /// Headers by name in lower case.
    pub headers: BTreeMap<String, String>,
    /// What it carries.
    pub traces: ExportTraceServiceRequest,
}

/// Listens until the test is over.
pub struct Collector {
    address: SocketAddr,
    posted: Arc<Mutex<Vec<Posted>>>,
}

impl Collector {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let posted = Arc::new(Mutex::new(Vec::new()));
        let kept = posted.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map(Result::unwrap) {
                let kept = kept.clone();
                std::thread::spawn(move || answer(stream, &kept));
            }
        });
        Self { address, posted }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap().clone()
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Span> {
        let resources = self.posted().into_iter().flat_map(|posted| posted.traces.resource_spans);
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

/// Requests come one after the other on a connection.
fn answer(stream: TcpStream, kept: &Mutex<Vec<Posted>>) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    while let Some(posted) = read(&mut reader) {
        kept.lock().unwrap().push(posted);
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        writer.write_all(head.as_bytes()).unwrap();
    }
}

fn read(reader: &mut impl BufRead) -> Option<Posted> {
    let line = line(reader)?;
    let mut headers = BTreeMap::new();
    while let Some(header) = self::line(reader).filter(|header| !header.is_empty()) {
        let (name, value) = header.split_once(':').unwrap();
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    let traces = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
    Some(Posted { line, headers, traces })
}

/// The next line; `None` at the end of the connection.
fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    (reader.read_line(&mut line).unwrap_or(0) > 0).then(|| line.trim_end().to_owned())
}

/// Attributes as JSON values.
pub fn attributes(of: &[KeyValue]) -> serde_json::Map<String, serde_json::Value> {
    let plain = |attribute: &KeyValue| {
        let value = match attribute.value.clone().unwrap().value.unwrap() {
            Value::StringValue(text) => text.into(),
            Value::IntValue(number) => number.into(),
            Value::BoolValue(truth) => truth.into(),
            other => panic!("{}: {other:?} is not among what we send", attribute.key),
        };
        (attribute.key.clone(), value)
    };
    let attributes: serde_json::Map<_, _> = of.iter().map(plain).collect();
    assert_eq!(attributes.len(), of.len(), "every attribute comes once: {of:?}");
    attributes
}
