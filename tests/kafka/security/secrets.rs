//! What nobody is shown.

use super::{exceptions_end, grant, listed, over_tls};
use crate::broker::{PASSWORD, shared};
use crate::client::produce;
use crate::scans::Scan;
use crate::service::Setup;
use crate::wait::now_ms;

/// Names what holds the text, and where.
fn assert_hidden(secret: &str, what: &str, text: &str) {
    let line = text.lines().find(|line| line.contains(secret)).unwrap_or_default();
    assert!(line.is_empty(), "{what} shows {secret:?}: {line}");
}

/// Whatever is logged, with everything that client and service have to say.
fn talkative(setup: Setup) -> Setup {
    setup
        .with("log", "level = \"trace\"")
        .with("kafka.properties", "debug = \"all\"")
        .with("kafka.properties", "\"ssl.keystore.password\" = \"keystore-hush\"")
}

#[test]
fn no_password_is_in_any_log_message_or_configuration_that_is_shown() {
    let broker = shared();
    let setup = talkative(over_tls(broker, "secrets"));
    grant(broker, &listed(&setup));
    let scan = Scan::new("1Z1", "arrived", now_ms() - 86_400_000);
    produce(&broker.bootstrap(), &setup.scans(), [scan.json()]);
    let mut service = setup.start();
    service.wait("an exception", |_| (exceptions_end(broker, &setup) > 0).then_some(()));
    let log = service.log();
    service.stop();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log was to say all it has");
    let mut said = vec![("the log".to_owned(), log)];
    for verb in [&["config", "show"][..], &["config", "show", "-o", "json"], &["doctor"]] {
        let ran = setup.run_verb(verb);
        assert_eq!(ran.code, 0, "{ran:?}");
        said.push((verb.join(" "), ran.out + &ran.err));
    }
    for (what, text) in &said {
        assert_hidden(PASSWORD, what, text);
        assert_hidden("keystore-hush", what, text);
    }
    assert!(said[1].1.contains("\"ssl.keystore.password\" = \"***\""), "{}", said[1].1);
}

#[test]
fn a_password_that_is_refused_is_in_no_message() {
    let setup = talkative(over_tls(shared(), "guessed"));
    std::fs::write(setup.file("password"), "guess-hush").expect("written");
    let (_, log) = setup.run_to_failure();
    assert_hidden("guess-hush", "the log", &log);
    let doctor = setup.run_verb(&["doctor"]);
    assert_eq!(doctor.code, 3, "{doctor:?}");
    assert_hidden("guess-hush", "doctor", &(doctor.out + &doctor.err));
}

#[test]
fn a_password_of_the_environment_is_hidden_and_one_in_the_file_is_refused_without_being_shown() {
    let with = |line: &str| {
        let mut setup = over_tls(shared(), "environment");
        setup.lines.retain(|(_, line)| !line.starts_with("password_file"));
        setup.with("kafka.security", line)
    };
    // A variable that every process has.
    let path = std::env::var("PATH").expect("a PATH");
    let shown = with("password = \"${PATH}\"").run_verb(&["config", "show"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert_hidden(&path, "config show", &(shown.out + &shown.err));
    let refused = with("password = \"literal-hush\"").run_verb(&["config", "show"]);
    assert_eq!(refused.code, 78, "{refused:?}");
    assert_hidden("literal-hush", "the problem", &(refused.out + &refused.err));
}
