//! The admin API of a running service: what it tells, whom it lets in, and what it withstands.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::Barrier;

use crate::broker::{free_port, shared};
use crate::client::{NewRecord, header, produce, read};
use crate::evidence::SHORT_POLICIES;
use crate::scans::Scan;
use crate::service::{PATIENCE, Service, Setup};
use crate::wait::{now_ms, until};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const DAY_MS: i64 = 86_400_000;

/// A service and the way to its admin listener.
struct Admin {
    setup: Setup,
    service: Service,
    address: String,
    client: Client,
    runtime: Runtime,
}

/// Silent for a day: open under [`SHORT_POLICIES`].
fn silent(number: &str, facility: &'static str) -> NewRecord {
    let scan = Scan::new(number, "arrived", now_ms() - DAY_MS);
    Scan { facility: Some(facility), country: Some("US"), ..scan }.json()
}

impl Admin {
    fn of(setup: Setup) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let setup = setup.policies(SHORT_POLICIES).with("admin", format!("listen = \"{address}\""));
        let service = setup.start();
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build();
        let client = client.expect("a client");
        let runtime = Runtime::new().expect("a runtime");
        Self { setup, service, address, client, runtime }
    }

    fn start(name: &str, partitions: i32) -> Self {
        Self::of(Setup::new(shared(), name, partitions, "json"))
    }

    fn produce(&self, records: impl IntoIterator<Item = NewRecord>) {
        produce(&self.setup.bootstrap, &self.setup.scans(), records);
    }

    /// Status and body of a GET with the token.
    fn get(&self, path: &str) -> (StatusCode, Value) {
        let url = format!("http://{}{path}", self.address);
        let request = self.client.get(url).bearer_auth(TOKEN);
        self.runtime.block_on(async {
            let response = request.send().await.expect("an answer");
            let status = response.status();
            let body = response.bytes().await.expect("a body");
            (status, serde_json::from_slice(&body).unwrap_or_default())
        })
    }

    fn told(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    /// Waits until so many exceptions are open.
    fn wait_open(&mut self, count: usize) {
        self.wait_for("/v1/exceptions?limit=500", "exceptions", count);
    }

    /// Waits until a list of an answer is so long.
    fn wait_for(&mut self, path: &str, list: &str, count: usize) {
        let (client, url) = (self.client.clone(), format!("http://{}{path}", self.address));
        let runtime = &self.runtime;
        self.service.wait(list, |_| {
            let request = client.get(&url).bearer_auth(TOKEN);
            let body = runtime.block_on(async { request.send().await.ok()?.bytes().await.ok() })?;
            let body: Value = serde_json::from_slice(&body).ok()?;
            (body[list].as_array()?.len() == count).then_some(())
        });
    }

    /// What is answered to bytes that no client library would send, and whether the connection was
    /// closed then.
    fn raw(&self, request: &[u8]) -> (String, bool) {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let waited = stream.read_to_end(&mut answer).is_err_and(|error| {
            matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
        });
        (String::from_utf8_lossy(&answer).into_owned(), !waited)
    }
}

#[test]
fn a_package_is_told_with_its_policy_and_every_deadline_wherever_it_is() {
    let mut admin = Admin::start("look-up", 4);
    admin.produce((0..8).map(|number| silent(&format!("1Z{number}"), "MIAA")));
    admin.wait_open(8);
    for number in 0..8 {
        let told = admin.told(&format!("/v1/packages/UPS/1z-{number}"));
        assert_eq!(told["tracking_number"], format!("1Z{number}"));
        assert_eq!((&told["complete"], &told["input_partitions"]), (&json!(true), &json!(4)));
        let package = &told["packages"][0];
        assert_eq!(package["phase"], "moving");
        assert_eq!(package["last_facility"], "MIAA");
        assert_eq!(package["deadlines"][0]["state"], "past");
        assert_eq!(package["open"][0]["kind"], "no_movement");
        assert!(package["why"].as_str().unwrap().contains("An exception is open"), "{package}");
    }
    assert_eq!(admin.told("/v1/packages/ups/1ZUNKNOWN")["packages"], json!([]));
    let (status, body) = admin.get("/v1/packages/ups/%20");
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    assert!(body["error"].as_str().unwrap().contains("tracking number is empty"), "{body}");
}

