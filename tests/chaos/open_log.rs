//! What a restart reads of a partition of the open topic beyond what is open: cut records and commit
//! markers, of a partition that commits all the time, twice a second. Hours are made shorter, and commits
//! as much more frequent; where the machine does not come to so many, what is read is reckoned up.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};
use serde_json::{Value, json};

use crate::backlog::POLICIES;
use crate::broker::Broker;
use crate::client::{create_topic, send};
use crate::scans::Scan;
use crate::service::{SCANS_SETTINGS, Setup};
use crate::wait::now_ms;

/// How much shorter an hour is.
const SHORTER: i64 = 25;
/// The pause of the broker's cleaner, 15 s by default, as much shorter.
const CLEANER: &str = "log.cleaner.backoff.ms=600\n";
/// Hours until deletions and markers begin to go, and some more.
const WARM_UP: i64 = 8;
/// Hours that are watched then.
const WATCHED: i64 = 4;
/// Commits in an hour at the default `commit_interval`, if all of them have something to say.
const COMMITS_AN_HOUR: f64 = 7_200.0;
/// A restart reads no more than this of a partition beyond what is open, in millions of bytes.
const MOST_MB: f64 = 5.0;
const LOOK: Duration = Duration::from_millis(200);

/// Measures; prints a line of JSON. Panics where a restart would read more than it may.
pub fn measure() {
    let broker = Broker::with(CLEANER);
    let setup = Setup::on(broker.bootstrap(), "open-log", 1, "json")
        .policies(POLICIES)
        .with("output", "commit_interval = \"20ms\"");
    let settings = settings_of_the_open_topic(&setup);
    let shorter: Vec<_> = settings.iter().map(|(name, value)| (&**name, &**value)).collect();
    create_topic(&setup.bootstrap, &setup.scans(), 1, SCANS_SETTINGS);
    create_topic(&setup.bootstrap, &setup.open(), 1, &shorter);
    create_topic(&setup.bootstrap, &setup.exceptions(), 1, &[]);
    create_topic(&setup.bootstrap, &setup.dead_letters(), 1, &[]);
    let [data, _] = broker.data_and_log();
    let partition = data.join(format!("{}-0", setup.open()));
    let service = setup.start();
    let flowing = AtomicBool::new(true);
    let told = thread::scope(|scope| {
        scope.spawn(|| feed(&setup, &flowing));
        let hour = Duration::from_secs((3_600 / SHORTER).unsigned_abs());
        let (begun, mut largest, mut at_the_end) = (Instant::now(), 0, 0);
        while begun.elapsed() < hour * u32::try_from(WARM_UP + WATCHED).expect("few") {
            thread::sleep(LOOK);
            at_the_end = bytes_of(&partition);
            if begun.elapsed() > hour * u32::try_from(WARM_UP).expect("few") {
                largest = largest.max(at_the_end);
            }
        }
        let commits = service.metrics().map(|metrics| {
            metrics.sum("stallwatch_transactions_total") / begun.elapsed().as_secs_f64()
                * hour.as_secs_f64()
        });
        let commits = commits.expect("metrics");
        flowing.store(false, Ordering::Relaxed);
        let mb = |bytes: u64| bytes as f64 / 1e6;
        json!({
            "settings": settings, "hours": WARM_UP + WATCHED, "commits_an_hour": commits.round(),
            "largest_mb": mb(largest), "at_the_end_mb": mb(at_the_end),
            "at_two_commits_a_second_mb": mb(largest) * (COMMITS_AN_HOUR / commits).max(1.0),
        })
    });
    service.stop();
    println!("{told}");
    let most = told["at_two_commits_a_second_mb"].as_f64().expect("a number");
    assert!(most <= MOST_MB, "a restart reads {most} MB of a partition");
}

/// As `stallwatch topics print` has them, with shorter times.
fn settings_of_the_open_topic(setup: &Setup) -> Vec<(String, String)> {
    let said = setup.run_verb(&["topics", "print", "-o", "json", "--replication-factor", "1"]);
    let topics: Value = serde_json::from_str(&said.out).expect("a list of topics");
    let open = topics.as_array().and_then(|all| all.iter().find(|it| it["role"] == "open"));
    let settings = open.and_then(|open| open["settings"].as_object()).expect("settings");
    let shorter = |(name, value): (&String, &Value)| {
        let value = value.as_str().expect("a text");
        let value = match (name.ends_with(".ms"), value.parse::<i64>()) {
            (true, Ok(ms)) => (ms / SHORTER).to_string(),
            _ => value.to_owned(),
        };
        (name.clone(), value)
    };
    settings.iter().map(shorter).collect()
}

/// Scans without an end: every commit has something to say.
fn feed(setup: &Setup, flowing: &AtomicBool) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &setup.bootstrap)
        .set("linger.ms", "0")
        .create()
        .expect("a producer");
    for number in 0.. {
        if !flowing.load(Ordering::Relaxed) {
            break;
        }
        let scan = Scan::new(&format!("1Z{:06}", number % 100_000), "arrived", now_ms());
        send(&producer, &setup.scans(), &scan.json());
        producer.poll(Duration::ZERO);
        thread::sleep(Duration::from_millis(3));
    }
    producer.flush(Duration::from_secs(60)).expect("the broker takes every record");
}

/// Bytes of all segments of a partition.
fn bytes_of(partition: &Path) -> u64 {
    let files = std::fs::read_dir(partition).into_iter().flatten().flatten();
    let segments = files.filter(|file| file.path().extension().is_some_and(|it| it == "log"));
    segments.filter_map(|segment| Some(segment.metadata().ok()?.len())).sum()
}
