//! The rights that `acls print` lists: with them the service works, without any one it says which.

use std::sync::Mutex;

use super::{Listed, exceptions_end, grant, listed, logged_in, over_tls, with_certificate};
use crate::broker::{Broker, shared};
use crate::client::{NewRecord, produce};
use crate::printed;
use crate::scans::Scan;
use crate::service::{Said, Setup};
use crate::wait::now_ms;

/// A scan that has been silent for a day, and a record that is none.
fn produce_an_exception_and_a_reject(broker: &Broker, setup: &Setup) {
    let scan = Scan::new("1Z1", "arrived", now_ms() - 86_400_000).json();
    let reject = NewRecord { value: Some(b"no scan".to_vec()), ..scan.clone() };
    produce(&broker.bootstrap(), &setup.scans(), [reject, scan]);
}

/// Runs a service that has been given its rights, over one exception and one dead letter.
fn works(setup: &Setup) {
    let broker = shared();
    produce_an_exception_and_a_reject(broker, setup);
    let mut service = setup.start();
    service.wait("an exception", |_| (exceptions_end(broker, setup) > 0).then_some(()));
    service.wait("a dead letter", |_| {
        let ends = crate::client::end_offsets(&broker.bootstrap(), &setup.dead_letters());
        (ends.values().sum::<i64>() > 0).then_some(())
    });
    service.stop();
}