/// Two instances of one group, and the way to the first.
struct Pair {
    setup: Setup,
    addresses: [String; 2],
    services: Vec<Service>,
    client: Client,
    runtime: Runtime,
}

const NAMES: [&str; 2] = ["one", "two"];

impl Pair {
    fn new(name: &str) -> Self {
        Self {
            setup: Setup::new(shared(), name, 4, "json").policies(SHORT_POLICIES),
            addresses: [(); 2].map(|()| format!("127.0.0.1:{}", free_port())),
            services: Vec::new(),
            client: Client::builder().no_proxy().build().expect("a client"),
            runtime: Runtime::new().expect("a runtime"),
        }
    }

    /// Starts one of them, which advertises its address or does not.
    fn spawn(&mut self, at: usize, advertises: bool) -> Service {
        let address = &self.addresses[at];
        let mut lines = vec![("admin", format!("listen = \"{address}\""))];
        if advertises {
            lines.push(("admin", format!("advertised = \"{address}\"")));
        }
        std::mem::swap(&mut self.setup.lines, &mut lines);
        let service = self.setup.spawn_as(NAMES[at]);
        std::mem::swap(&mut self.setup.lines, &mut lines);
        service
    }

    fn start(mut self, advertise: bool) -> Self {
        self.services = (0..2).map(|at| self.spawn(at, advertise)).collect();
        self.hold_all();
        self
    }

    /// Waits until each holds half of the partitions.
    fn hold_all(&mut self) {
        for service in &mut self.services {
            service.wait("both hold partitions", |service| {
                let assigned = service.metrics()?.sum("stallwatch_partitions_assigned");
                let restoring = service.metrics()?.sum("stallwatch_partitions_restoring");
                (assigned == 2.0 && restoring == 0.0).then_some(())
            });
        }
    }

    /// What the first tells.
    fn ask(&self, path: &str) -> Option<Value> {
        let url = format!("http://{}{path}", self.addresses[0]);
        self.runtime.block_on(async {
            let body = self.client.get(url).send().await.ok()?.bytes().await.ok()?;
            serde_json::from_slice::<Value>(&body).ok()
        })
    }

    /// Waits until the first finds every one of so many packages, wherever it is.
    fn find_all(&mut self, packages: usize) {
        for number in 0..packages {
            let path = format!("/v1/packages/ups/1ZE{number}");
            let mut service = self.services.remove(0);
            service.wait("the package is found", |_| {
                let told = self.ask(&path)?;
                (told["complete"] == json!(true) && told["packages"].as_array()?.len() == 1)
                    .then_some(())
            });
            self.services.insert(0, service);
        }
    }

    fn produce(&self, packages: usize) {
        let records = (0..packages).map(|number| silent(&format!("1ZE{number}"), "MIAA"));
        produce(&self.setup.bootstrap, &self.setup.scans(), records);
    }
}

#[test]
fn a_look_up_at_one_instance_finds_what_another_one_holds_and_says_who_does_not_answer() {
    let mut pair = Pair::new("peers").start(true);
    pair.produce(12);
    let local = pair.ask("/v1/packages/ups/1ZE0?scope=local").expect("an answer");
    assert_eq!(local["complete"], json!(false), "{local}");
    pair.find_all(12);
    pair.services[1].send("STOP");
    let told = pair.ask("/v1/packages/ups/1ZE0").expect("an answer");
    pair.services[1].send("CONT");
    assert_eq!(told["complete"], json!(false), "{told}");
    assert_eq!(told["instances"][0]["address"], pair.addresses[1]);
    assert!(told["instances"][0]["error"].is_string(), "{told}");
    pair.services.into_iter().for_each(Service::stop);
}

