//! Writer schemas: several at once; one that nobody has yet holds its partition, by name, and is no
//! reason to reject; what the registry does not have either is a dead letter, for good.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};

use apache_avro::Schema;
use reqwest::Method;
use serde_json::{Value, json};

use crate::broker::{free_port, project, shared};
use crate::client::{NewRecord, create_topic, header, produce, read};
use crate::equality::{assert_equals_replay_of, assert_same, by_package};
use crate::evidence::{SHORT_POLICIES, STEP_S, told};
use crate::policies::ask;
use crate::scans::{AvroScans, Scan};
use crate::service::{SCANS_SETTINGS, Service, Setup};
use crate::wait::{now_ms, now_secs};

const HELD: &str = "stallwatch_frontier_held";
const MINUTE_MS: i64 = 60_000;

/// The producer's schema behind a release that adds a nullable field at the end.
fn released() -> String {
    let text = fs::read_to_string(project().join("schemas/scan.v1.avsc")).expect("our schema");
    let mut schema: Value = serde_json::from_str(&text).expect("JSON");
    let added = json!({ "name": "lane", "type": ["null", "string"], "default": null });
    schema["fields"].as_array_mut().expect("fields").push(added);
    schema.to_string()
}

static RELEASED: LazyLock<Schema> =
    LazyLock::new(|| Schema::parse_str(&released()).expect("a schema"));

/// A scan by the schema of before the release, and one by that of after it.
fn before(number: &str, milestone: &'static str, ago_ms: i64) -> NewRecord {
    AvroScans::new().record(&Scan::new(number, milestone, now_ms() - ago_ms))
}

fn after(number: &str, milestone: &'static str, ago_ms: i64) -> NewRecord {
    AvroScans::of(&RELEASED).record(&Scan::new(number, milestone, now_ms() - ago_ms))
}

/// The same in Confluent's framing.
fn framed(id: u32, mut record: NewRecord) -> NewRecord {
    let datum = record.value.take().expect("a payload").split_off(10);
    NewRecord { value: Some([&[0][..], &id.to_be_bytes(), &datum].concat()), ..record }
}

fn poison(time_ms: Option<i64>) -> NewRecord {
    NewRecord { value: Some(b"poison".to_vec()), time_ms, ..NewRecord::default() }
}

/// A service with a folder of schemas, and its admin listener's address. `twin` is a topic for the
/// same scans by our own schema: what the independent reader exports for `replay`.
struct Running {
    setup: Setup,
    admin: String,
    folder: PathBuf,
    twin: String,
}

impl Running {
    fn new(name: &str, partitions: i32) -> Self {
        let admin = format!("127.0.0.1:{}", free_port());
        let setup = Setup::new(shared(), name, partitions, "avro").policies(SHORT_POLICIES);
        let folder = setup.file("schemas");
        fs::create_dir(&folder).expect("a folder");
        let setup = setup
            .with("admin", format!("listen = \"{admin}\""))
            .with("input", "schema_files = \"schemas\"");
        let twin = format!("{}.twin", setup.name);
        create_topic(&setup.bootstrap, &twin, partitions, SCANS_SETTINGS);
        Self { setup, admin, folder, twin }
    }

    fn with(self, section: &'static str, line: impl Into<String>) -> Self {
        Self { setup: self.setup.with(section, line), ..self }
    }

    /// Records, and what stands for each of them on the twin topic.
    fn produce(&self, records: impl IntoIterator<Item = (NewRecord, NewRecord)>) {
        let (records, twins): (Vec<_>, Vec<_>) = records.into_iter().unzip();
        produce(&self.setup.bootstrap, &self.setup.scans(), records);
        produce(&self.setup.bootstrap, &self.twin, twins);
    }

    /// The schema of after the release comes into the folder, whole at once.
    fn add(&self) {
        let beside = self.setup.file("released.tmp");
        fs::write(&beside, released()).expect("written");
        fs::rename(beside, self.folder.join("released.avsc")).expect("renamed");
    }

    fn remove(&self) {
        fs::remove_file(self.folder.join("released.avsc")).expect("removed");
    }

    fn told(&self, method: Method, path: &str) -> Option<(u16, Value)> {
        ask(method, &self.admin, path)
    }