#[test]
fn the_lines_that_acls_print_prints_are_all_that_a_user_needs_over_scram_and_tls() {
    let broker = shared();
    let setup = over_tls(broker, "scram");
    let said = setup.run_verb(&["acls", "print"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.out.lines().count(), 6, "a line for each resource: {}", said.out);
    as_administrator(broker, &setup, &said.out);
    works(&setup);
}

/// Runs lines of Kafka's own tools, on the listener where an administrator is let in.
fn as_administrator(broker: &Broker, setup: &Setup, lines: &str) {
    broker.shell(&lines.replace(&setup.bootstrap, &broker.bootstrap()));
}

/// Runs what a printed command prints.
fn granted_by(broker: &Broker, setup: &Setup, command: &str) {
    let said = printed::run(setup, broker, command);
    as_administrator(broker, setup, &said.out);
}

/// What `doctor` prints to grant the rights that it misses.
fn to_grant(doctor: &Said) -> Vec<String> {
    printed::commands(&doctor.out, "kafka-acls.sh")
}

/// A user that has no right is given each by the line that `doctor` prints, and has all that it needs.
fn granted_line_by_line(setup: &Setup) {
    let broker = shared();
    let doctor = setup.run_verb(&["doctor"]);
    let lines = to_grant(&doctor);
    assert_eq!((doctor.code, lines.len()), (3, listed(setup).len()), "{doctor:?}");
    as_administrator(broker, setup, &lines.join("\n"));
    let doctor = setup.run_verb(&["doctor"]);
    assert_eq!(doctor.code, 0, "{doctor:?}");
    works(setup);
}

#[test]
fn the_lines_that_doctor_prints_are_all_that_a_user_without_any_right_needs() {
    granted_line_by_line(&logged_in(shared(), "line-by-line"));
}

#[test]
fn the_lines_that_doctor_prints_are_for_the_subject_of_a_certificate() {
    granted_line_by_line(&with_certificate(shared(), "line-by-subject", "clerk"));
}

#[test]
fn rights_that_are_missing_are_granted_by_what_the_printed_command_prints() {
    let broker = shared();
    let setup = logged_in(broker, "granted");
    let mut rights = listed(&setup);
    rights.retain(|right| right.operation != "Write" || right.resource != "topic");
    grant(broker, &rights);
    let (code, log) = setup.run_to_failure();
    assert_eq!(code, 1, "{log}");
    granted_by(broker, &setup, &printed::last(&log, "stallwatch acls print"));
    works(&setup);
    let doctor = setup.run_verb(&["doctor"]).out;
    granted_by(broker, &setup, &printed::last(&doctor, "stallwatch acls print --doctor"));
    let doctor = setup.run_verb(&["doctor"]).out;
    assert!(!doctor.contains("acls print"), "{doctor}");
}

#[test]
fn the_rights_that_acls_print_lists_are_all_that_the_holder_of_a_certificate_needs() {
    let broker = shared();
    let setup = with_certificate(broker, "mtls", "clerk");
    let rights = listed(&setup);
    assert!(rights.iter().all(|right| right.principal == "User:CN=clerk"), "{rights:?}");
    grant(broker, &rights);
    works(&setup);
}

/// Names of a resource that messages may use: an instance has one of the transactional ids.
fn named(right: &Listed, setup: &Setup) -> String {
    match right.resource.as_str() {
        "transactional-id" => format!("{}{}", right.name, setup.instance()),
        _ => right.name.clone(),
    }
}

/// What is wrong with a service that lacks one right of the list.
fn without(number: usize, visible: bool) -> Result<(), String> {
    let broker = shared();
    let setup = logged_in(broker, &format!("lacks-{number}-{visible}"));
    let mut rights = listed(&setup);
    let missing = rights.remove(number);
    if visible {
        // Write and Read bring it with them; without it a topic cannot be seen at all.
        rights.push(Listed { operation: "Describe".to_owned(), ..missing.clone() });
    }
    grant(broker, &rights);
    let lacks = format!("the right {}", missing.operation);
    let resource = named(&missing, &setup);
    let line = if visible { None } else { Some(doctor_names(&setup, &missing)?) };
    produce_an_exception_and_a_reject(broker, &setup);
    let mut service = setup.spawn();
    let told = |log: &str| log.lines().any(|it| it.contains(&lacks) && it.contains(&resource));
    let log = crate::wait::until(
        "word of the right",
        crate::service::PATIENCE,
        || {
            let log = service.log();
            (told(&log) || service.ended().is_some()).then(|| service.log())
        },
        || {
            format!(
                "{missing:?}\n{}",
                std::fs::read_to_string(setup.file("service.log")).unwrap_or_default()
            )
        },
    );
    if !told(&log) {
        return Err(format!("no line names {lacks} and {resource}:\n{log}"));
    }
    drop(service);
    line.map_or(Ok(()), |line| granted_by_doctor(&setup, &line))
}

/// With the line that `doctor` printed nothing is missing, for `doctor` either.
fn granted_by_doctor(setup: &Setup, line: &str) -> Result<(), String> {
    as_administrator(shared(), setup, line);
    let doctor = setup.run_verb(&["doctor"]);
    let well = doctor.out.lines().filter(|line| line.starts_with("ok    rights: ")).count();
    match well == listed(setup).len() && to_grant(&doctor).is_empty() {
        true => Ok(()),
        false => Err(format!("after {line}: {doctor:?}")),
    }
}

/// The line that grants it.
fn doctor_names(setup: &Setup, missing: &Listed) -> Result<String, String> {
    let said = setup.run_verb(&["doctor"]);
    let failures: Vec<_> = said.out.lines().filter(|line| line.starts_with("FAIL")).collect();
    let named = |line: &&str| {
        line.contains(&format!("the right {} on ", missing.operation))
            && line.contains(&missing.name)
            && line.contains("kafka-acls.sh")
    };
    let rights = failures.iter().filter(|line| line.contains("  rights: ")).count();
    let only = rights == 1 || missing.operation != "DescribeConfigs";
    match to_grant(&said).into_iter().next() {
        Some(line) if said.code == 3 && failures.iter().any(named) && only => Ok(line),
        _ => Err(format!("doctor does not name {missing:?}: {said:?}")),
    }
}

#[test]
fn without_any_one_right_of_the_list_the_service_and_doctor_name_the_right_and_its_resource() {
    let rights = listed(&logged_in(shared(), "list"));
    let hidden = (0..rights.len()).map(|number| (number, false));
    let on_topics = rights
        .iter()
        .enumerate()
        .filter(|(_, right)| right.resource == "topic" && right.operation != "DescribeConfigs");
    let visible = on_topics.map(|(number, _)| (number, true));
    let cases: Mutex<Vec<_>> = Mutex::new(hidden.chain(visible).collect());
    assert_eq!(cases.lock().expect("no panic").len(), 9 + 5);
    let next = || cases.lock().expect("no panic").pop();
    let work = || {
        let mut wrong = Vec::new();
        while let Some((number, visible)) = next() {
            wrong.extend(without(number, visible).err());
        }
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_user_without_any_right_is_told_which_right_and_where() {
    let setup = logged_in(shared(), "no-rights");
    let (code, log) = setup.run_to_failure();
    assert_eq!(code, 1, "{log}");
    for part in [setup.scans().as_str(), "the right Read"] {
        assert!(log.contains(part), "the log says nothing of {part}:\n{log}");
    }
}