#[test]
fn addresses_that_a_rolling_restart_adds_or_changes_are_asked_right_afterwards() {
    let mut pair = Pair::new("rolling").start(false);
    pair.produce(12);
    for number in 0..3 {
        if number > 0 {
            pair.addresses = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
        }
        for at in 0..2 {
            pair.services.remove(at).stop();
            let again = pair.spawn(at, true);
            pair.services.insert(at, again);
        }
        pair.hold_all();
        pair.find_all(12);
        until(
            "nobody asks at addresses that are gone",
            PATIENCE,
            || {
                let told = pair.ask("/v1/packages/ups/1ZE0")?;
                let asked = told["instances"].as_array()?;
                (asked.len() == 1 && asked[0]["address"] == pair.addresses[1]).then_some(())
            },
            || format!("{:?}", pair.ask("/v1/packages/ups/1ZE0")),
        );
    }
    pair.services.into_iter().for_each(Service::stop);
}

#[test]
fn open_exceptions_are_told_page_by_page_each_once_and_counted_by_place() {
    let mut admin = Admin::start("pages", 3);
    let places = ["MIAA", "ORDB", "LAXC"];
    let record = |number: usize| silent(&format!("1ZP{number:03}"), places[number % 3]);
    admin.produce((0..90).map(record));
    admin.wait_open(90);
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = admin.told(&format!("/v1/exceptions?limit=7&carrier=ups&cursor={cursor}"));
        let exceptions = page["exceptions"].as_array().unwrap();
        seen.extend(
            exceptions.iter().map(|one| one["tracking_number"].as_str().unwrap().to_owned()),
        );
        match page["cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..90).map(|number| format!("1ZP{number:03}")).collect::<Vec<_>>());
    assert_eq!(admin.told("/v1/exceptions?carrier=dhl")["exceptions"], json!([]));
    let there = admin.told("/v1/exceptions?facility=ORDB&limit=500");
    let there = there["exceptions"].as_array().unwrap();
    assert_eq!(there.len(), 30);
    assert!(there.iter().all(|one| one["last_facility"] == "ORDB"), "{there:?}");
    assert_eq!(admin.told("/v1/exceptions?facility=-")["exceptions"], json!([]));
    let summary = admin.told("/v1/summary?by=carrier,facility");
    let rows = summary["rows"].as_array().unwrap();
    let open: Vec<_> = rows.iter().map(|row| (&row["facility"], &row["open"])).collect();
    assert_eq!(open.len(), 3, "{summary}");
    assert!(open.iter().all(|(_, open)| **open == json!(30)), "{summary}");
    admin.wait_for("/v1/events?change=opened&limit=1000", "events", 90);
    assert_eq!(admin.told("/v1/events?change=retracted")["events"], json!([]));
}

#[test]
fn a_tap_hears_of_an_exception_once_it_is_committed() {
    let admin = Admin::start("tap", 1);
    let request = admin.client.get(format!("http://{}/v1/tap?change=opened", admin.address));
    let mut stream = admin.runtime.block_on(async { request.send().await }).expect("a stream");
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    admin.produce([silent("1ZTAP", "MIAA")]);
    let mut heard = String::new();
    while !heard.contains("\n\n") {
        let chunk = admin.runtime.block_on(stream.chunk()).expect("the stream goes on");
        heard.push_str(&String::from_utf8_lossy(&chunk.expect("it does not end")));
    }
    let data = heard.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
    let event: Value = serde_json::from_str(data).expect("one line of JSON");
    assert_eq!((&event["tracking_number"], &event["change"]), (&json!("1ZTAP"), &json!("opened")));
    assert!(heard.contains("event: exception"), "{heard}");
}

#[test]
fn the_trace_context_of_a_closing_scan_is_handed_on() {
    let mut admin = Admin::start("traced", 1);
    admin.produce([silent("1ZTRACE", "MIAA")]);
    admin.wait_open(1);
    let context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = vec![("traceparent".to_owned(), context.as_bytes().to_vec())];
    admin.produce([NewRecord { headers, ..Scan::new("1ZTRACE", "departed", now_ms()).json() }]);
    admin.wait_open(0);
    let (bootstrap, topic) = (&admin.setup.bootstrap, admin.setup.exceptions());
    let events = read(bootstrap, &topic);
    let traces: Vec<_> = events.iter().map(|event| header(event, "traceparent")).collect();
    assert_eq!(traces, [None, Some(context.to_owned())]);
}

#[test]
fn policies_partitions_and_the_level_of_the_log_are_told_and_the_level_changed() {
    let admin = Admin::start("told", 2);
    let policies = admin.told("/v1/policies");
    assert!(!policies["policies"][0]["no_movement"].as_array().unwrap().is_empty(), "{policies}");
    let partitions = admin.told("/v1/partitions");
    assert_eq!(partitions["ready"], json!(true), "{partitions}");
    assert_eq!(partitions["rows"].as_array().unwrap().len(), 2);
    let put = |level: &str| {
        let request = admin.client.put(format!("http://{}/v1/log", admin.address));
        let body = json!({ "level": level }).to_string();
        let request = request.header("content-type", "application/json").body(body);
        admin.runtime.block_on(async { request.send().await }).expect("an answer").status()
    };
    assert_eq!(put("chatty"), StatusCode::BAD_REQUEST);
    assert_eq!(put("info,stallwatch::service=debug"), StatusCode::OK);
    assert_eq!(admin.told("/v1/log")["level"], "info,stallwatch::service=debug");
    let reload = |path: &str| {
        let request = admin.client.post(format!("http://{}{path}", admin.address));
        let response = admin.runtime.block_on(async { request.send().await }).expect("an answer");
        let status = response.status();
        (status, admin.runtime.block_on(response.text()).expect("a body"))
    };
    let (status, body) = reload("/v1/policies/reload?dry_run=true");
    assert!(status == StatusCode::OK && body.contains("\"changed\":false"), "{status} {body}");
    std::fs::write(admin.setup.file("policies.toml"), "version = 1\n[[policy]]\nid = 3\n").unwrap();
    let (status, body) = reload("/v1/policies/reload?dry_run=true");
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(body.contains("policies.toml:3:"), "{body}");
}

#[test]
fn without_the_token_nothing_is_told() {
    let setup = Setup::new(shared(), "token", 1, "json");
    std::fs::write(setup.file("token"), format!("{TOKEN}\n")).expect("written");
    let admin = Admin::of(setup.with("admin", "token_file = \"token\""));
    for path in ["/v1/partitions", "/v1/packages/ups/1Z", "/v1/tap", "/openapi.json"] {
        for token in [None, Some("wrong"), Some(&TOKEN[1..]), Some("")] {
            let mut request = admin.client.get(format!("http://{}{path}", admin.address));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let response =
                admin.runtime.block_on(async { request.send().await }).expect("an answer");
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path} {token:?}");
        }
        if path != "/v1/tap" {
            assert_eq!(admin.get(path).0, StatusCode::OK, "{path}");
        }
    }
    assert_eq!(admin.get("/").0, StatusCode::OK, "the page itself tells nothing");
    assert!(!admin.service.log().contains(TOKEN), "the token stands in the log");
}

