//! Logins that fail: each says why, and works once it is mended.

use super::{exceptions_end, grant, listed, logged_in, over_tls, with_certificate};
use crate::broker::{PASSWORD, shared};
use crate::client::produce;
use crate::equality::assert_equals_replay;
use crate::scans::Scan;
use crate::service::Setup;
use crate::wait::now_ms;

/// Runs a service that cannot log in, then mends it: nothing is lost.
fn refused_until_mended(mut setup: Setup, says: &[&str], mend: impl FnOnce(Setup) -> Setup) {
    let broker = shared();
    grant(broker, &listed(&setup));
    let scan = Scan::new("1Z1", "arrived", now_ms() - 86_400_000);
    produce(&broker.bootstrap(), &setup.scans(), [scan.json()]);
    let (code, log) = setup.run_to_failure();
    assert_eq!(code, 1, "{log}");
    assert!(!log.contains("panicked"), "{log}");
    let last = log.lines().last().unwrap_or_default().to_lowercase();
    assert!(says.iter().any(|part| last.contains(part)), "the end does not say why:\n{log}");
    let doctor = setup.run_verb(&["doctor"]);
    assert_eq!(doctor.code, 3, "{doctor:?}");
    let out = doctor.out.to_lowercase();
    let failed = |line: &str| line.starts_with("fail") && says.iter().any(|it| line.contains(it));
    assert!(out.lines().any(failed), "doctor does not say why: {doctor:?}");

    setup = mend(setup);
    let mut service = setup.start();
    service.wait("an exception", |_| (exceptions_end(broker, &setup) > 0).then_some(()));
    service.stop();
    setup.bootstrap = broker.bootstrap();
    setup.lines.retain(|(section, _)| *section != "kafka.security");
    assert_eq!(assert_equals_replay(&setup).len(), 1);
}

#[test]
fn a_wrong_password_is_said_to_be_refused_and_the_right_one_loses_nothing() {
    let setup = logged_in(shared(), "password");
    std::fs::write(setup.file("password"), "guessed").expect("written");
    refused_until_mended(setup, &["authentication"], |setup| {
        std::fs::write(setup.file("password"), PASSWORD).expect("written");
        setup
    });
}

#[test]
fn a_certificate_that_has_expired_is_said_to_be_refused_and_a_new_one_loses_nothing() {
    let setup = with_certificate(shared(), "expired", "expired");
    let doctor = setup.run_verb(&["doctor"]);
    let told = |line: &str| line.starts_with("FAIL") && line.contains("CN=clerk expired on ");
    assert!(doctor.out.lines().any(told), "{doctor:?}");
    refused_until_mended(setup, &["certificate", "handshake", "expired"], renewed);
}

#[test]
fn a_certificate_of_an_authority_that_the_broker_does_not_know_is_said_to_be_refused() {
    let setup = with_certificate(shared(), "stranger", "stranger");
    refused_until_mended(setup, &["certificate", "handshake"], renewed);
}

/// With a certificate that holds.
fn renewed(setup: Setup) -> Setup {
    let file =
        |key: &str, name: &str| format!("{key} = \"{}\"", shared().certificate(name).display());
    setup
        .with("kafka.security", file("certificate_file", "clerk.pem"))
        .with("kafka.security", file("key_file", "clerk.key"))
}

#[test]
fn a_broker_whose_authority_we_do_not_know_is_not_trusted_and_nothing_is_sent_to_it() {
    let broker = shared();
    let trusting = |setup: Setup, name: &str| {
        let file = broker.certificate(name).display().to_string();
        setup.with("kafka.security", format!("ca_file = \"{file}\""))
    };
    let setup = trusting(over_tls(broker, "unknown-ca"), "stranger-ca.pem");
    refused_until_mended(
        setup,
        &["certificate verify failed", "certificate is not trusted"],
        |setup| trusting(setup, "ca.pem"),
    );
}