    /// Waits until the partition is held for want of a schema, and gives what it waits for.
    fn wait_held(&self, service: &mut Service, partition: usize) -> String {
        service.wait("the partition is held", |service| {
            let reason = [("reason", "unknown_schema".to_owned())];
            let held = service.metrics()?.value(HELD, &reason)?;
            let (_, told) = self.told(Method::GET, "/v1/partitions")?;
            let row = &told["rows"][partition];
            let waits_for = row["waits_for"].as_str()?.to_owned();
            (held == 1.0 && row["hold"] == "unknown_schema").then_some(waits_for)
        })
    }

    fn dead_letters(&self) -> usize {
        read(&self.setup.bootstrap, &self.setup.dead_letters()).len()
    }
}

/// The same scan by another schema and by ours, at the same time.
fn pair(number: &str, milestone: &'static str, ago_ms: i64) -> (NewRecord, NewRecord) {
    let scan = Scan::new(number, milestone, now_ms() - ago_ms);
    (AvroScans::of(&RELEASED).record(&scan), AvroScans::new().record(&scan))
}

fn same(record: NewRecord) -> (NewRecord, NewRecord) {
    (record.clone(), record)
}

#[test]
fn a_schema_that_nobody_has_holds_its_partition_by_name_until_it_is_in_the_folder() {
    for by in ["signal", "request", "file"] {
        let running = Running::new(&format!("schema-{by}"), 1);
        let setup = &running.setup;
        running.produce([
            same(before("BEFORE", "arrived", MINUTE_MS)),
            pair("AFTER", "arrived", MINUTE_MS),
            same(before("BEHIND", "arrived", MINUTE_MS)),
        ]);
        let mut service = setup.spawn();
        let waits_for = running.wait_held(&mut service, 0);
        let says = "offset 1: the record was written with the schema of fingerprint ";
        assert!(waits_for.starts_with(says), "{waits_for}");
        let (status, ready) = service.get("/readyz").expect("an answer");
        assert_eq!(status, 503);
        assert!(ready.contains("partition 0 is live and waits at offset 1: "), "{ready}");
        let told = service.log().matches("the partition waits at offset 1").count();
        assert_eq!(told, 1, "{}", service.log());
        let doctor = setup.run_verb(&["doctor"]);
        let fails =
            |line: &str| line.starts_with("FAIL  records: ") && line.contains("1 were written");
        assert!(doctor.code == 3 && doctor.out.lines().any(fails), "{doctor:?}");
        assert_eq!(running.dead_letters(), 0);

        running.add();
        match by {
            "signal" => service.send("HUP"),
            "request" => {
                let (status, told) =
                    running.told(Method::POST, "/v1/schemas/reload").expect("an answer");
                assert_eq!((status, &told["changed"]), (200, &true.into()), "{told}");
                assert_eq!(told["schemas"].as_array().map(Vec::len), Some(2), "{told}");
            }
            _ => {}
        }
        service.wait_scans(3);
        service.wait_frontier(1, now_secs() - 2);
        service.wait_ready();
        let log = service.log();
        assert!(log.contains(&format!("by=\"{by}\"")) || by == "signal", "{log}");
        assert!(log.contains("the partition goes on"), "{log}");
        service.stop();
        assert_eq!(running.dead_letters(), 0);
        assert_eq!(assert_equals_replay_of(setup, &running.twin).len(), 3, "nothing was lost");
    }
}

#[test]
fn a_rebuild_that_lacks_a_schema_waits_by_name_and_forgets_no_package() {
    let running = Running::new("schema-rebuild", 1);
    let setup = &running.setup;
    running.add();
    running.produce([pair("AFTER", "arrived", MINUTE_MS), same(before("B", "arrived", MINUTE_MS))]);
    let mut service = setup.start();
    service.wait_scans(2);
    service.wait_frontier(1, now_secs() - 2);
    service.stop();
    assert_eq!(assert_equals_replay_of(setup, &running.twin).len(), 2);

    running.remove();
    let mut service = setup.spawn();
    let waits_for = running.wait_held(&mut service, 0);
    assert!(waits_for.starts_with("offset 0: the record was written with"), "{waits_for}");
    let (status, ready) = service.get("/readyz").expect("an answer");
    assert_eq!(status, 503);
    assert!(ready.contains("partition 0 is restoring and waits at offset 0: "), "{ready}");
    // Who stops meanwhile goes on another time.
    service.stop();
    let mut service = setup.spawn();
    running.wait_held(&mut service, 0);
    running.produce([pair("AFTER", "departed", 0)]);
    running.add();
    service.wait_ready();
    service.wait_scans(1);
    service.wait_frontier(1, now_secs() + STEP_S + 1);
    service.stop();
    let events = assert_equals_replay_of(setup, &running.twin);
    let after = &events[&("ups".to_owned(), "AFTER".to_owned())];
    let changes: Vec<_> = after.iter().map(|event| event["change"].as_str()).collect();
    assert_eq!(changes, ["opened", "resolved", "opened"].map(Some), "it was known all along");
    assert_eq!(running.dead_letters(), 0);
}