/// A certificate for localhost that is its own authority, and its key.
fn make_certificate(folder: &Path, name: &str) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-addext"])
        .arg("subjectAltName=DNS:localhost,IP:127.0.0.1")
        .arg("-keyout")
        .arg(folder.join(format!("{name}.key")))
        .arg("-out")
        .arg(folder.join(format!("{name}.pem")))
        .output()
        .expect("openssl can be run");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn with_an_authority_of_clients_only_their_certificates_are_let_in() {
    let setup = Setup::new(shared(), "mtls", 1, "json");
    let folder = setup.file("");
    for name in ["server", "client", "stranger"] {
        make_certificate(&folder, name);
    }
    let admin = Admin::of(
        setup
            .with("admin", "tls_cert_file = \"server.pem\"")
            .with("admin", "tls_key_file = \"server.key\"")
            .with("admin", "client_ca_file = \"client.pem\""),
    );
    let ask = |shown: Option<&str>| {
        let read = |file: String| std::fs::read(folder.join(file)).expect("a file");
        let authority = reqwest::Certificate::from_pem(&read("server.pem".to_owned())).unwrap();
        let mut client = Client::builder().no_proxy().tls_certs_merge([authority]);
        if let Some(name) = shown {
            let (pem, key) = (read(format!("{name}.pem")), read(format!("{name}.key")));
            client = client.identity(reqwest::Identity::from_pkcs8_pem(&pem, &key).unwrap());
        }
        // Each request on a connection of its own: the second resumes the first one's session.
        let client = client.pool_max_idle_per_host(0).build().expect("a client");
        let port = admin.address.rsplit_once(':').expect("a port").1;
        let url = format!("https://localhost:{port}/v1/partitions");
        admin.runtime.block_on(async {
            client.get(&url).send().await?;
            client.get(&url).send().await.map(|it| it.status())
        })
    };
    assert_eq!(ask(Some("client")).expect("an answer"), StatusCode::OK);
    assert!(ask(Some("stranger")).is_err());
    assert!(ask(None).is_err());
    assert_eq!(ask(Some("client")).expect("an answer"), StatusCode::OK);
}

