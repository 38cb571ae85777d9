//! A first start in silence: what is open already is published once, and nothing of the past.

use serde_json::Value;

use crate::broker::shared;
use crate::client::{NewRecord, produce};
use crate::scans::Scan;
use crate::service::{Service, Setup};
use crate::wait::now_ms;

const MINUTE_MS: i64 = 60_000;
const POLICIES: &str = r#"
version = 1
[defaults]
catch_up_grace = "0s"
[[policy]]
id = "everything"
no_movement = [
    { after = "1h", severity = "warning", name = "stalled" },
    { after = "2h", severity = "critical", name = "presumed_lost" },
]
"#;

fn told(events: &[Value]) -> Vec<String> {
    let mut told: Vec<String> = events
        .iter()
        .map(|one| {
            let text = |name: &str| one[name].to_string().replace('"', "");
            let names = ["tracking_number", "change", "sequence", "step", "severity", "backfilled"];
            names.map(text).join(" ")
        })
        .collect();
    told.sort();
    told
}

fn wait_for_events(setup: &Setup, service: &mut Service, count: usize) -> Vec<String> {
    service.wait("events on the topic", |_| {
        let events = setup.published();
        (events.len() >= count).then(|| told(&events))
    })
}

#[test]
fn a_first_start_in_silence_publishes_once_what_is_open_already_and_goes_on_from_there() {
    let setup = Setup::new(shared(), "silent", 2, "json")
        .policies(POLICIES)
        .with("input", "backfill = \"silent\"");
    let now = now_ms();
    let ago = |number: &str, milestone, minutes: i64| {
        Scan::new(number, milestone, now - minutes * MINUTE_MS).json()
    };
    let history = [
        ago("GONE1", "arrived", 400),
        ago("GONE1", "delivered", 200),
        ago("LONG1", "arrived", 180),
        ago("WHILE1", "arrived", 90),
        ago("FRESH1", "arrived", 10),
    ];
    produce(&setup.bootstrap, &setup.scans(), history);
    let from_the_future = (0..2).map(|partition| NewRecord {
        partition: Some(partition),
        ..ago(&format!("AHEAD{partition}"), "arrived", -300)
    });
    produce(&setup.bootstrap, &setup.scans(), from_the_future);

    let mut service = setup.start();
    let open = ["LONG1 opened 1 1 critical true", "WHILE1 opened 0 0 warning true"];
    assert_eq!(wait_for_events(&setup, &mut service, 2), open);
    service.kill();

    let mut service = setup.start();
    let moved = Scan::new("LONG1", "departed", now_ms());
    produce(&setup.bootstrap, &setup.scans(), [moved.json()]);
    let expected = [open[0], "LONG1 resolved 2 1 critical false", open[1]];
    assert_eq!(wait_for_events(&setup, &mut service, 3), expected);
    service.stop();
    assert_eq!(told(&setup.published()), expected);
    assert_eq!(told(&setup.open_table()), [open[1]]);
}