#[test]
fn other_partitions_go_on_however_much_comes_behind_a_record_that_waits() {
    let running = Running::new("schema-others", 2).with("input", "on_reject = \"skip\"");
    let setup = &running.setup;
    let of = |partition, record| NewRecord { partition: Some(partition), ..record };
    let mut service = setup.start();
    let large = || NewRecord { value: Some(vec![b'x'; 900_000]), ..poison(None) };
    produce(&setup.bootstrap, &setup.scans(), [of(0, after("AFTER", "arrived", MINUTE_MS))]);
    running.wait_held(&mut service, 0);
    produce(&setup.bootstrap, &setup.scans(), (0..120).map(|_| of(0, large())));
    produce(&setup.bootstrap, &setup.scans(), [of(0, before("BEHIND", "arrived", 0))]);
    let begun = now_secs();
    produce(&setup.bootstrap, &setup.scans(), [of(1, before("OTHER", "arrived", 0))]);
    service.wait_scans(1);
    service.wait("the other partition's frontier goes on", |service| {
        let label = [("partition", "1".to_owned())];
        let frontier = service.metrics()?.value("stallwatch_frontier_timestamp_seconds", &label)?;
        (frontier >= (begun + STEP_S + 1) as f64).then_some(())
    });
    let opened = setup.published();
    assert_eq!(opened.len(), 1, "{opened:?}");
    assert_eq!(opened[0]["tracking_number"], "OTHER");
    running.wait_held(&mut service, 0);
    running.add();
    service.wait_scans(3);
    service.wait_ready();
    service.stop();
}

#[test]
fn two_schemas_in_one_topic_are_both_read_by_fingerprint_and_by_id_without_a_registry() {
    let ours = project().join("schemas/scan.v1.avsc");
    let by_id = format!("schemas = {{ 17 = \"{}\", 18 = \"released.avsc\" }}", ours.display());
    let running = Running::new("schema-two", 1).with("input", by_id);
    let setup = &running.setup;
    fs::write(setup.file("released.avsc"), released()).expect("written");
    let records = (0..40).map(|at| {
        let (by_after, by_before) = pair(&format!("P{at}"), "arrived", MINUTE_MS);
        let record = match at % 4 {
            0 => by_before.clone(),
            1 => by_after,
            2 => framed(17, by_before.clone()),
            _ => framed(18, by_after),
        };
        (record, by_before)
    });
    running.produce(records);
    let mut service = setup.start();
    service.wait_scans(40);
    service.wait_frontier(1, now_secs() - 2);
    service.stop();
    assert_eq!(assert_equals_replay_of(setup, &running.twin).len(), 40);
}

/// A schema registry: status and body for each id, which may change.
#[derive(Clone, Default)]
struct Registry {
    answers: Arc<Mutex<BTreeMap<u32, (u16, String)>>>,
}

impl Registry {
    /// Starts it; the line of the configuration that names it.
    fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("url = \"http://{}\"", listener.local_addr().expect("its address"));
        let answers = self.answers.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let mut lines = BufReader::new(stream.try_clone().expect("a handle")).lines();
                let asked = lines.next().and_then(Result::ok).unwrap_or_default();
                while lines.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
                let id = asked.split(['/', ' ']).find_map(|part| part.parse::<u32>().ok());
                let known = id.and_then(|id| answers.lock().expect("a lock").get(&id).cloned());
                let (status, body) = known.unwrap_or_else(no_such);
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                );
            }
        });
        url
    }

    fn answer(&self, id: u32, status: u16, body: impl Into<String>) {
        self.answers.lock().expect("a lock").insert(id, (status, body.into()));
    }

    fn know(&self, id: u32) {
        self.answer(id, 200, json!({ "schema": released() }).to_string());
    }
}