#[test]
fn odd_requests_are_refused_and_hurt_nobody() {
    let admin = Admin::start("odd", 1);
    let host = format!("Host: {}\r\nConnection: close\r\n", admin.address);
    let cases = [
        (format!("GET /page/../../etc/passwd HTTP/1.1\r\n{host}\r\n"), "HTTP/1.1 404"),
        (format!("GET /page/%2e%2e%2fCargo.toml HTTP/1.1\r\n{host}\r\n"), "HTTP/1.1 404"),
        (format!("GET //etc/passwd HTTP/1.1\r\n{host}\r\n"), "HTTP/1.1 404"),
        (format!("GET /v1/packages/ups/%00 HTTP/1.1\r\n{host}\r\n"), "HTTP/1.1 400"),
        (format!("GET /v1/packages/ups/%ff HTTP/1.1\r\n{host}\r\n"), "HTTP/1.1 400"),
        (format!("GET /v1/exceptions?limit=-1 HTTP/1.1\r\n{host}\r\n"), "HTTP/1.1 400"),
        (format!("GET /v1/exceptions?cursor=x HTTP/1.1\r\n{host}\r\n"), "HTTP/1.1 400"),
        (format!("GET /v1/events?no=1 HTTP/1.1\r\n{host}\r\n"), "HTTP/1.1 400"),
        (format!("DELETE /v1/partitions HTTP/1.1\r\n{host}\r\n"), "HTTP/1.1 405"),
        (format!("POST /v1/shutdown HTTP/1.1\r\n{host}\r\n"), "HTTP/1.1 404"),
        ("GET /v1/log HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(), "HTTP/1.1 421"),
        ("GET /v1/log HTTP/1.0\r\n\r\n".to_owned(), "HTTP/1.0 421"),
        (
            format!(
                "POST /v1/policies/reload HTTP/1.1\r\n{host}origin: http://evil.example\r\ncontent-type: text/plain\r\ncontent-length: 1\r\n\r\nx"
            ),
            "HTTP/1.1 403",
        ),
        (
            format!(
                "POST /v1/policies/reload HTTP/1.1\r\n{host}content-type: text/plain\r\ncontent-length: 1\r\n\r\nx"
            ),
            "HTTP/1.1 415",
        ),
        (
            format!(
                "PUT /v1/log HTTP/1.1\r\n{host}sec-fetch-site: cross-site\r\ncontent-type: application/json\r\ncontent-length: 1\r\n\r\n{{"
            ),
            "HTTP/1.1 403",
        ),
        (format!("GET /{} HTTP/1.1\r\n{host}\r\n", "a".repeat(100_000)), "HTTP/1.1 4"),
        (
            format!(
                "PUT /v1/log HTTP/1.1\r\n{host}content-type: application/json\r\ncontent-length: 99999999\r\n\r\n{{"
            ),
            "HTTP/1.1 413",
        ),
        (
            format!(
                "PUT /v1/log HTTP/1.1\r\n{host}content-type: application/json\r\ncontent-length: 1\r\n\r\n{{"
            ),
            "HTTP/1.1 400",
        ),
        ("\u{16}\u{3}\u{1}\r\n\r\n".to_owned(), "HTTP/1.1 400"),
    ];
    for (request, expected) in cases {
        let shown: String = request.chars().take(60).collect();
        let (answer, closed) = admin.raw(request.as_bytes());
        assert!(answer.starts_with(expected) && closed, "{shown:?}: {answer}");
    }
    assert_eq!(admin.get("/v1/partitions").0, StatusCode::OK);
}

#[test]
fn a_client_that_never_ends_its_request_is_sent_away() {
    let admin = Admin::start("slow", 1);
    let (answer, closed) =
        admin.raw(format!("GET /v1/log HTTP/1.1\r\nHost: {}\r\n", admin.address).as_bytes());
    assert!(closed, "the connection stays open");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(admin.get("/v1/partitions").0, StatusCode::OK);
}

/// Resident memory of a process, in MiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") / 1_024
}

