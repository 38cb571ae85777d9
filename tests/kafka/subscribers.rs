//! The subscribers of `examples/` on what the real service publishes: each takes exactly the
//! decisions that it should, once, over restarts and a second reading.

use serde_json::Value;

use crate::broker::{project, shared};
use crate::client::{NewRecord, create_topic, end_offsets, produce, read};
use crate::scans::{AvroScans, Scan};
use crate::service::{Service, Setup};
use crate::subscriber::{Subscriber, care, claims, claims_topic, event_of, expected, reship};
use crate::wait::now_ms;

const MINUTE_MS: i64 = 60_000;
const PARTITIONS: i32 = 2;
/// A package of which nothing was heard for three hours is critical, one for six is forgotten as soon
/// as its feed moves on.
const POLICIES: &str = r#"
version = 1
[defaults]
catch_up_grace = "0s"
settled_retention = "1h"
forget_after = "5h"
[[policy]]
id = "everything"
first_scan = [
    { after = "1h", severity = "warning", name = "no_first_scan" },
    { after = "2h", severity = "critical", name = "label_unused" },
]
no_movement = [
    { after = "1h", severity = "warning", name = "stalled" },
    { after = "2h", severity = "critical", name = "presumed_lost" },
]
"#;

/// A service that has published what was open when it first started, one parcel: BACK1.
fn service_with_a_past(format: &'static str) -> (Setup, Service) {
    let setup = Setup::new(shared(), "subscribed", PARTITIONS, format)
        .policies(POLICIES)
        .with("input", "backfill = \"silent\"");
    create_topic(&setup.bootstrap, &claims_topic(&setup), 1, &[]);
    scan(&setup, [ago("BACK1", "arrived", 180)]);
    let mut service = setup.start();
    wait_for_events(&setup, &mut service, 1);
    (setup, service)
}

fn wait_for_events(setup: &Setup, service: &mut Service, count: usize) {
    service.wait("events on the topic", |_| {
        let published = read(&setup.bootstrap, &setup.exceptions());
        (published.len() >= count).then_some(())
    });
}

/// A scan that was logged when it happened, so many minutes ago.
fn ago(number: &str, milestone: &'static str, minutes: i64) -> Scan {
    Scan::new(number, milestone, now_ms() - minutes * MINUTE_MS)
}

/// A scan that is logged only now.
fn late(scan: Scan) -> Scan {
    Scan { event_ms: Some(scan.log_ms), log_ms: now_ms(), ..scan }
}

fn scan(setup: &Setup, scans: impl IntoIterator<Item = Scan>) {
    produce(&setup.bootstrap, &setup.scans(), records(setup, scans));
}

fn records(setup: &Setup, scans: impl IntoIterator<Item = Scan>) -> Vec<NewRecord> {
    let mut avro = AvroScans::new();
    let record = |scan: Scan| if setup.format == "avro" { avro.record(&scan) } else { scan.json() };
    scans.into_iter().map(record).collect()
}

/// Moves the log clock of every partition to now, by parcels that raise nothing.
fn tick(setup: &Setup) {
    for partition in 0..PARTITIONS {
        let settled = Scan::new(&format!("TICK{partition}"), "delivered", now_ms());
        let ticks = records(setup, [settled]).into_iter();
        let placed = ticks.map(|record| NewRecord { partition: Some(partition), ..record });
        produce(&setup.bootstrap, &setup.scans(), placed);
    }
}

/// Every decision names an event that was published about its parcel.
fn assert_named_events_were_published(setup: &Setup, subscriber: &Subscriber<'_>) {
    let published = setup.published();
    for line in subscriber.lines() {
        let (id, sequence) = event_of(&line);
        let named = |event: &&Value| event["exception_id"] == id && event["sequence"] == sequence;
        let event = published.iter().find(named).unwrap_or_else(|| panic!("{line}: no such event"));
        assert_eq!(event["tracking_number"], line["tracking_number"], "{line}");
    }
}