fn no_such() -> (u16, String) {
    (404, json!({ "error_code": 40403, "message": "Schema not found" }).to_string())
}

#[test]
fn what_the_registry_has_not_after_patience_is_a_dead_letter_for_good_and_left_out_of_a_rebuild() {
    for backfill in ["publish", "silent"] {
        let registry = Registry::default();
        let running = Running::new(&format!("schema-404-{backfill}"), 1)
            .with("schema_registry", registry.start())
            .with("kafka", "patience = \"3s\"")
            .with("input", format!("backfill = \"{backfill}\""));
        let setup = &running.setup;
        registry.know(18);
        let (by_18, ours) = pair("KNOWN", "arrived", MINUTE_MS);
        let unknown = framed(99, after("UNKNOWN", "arrived", MINUTE_MS));
        let time_ms = unknown.time_ms;
        running.produce([
            (framed(18, by_18), ours),
            (unknown, poison(time_ms)),
            same(before("BEHIND", "arrived", MINUTE_MS)),
        ]);
        let mut service = setup.start();
        service.wait_frontier(1, now_secs() - 2);
        let rejected = [("reason", "unknown_schema".to_owned())];
        service.wait("the rejection", |service| {
            let count = service.metrics()?.value("stallwatch_records_rejected_total", &rejected)?;
            (count == 1.0).then_some(())
        });
        let told = || told(&setup.published());
        let opened = |numbers: &[&str]| -> Vec<(String, String)> {
            numbers.iter().map(|&number| (number.to_owned(), "opened".to_owned())).collect()
        };
        service.wait("what is due", |_| (told() == opened(&["BEHIND", "KNOWN"])).then_some(()));
        service.kill();
        let letters = read(&setup.bootstrap, &setup.dead_letters());
        if backfill == "publish" {
            assert_eq!(letters.len(), 1);
            let message = header(&letters[0], "__stallwatch.errors.message").expect("a message");
            assert!(
                message.contains("the schema of id 99") && message.contains("404"),
                "{message}"
            );
        }

        // Somebody registers the schema: what was decided stays.
        registry.know(99);
        let mut service = setup.start();
        service.wait_frontier(1, now_secs());
        let (moved_99, moved) = pair("UNKNOWN", "departed", 0);
        running.produce([(framed(99, moved_99), moved)]);
        service.wait_scans(1);
        service.wait_frontier(1, now_secs() + STEP_S + 1);
        service.stop();
        assert_eq!(told(), opened(&["BEHIND", "KNOWN", "UNKNOWN"]), "once, by its later scan");
        if backfill == "publish" {
            let published = by_package(setup.published());
            assert_same(&published, &assert_equals_replay_of(setup, &running.twin));
        }
    }
}

#[test]
fn a_registry_that_does_not_answer_is_waited_for_without_end() {
    let registry = Registry::default();
    let running = Running::new("schema-silent", 1)
        .with("schema_registry", registry.start())
        .with("kafka", "patience = \"1s\"");
    let setup = &running.setup;
    registry.answer(18, 503, "");
    let (by_18, ours) = pair("KNOWN", "arrived", MINUTE_MS);
    running.produce([(framed(18, by_18), ours)]);
    let mut service = setup.spawn();
    let waits_for = running.wait_held(&mut service, 0);
    assert!(waits_for.contains("does not answer that: 503"), "{waits_for}");
    for (status, body) in [(401, ""), (404, "<html>")] {
        registry.answer(18, status, body);
        let begun = now_ms();
        service.wait("time passes beyond patience", |_| (now_ms() > begun + 3_000).then_some(()));
        running.wait_held(&mut service, 0);
    }
    assert_eq!(running.dead_letters(), 0);
    registry.know(18);
    service.wait_scans(1);
    service.wait_frontier(1, now_secs() - 2);
    service.wait_ready();
    service.stop();
    assert_eq!(assert_equals_replay_of(setup, &running.twin).len(), 1);
}