#[test]
fn ten_thousand_look_ups_at_once_are_answered_or_told_to_come_again() {
    const AT_ONCE: usize = 10_000;
    let mut admin = Admin::start("crowd", 2);
    admin.produce([silent("1ZCROWD", "MIAA")]);
    admin.wait_open(1);
    let before = resident(admin.service.id());
    let url = format!("http://{}/v1/packages/ups/1ZCROWD", admin.address);
    let statuses = admin.runtime.block_on(async {
        let (barrier, client) = (Arc::new(Barrier::new(AT_ONCE)), admin.client.clone());
        let ask = |_| {
            let (barrier, client, url) = (barrier.clone(), client.clone(), url.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                client.get(url).send().await.map(|response| response.status())
            })
        };
        let mut statuses = Vec::with_capacity(AT_ONCE);
        for asked in (0..AT_ONCE).map(ask).collect::<Vec<_>>() {
            statuses.push(asked.await.expect("no panic"));
        }
        statuses
    });
    let count = |wanted| statuses.iter().filter(|it| it.as_ref().ok() == Some(&wanted)).count();
    let (answered, later) = (count(StatusCode::OK), count(StatusCode::TOO_MANY_REQUESTS));
    let lost = AT_ONCE - answered - later;
    assert!(answered > 0 && lost * 10 < AT_ONCE, "answered {answered}, later {later}, lost {lost}");
    let grown = resident(admin.service.id()).saturating_sub(before);
    assert!(grown < 256, "it took {grown} MiB");
    assert_eq!(admin.get("/v1/partitions").1["ready"], json!(true));
    assert_eq!(admin.told("/v1/packages/ups/1ZCROWD")["packages"].as_array().unwrap().len(), 1);
}

#[test]
fn what_opened_is_told_since_when_it_is_counted_also_behind_a_restart() {
    let mut admin = Admin::start("opened", 1);
    let an_hour_ago = now_ms() - 3_600_000;
    admin.produce([Scan::new("1ZOPENED", "arrived", an_hour_ago).json()]);
    admin.wait_for("/v1/events", "events", 1);
    let opened = |admin: &Admin| {
        let told = admin.told("/v1/summary?by=carrier");
        let hours = told["opened"]["by_hour"].as_array().unwrap().iter().filter_map(Value::as_u64);
        let since = told["opened"]["counted_since"][0].as_str().unwrap().to_owned();
        assert_eq!(told["opened"]["whole"], false, "{told}");
        (hours.sum::<u64>(), since, told["rows"][0]["open"].clone(), told["at"].clone())
    };
    let (count, since, ..) = opened(&admin);
    assert_eq!(count, 1);
    admin.service.send("TERM");
    admin.service.wait_exit();
    admin.service = admin.setup.start();
    admin.wait_open(1);
    let (count, again, open, at) = opened(&admin);
    assert_eq!((count, open), (0, json!(1)), "what opened before is not known here");
    assert!(since < again && again.as_str() <= at.as_str().unwrap(), "{since} {again} {at}");
}

#[test]
fn every_path_of_the_api_stands_in_its_description() {
    let admin = Admin::start("described", 1);
    let document = admin.told("/openapi.json");
    let source = include_str!("../../src/service/admin/mod.rs");
    let routes: Vec<&str> = source
        .split(".route(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|path| path.starts_with("/v1/"))
        .collect();
    assert!(routes.len() >= 9, "{routes:?}");
    for route in routes {
        assert!(document["paths"][route].is_object(), "{route} is not described");
    }
}
