//! Policies that change while the service runs: by a request, by a signal, because their file has
//! changed. A file with problems changes nothing.

use std::fs;

use reqwest::{Client, Method};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::broker::{free_port, shared};
use crate::client::produce;
use crate::evidence::SHORT_POLICIES;
use crate::scans::Scan;
use crate::service::{Service, Setup};
use crate::wait::now_ms;

const HOUR_MS: i64 = 3_600_000;

/// The same policy, under which an hour of silence is nothing.
fn patient() -> String {
    SHORT_POLICIES.replace("8s", "3h")
}

/// A service with one package that has been silent for an hour, and what policies there are.
struct Running {
    setup: Setup,
    service: Service,
    admin: String,
}

impl Running {
    fn start(name: &str, more: Option<&str>) -> Self {
        let admin = format!("127.0.0.1:{}", free_port());
        let setup = Setup::new(shared(), name, 1, "json").policies(patient());
        let setup = setup.with("admin", format!("listen = \"{admin}\""));
        let setup = match more {
            Some(line) => setup.with("policies", line),
            None => setup,
        };
        let mut service = setup.start();
        let scan = Scan::new("1ZSILENT", "arrived", now_ms() - HOUR_MS);
        produce(&setup.bootstrap, &setup.scans(), [scan.json()]);
        service.wait_scans(1);
        service.wait_frontier(1, now_ms() / 1_000);
        assert_eq!(setup.published(), Vec::<Value>::new(), "an hour is nothing");
        Self { setup, service, admin }
    }

    fn write(&self, policies: &str) {
        fs::write(self.setup.file("policies.toml"), policies).expect("written");
    }

    fn gauge(&self, name: &str) -> f64 {
        self.service.metrics().expect("metrics").sum(name)
    }

    fn told(&self, path: &str) -> Value {
        ask(Method::GET, &self.admin, path).expect("an answer").1
    }

    fn reload(&self) -> (u16, Value) {
        ask(Method::POST, &self.admin, "/v1/policies/reload").expect("an answer")
    }

    /// The only event, once there is one.
    fn opened(&mut self) -> Value {
        let setup = &self.setup;
        self.service.wait("an exception", |service| {
            let opened = service.metrics()?.sum("stallwatch_exceptions_total");
            (opened > 0.0).then_some(())
        });
        let [event] = setup.published().try_into().expect("one event");
        assert_eq!(
            (&event["change"], &event["tracking_number"]),
            (&"opened".into(), &"1ZSILENT".into())
        );
        event
    }
}

/// Status and body of an answer of the admin listener, if there is one.
pub fn ask(method: Method, admin: &str, path: &str) -> Option<(u16, Value)> {
    let client = Client::builder().no_proxy().build().expect("a client");
    let request = client.request(method, format!("http://{admin}{path}"));
    Runtime::new().expect("a runtime").block_on(async {
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, serde_json::from_slice(&answer.bytes().await.ok()?).ok()?))
    })
}

#[test]
fn policies_are_read_anew_on_request_and_hold_without_a_restart_and_behind_a_crash() {
    let mut running = Running::start("policies-request", None);
    let before = running.told("/v1/policies")["hash"].clone();
    running.write(SHORT_POLICIES);
    let (status, answer) = running.reload();
    assert_eq!((status, &answer["changed"]), (200, &true.into()), "{answer}");
    assert_ne!(answer["hash"], before);
    let event = running.opened();
    assert_eq!(event["policy_set"], answer["hash"]);
    assert_eq!(running.told("/v1/policies")["hash"], answer["hash"]);
    let Running { setup, mut service, admin } = running;
    service.wait("the partition is under them", |_| {
        let (_, told) = ask(Method::GET, &admin, "/v1/partitions")?;
        (told["rows"][0]["policies"] == answer["hash"]).then_some(())
    });
    service.kill();
    // Whoever starts again reads the file that is there.
    let setup = setup.policies(SHORT_POLICIES);
    let mut service = setup.start();
    service.wait_frontier(1, now_ms() / 1_000);
    service.stop();
    assert_eq!(setup.published().len(), 1, "nothing is said twice");
}

#[test]
fn a_signal_has_the_policies_read_anew_and_a_file_with_problems_changes_nothing() {
    let mut running = Running::start("policies-signal", None);
    running.write("version = 1\n[[policy]]\nid = 3\n");
    running.service.send("HUP");
    running.service.wait("the file is refused", |service| {
        let read = service.metrics()?.sum("stallwatch_policies_last_reload_successful");
        (read == 0.0).then_some(())
    });
    let log = running.service.log();
    assert!(
        log.contains("policies.toml:3:") && log.contains("the policies in force stay"),
        "{log}"
    );
    let (status, answer) = running.reload();
    assert_eq!(status, 422, "{answer}");
    assert!(answer["problems"][0].as_str().unwrap().contains("policies.toml:3:"), "{answer}");
    running.write(SHORT_POLICIES);
    running.service.send("HUP");
    running.opened();
    assert_eq!(running.gauge("stallwatch_policies_last_reload_successful"), 1.0);
    assert_eq!(running.gauge("stallwatch_policies_info"), 1.0, "of those in force alone");
    running.service.stop();
}

#[test]
fn a_watched_policies_file_that_changes_is_read_anew_by_itself() {
    let mut running = Running::start("policies-watched", Some("watch = true"));
    running.write(SHORT_POLICIES);
    running.opened();
    running.service.stop();
}