#[test]
fn each_subscriber_decides_as_it_should_and_once_over_a_restart_and_a_second_reading() {
    let (setup, service) = service_with_a_past("avro");
    let (mut care, mut claims, mut reship) = (care(&setup), claims(&setup), reship(&setup));
    care.start(&[]);
    claims.start(&[]);
    reship.start(&[]);
    care.wait_for("BACK1", "review");

    let silent = ["LOST1", "LATE1", "FOUND1"].map(|number| ago(number, "arrived", 180));
    scan(&setup, [ago("GIVEN1", "arrived", 360), ago("LABEL1", "label_created", 180)]);
    scan(&setup, silent.into_iter().chain([ago("SLOW1", "arrived", 90)]));
    for number in ["GIVEN1", "LABEL1", "LOST1", "LATE1", "FOUND1"] {
        care.wait_for(number, "message");
        reship.wait_for(number, "start");
    }
    for number in ["BACK1", "GIVEN1", "LOST1", "LATE1", "FOUND1"] {
        claims.wait_for(number, "open");
    }
    care.stop();
    claims.stop();
    reship.stop();

    scan(&setup, [late(ago("LATE1", "delivered", 150)), ago("LOST2", "arrived", 180)]);
    care.start(&[]);
    claims.start(&[]);
    reship.start(&["--dispatch-after=0".to_owned()]);
    care.wait_for("LOST2", "message");
    claims.wait_for("LOST2", "open");
    reship.wait_for("LOST2", "start");

    scan(&setup, ["FOUND1", "LOST2"].map(|number| ago(number, "delivered", 0)));
    scan(&setup, [ago("SLOW1", "departed", 0)]);
    tick(&setup);
    claims.wait_for("GIVEN1", "keep");
    for number in ["FOUND1", "LOST2"] {
        care.wait_for(number, "reassure");
        claims.wait_for(number, "close");
    }
    care.wait_for("LATE1", "apologise");
    claims.wait_for("LATE1", "close");
    reship.wait_for("LATE1", "stop");
    reship.wait_for("FOUND1", "stop");
    reship.wait_for("LOST2", "recall");
    care.stop();
    claims.stop();
    reship.stop();
    service.stop();

    for subscriber in [&mut care, &mut claims, &mut reship] {
        subscriber.rewind();
        subscriber.start(&[]);
        subscriber.wait_committed();
        subscriber.stop();
        assert_named_events_were_published(&setup, subscriber);
    }
    let of_care = [
        ("BACK1", &["review@1"][..]),
        ("FOUND1", &["message@1", "reassure@2"]),
        ("GIVEN1", &["message@1"]),
        ("LABEL1", &["message@1"]),
        ("LATE1", &["message@1", "apologise@2"]),
        ("LOST1", &["message@1"]),
        ("LOST2", &["message@1", "reassure@2"]),
    ];
    assert_eq!(care.decisions(), expected(&of_care), "{}", care.said());
    let of_claims = [
        ("BACK1", &["open@1"][..]),
        ("FOUND1", &["open@1", "close@2"]),
        ("GIVEN1", &["open@1", "keep@2"]),
        ("LATE1", &["open@1", "close@2"]),
        ("LOST1", &["open@1"]),
        ("LOST2", &["open@1", "close@2"]),
    ];
    assert_eq!(claims.decisions(), expected(&of_claims), "{}", claims.said());
    assert_eq!(claims.decisions_on_topic(), expected(&of_claims), "the topic of decisions");
    let of_reship = [
        ("BACK1", &["start@1"][..]),
        ("FOUND1", &["start@1", "stop@2"]),
        ("GIVEN1", &["start@1"]),
        ("LABEL1", &["start@1"]),
        ("LATE1", &["start@1", "stop@2"]),
        ("LOST1", &["start@1"]),
        ("LOST2", &["start@1", "recall@2"]),
    ];
    assert_eq!(reship.decisions(), expected(&of_reship), "{}", reship.said());
}

#[test]
fn a_subscriber_that_begins_with_the_open_table_decides_nothing_about_what_had_closed_before() {
    let (setup, mut service) = service_with_a_past("json");
    scan(&setup, [ago("PAST1", "arrived", 180), ago("OPEN1", "arrived", 180)]);
    wait_for_events(&setup, &mut service, 5);
    scan(&setup, [ago("PAST1", "delivered", 0)]);
    wait_for_events(&setup, &mut service, 6);
    let before = end_offsets(&setup.bootstrap, &setup.exceptions());
    let (mut care, mut reship) = (care(&setup), reship(&setup));
    care.start(&[]);
    reship.start(&[]);
    care.wait_for("OPEN1", "review");
    reship.wait_for("PAST1", "stop");

    scan(&setup, [ago("LATE1", "arrived", 180)]);
    care.wait_for("LATE1", "message");
    reship.wait_for("LATE1", "start");
    scan(&setup, [late(ago("LATE1", "delivered", 150)), ago("OPEN1", "delivered", 0)]);
    care.wait_for("LATE1", "apologise");
    reship.wait_for("LATE1", "stop");
    reship.wait_for("OPEN1", "stop");
    care.wait_committed_beyond(&before);
    care.stop();
    reship.stop();
    service.stop();
    let of_care = [
        ("BACK1", &["review@1"][..]),
        ("LATE1", &["message@1", "apologise@2"]),
        ("OPEN1", &["review@1"]),
    ];
    assert_eq!(care.decisions(), expected(&of_care), "{}", care.said());
    let of_reship = [
        ("BACK1", &["start@1"][..]),
        ("LATE1", &["start@1", "stop@2"]),
        ("OPEN1", &["start@1", "stop@2"]),
        ("PAST1", &["start@1", "stop@2"]),
    ];
    assert_eq!(reship.decisions(), expected(&of_reship), "{}", reship.said());
}

#[test]
fn the_subscribers_need_the_versions_that_the_tests_fetch() {
    let text = |path: &str| std::fs::read_to_string(project().join(path)).expect("a file");
    let version = |pom: &str, artifact: &str| {
        let pom = text(pom);
        let (_, rest) = pom.split_once(&format!("<artifactId>{artifact}</artifactId>"))?;
        let (_, rest) = rest.split_once("<version>")?;
        Some(rest.split_once("</version>")?.0.to_owned())
    };
    let broker = version("tests/kafka/pom.xml", "kafka_2.13");
    assert!(broker.is_some(), "the broker's version is pinned");
    assert_eq!(version("examples/subscribers/java/pom.xml", "kafka-streams"), broker);
    let fetched = text("tests/kafka/requirements.txt");
    for wanted in text("examples/subscribers/python/requirements.txt").lines() {
        assert!(fetched.lines().any(|line| line == wanted), "{wanted} is not what is tested");
    }
}
