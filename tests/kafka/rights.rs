//! Brokers that ask who is there.

use crate::broker::{Broker, PASSWORD, USER, shared};
use crate::client::{create_topic, produce};
use crate::evidence::SHORT_POLICIES;
use crate::python;
use crate::scans::Scan;
use crate::service::{SCANS_SETTINGS, Setup};
use crate::wait::now_ms;

/// A service that logs in as a user on the listener without TLS.
fn logged_in(broker: &Broker, name: &str) -> Setup {
    let setup = Setup::on(broker.sasl_bootstrap(), name, 1, "json").policies(SHORT_POLICIES);
    let plain = broker.bootstrap();
    create_topic(&plain, &setup.scans(), 1, SCANS_SETTINGS);
    create_topic(&plain, &setup.open(), 1, &[("cleanup.policy", "compact")]);
    create_topic(&plain, &setup.exceptions(), 1, &[]);
    create_topic(&plain, &setup.dead_letters(), 1, &[]);
    with_login(setup, "sasl_plaintext").with("kafka", "patience = \"5s\"")
}

fn with_login(setup: Setup, protocol: &str) -> Setup {
    std::fs::write(setup.file("password"), PASSWORD).expect("written");
    setup
        .with("kafka.security", format!("protocol = \"{protocol}\""))
        .with("kafka.security", "mechanism = \"SCRAM-SHA-512\"")
        .with("kafka.security", format!("username = \"{USER}\""))
        .with("kafka.security", "password_file = \"password\"")
}

/// All rights that the service needs.
fn rights(setup: &Setup) -> Vec<String> {
    let (scans, open) = (setup.scans(), setup.open());
    let (exceptions, dead) = (setup.exceptions(), setup.dead_letters());
    let transactions = format!("{}/{}", setup.group(), setup.instance());
    vec![
        format!("read:topic:{scans}"),
        format!("describe_configs:topic:{scans}"),
        format!("read:topic:{open}"),
        format!("write:topic:{open}"),
        format!("write:topic:{exceptions}"),
        format!("write:topic:{dead}"),
        format!("read:group:{}", setup.group()),
        format!("write:transactional_id:{transactions}"),
        format!("describe:transactional_id:{transactions}"),
    ]
}

/// Runs a service that has all rights but those of which `lacks` says so.
fn refused_without(name: &str, lacks: impl Fn(&Setup, &str) -> bool, says: &[&str]) {
    let broker = shared();
    let setup = logged_in(broker, name);
    let mut granted = rights(&setup);
    granted.retain(|right| !lacks(&setup, right));
    // Without any right to describe it, a topic looks as if it were not there.
    granted.extend(
        [setup.scans(), setup.exceptions(), setup.open()]
            .map(|one| format!("describe:topic:{one}")),
    );
    python::grant(&broker.bootstrap(), USER, &granted);
    let scan = Scan::new("1Z1", "arrived", now_ms() - 86_400_000);
    produce(&broker.bootstrap(), &setup.scans(), [scan.json()]);
    let (code, log) = setup.run_to_failure();
    assert_eq!(code, 1, "{log}");
    for part in says.iter().map(|part| part.replace("NAME", &setup.name)) {
        assert!(log.contains(&part), "the log says nothing of {part}:\n{log}");
    }
}

#[test]
fn without_the_right_to_read_scans_the_service_names_topic_and_right() {
    let lacks = |setup: &Setup, right: &str| right == format!("read:topic:{}", setup.scans());
    refused_without("no-read", lacks, &["NAME.scans", "the right Read"]);
}

#[test]
fn without_the_right_to_write_exceptions_the_service_names_topic_and_right() {
    let lacks = |setup: &Setup, right: &str| right == format!("write:topic:{}", setup.exceptions());
    refused_without("no-write", lacks, &["NAME.exceptions", "the right Write"]);
}

#[test]
fn a_user_without_any_right_is_told_which_right_and_where() {
    let broker = shared();
    let setup = logged_in(broker, "no-rights");
    let (code, log) = setup.run_to_failure();
    assert_eq!(code, 1, "{log}");
    for part in [setup.scans().as_str(), "the right Describe"] {
        assert!(log.contains(part), "the log says nothing of {part}:\n{log}");
    }
}

#[test]
fn a_wrong_password_is_said_to_be_refused() {
    let setup = logged_in(shared(), "password");
    std::fs::write(setup.file("password"), "guessed").expect("written");
    let (code, log) = setup.run_to_failure();
    assert_eq!(code, 1, "{log}");
    assert!(log.to_lowercase().contains("authentication"), "the log does not say why:\n{log}");
}

/// Runs a service with exactly the rights that it needs, over one exception.
fn works(setup: &Setup) {
    let broker = shared();
    python::grant(&broker.bootstrap(), USER, &rights(setup));
    let scan = Scan::new("1Z1", "arrived", now_ms() - 86_400_000);
    produce(&broker.bootstrap(), &setup.scans(), [scan.json()]);
    let mut service = setup.start();
    service.wait("an exception", |_| {
        let ends = crate::client::end_offsets(&broker.bootstrap(), &setup.exceptions());
        (ends.values().sum::<i64>() > 0).then_some(())
    });
    service.stop();
}

#[test]
fn a_user_with_the_listed_rights_and_no_more_can_run_the_service() {
    works(&logged_in(shared(), "scram"));
}

#[test]
fn the_service_speaks_tls_with_a_certificate_authority_of_ones_own() {
    let broker = shared();
    let mut setup = with_login(logged_in(broker, "tls"), "sasl_ssl");
    setup.bootstrap = broker.tls_bootstrap();
    let trusted = format!("ca_file = \"{}\"", broker.certificate().display());
    works(&setup.with("kafka.security", trusted));
}
