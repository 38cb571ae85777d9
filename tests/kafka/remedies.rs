//! Every remedy that is printed as a command is done as it is printed, and what subscribers see then is
//! looked at. The answers to halts are in `halts`, `recover` and `clocks`; `census` knows them all.

use std::path::Path;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};

use crate::broker::shared;
use crate::client::{NewRecord, create_topic, produce, send};
use crate::evidence::{SHORT_POLICIES, told, wait_for_exceptions};
use crate::halts::{
    assert_no_contradiction, come, stopped_with_one_open, stopped_with_one_open_and, wait_answered,
    wait_told,
};
use crate::printed;
use crate::scans::Scan;
use crate::service::{PATIENCE, Service, Setup};
use crate::wait::{now_ms, now_secs};

mod census;

const DAY_MS: i64 = 86_400_000;

/// Adds partitions to a topic, as somebody may do.
fn add_partitions(setup: &Setup, topic: &str, partitions: i32) {
    let servers = &setup.bootstrap;
    shared().shell(&format!(
        "kafka-topics.sh --bootstrap-server {servers} --alter --topic {topic} --partitions {partitions}"
    ));
}

/// The service does not start, and says what to do; so does `doctor`. That is done.
fn refused_until_done(setup: &Setup, tool: &str) -> String {
    let (code, log) = setup.run_to_failure();
    assert_eq!(code, 1, "{log}");
    let command = printed::last(&log, tool);
    let list = setup.run_verb(&["recover", "--list"]);
    assert_eq!(list.code, 1, "{list:?}");
    assert!(printed::commands(&list.err, tool).contains(&command), "{command}\n{list:?}");
    let doctor = setup.run_verb(&["doctor"]);
    assert_eq!(doctor.code, 3, "{doctor:?}");
    assert!(printed::commands(&doctor.out, tool).contains(&command), "{command}\n{doctor:?}");
    printed::run(setup, shared(), &command);
    command
}

/// The old partition halts, is answered by the command that the list has, and all is well.
fn goes_on_with_more_partitions(setup: &Setup, partitions: i32) -> Service {
    let mut service = setup.spawn();
    service.wait("the halt", |service| {
        service.log().contains("the partition is halted: the input topic has").then_some(())
    });
    let list = setup.run_verb(&["recover", "--list"]).out;
    assert!(list.contains("partition 0 halts since"), "{list}");
    let command = printed::last(&service.log(), "stallwatch recover");
    assert!(command.ends_with("--accept partitions --partition 0"), "{command}");
    printed::run(setup, shared(), &command);
    service.wait_ready();
    service.wait_frontier(partitions, now_secs() - 2);
    service
}

#[test]
fn more_input_partitions_are_followed_by_the_open_topic_as_printed_and_nothing_is_repeated() {
    let setup = stopped_with_one_open("more-input");
    add_partitions(&setup, &setup.scans(), 3);
    let command = refused_until_done(&setup, "kafka-topics.sh");
    assert!(command.ends_with(&format!("--topic {} --partitions 3", setup.open())), "{command}");
    let mut service = goes_on_with_more_partitions(&setup, 3);
    come(&setup, "1ZOPEN", "departed", now_ms());
    let other = Scan::new("1ZOTHER", "arrived", now_ms() - DAY_MS).json();
    produce(&setup.bootstrap, &setup.scans(), [NewRecord { partition: Some(2), ..other }]);
    let resolved = [("1ZOPEN", "opened"), ("1ZOPEN", "resolved"), ("1ZOTHER", "opened")];
    wait_told(&mut service, &setup, &resolved);
    service.stop();
    assert_no_contradiction(&setup);
}

#[test]
fn more_open_partitions_are_followed_by_the_input_as_printed_and_nothing_is_repeated() {
    let setup = stopped_with_one_open("more-open");
    add_partitions(&setup, &setup.open(), 2);
    let command = refused_until_done(&setup, "kafka-topics.sh");
    assert!(command.ends_with(&format!("--topic {} --partitions 2", setup.scans())), "{command}");
    let mut service = goes_on_with_more_partitions(&setup, 2);
    come(&setup, "1ZOPEN", "departed", now_ms());
    wait_told(&mut service, &setup, &[("1ZOPEN", "opened"), ("1ZOPEN", "resolved")]);
    service.stop();
    assert_no_contradiction(&setup);
}

#[test]
fn partitions_added_under_a_running_instance_halt_what_it_holds_until_they_are_accepted() {
    let setup = stopped_with_one_open("grown-running");
    let mut service = setup.start();
    for topic in [setup.open(), setup.scans()] {
        add_partitions(&setup, &topic, 2);
    }
    wait_answered(&setup, &mut service, "partitions");
    come(&setup, "1ZOPEN", "departed", now_ms());
    wait_told(&mut service, &setup, &[("1ZOPEN", "opened"), ("1ZOPEN", "resolved")]);
    service.stop();
    assert_no_contradiction(&setup);
}

#[test]
fn an_answer_for_partitions_lets_a_package_that_moved_be_reported_as_the_list_says() {
    let setup = stopped_with_one_open("moved");
    for topic in [setup.scans(), setup.open()] {
        add_partitions(&setup, &topic, 2);
    }
    // A member that comes back before its session has ended is given what it had.
    crate::recover::wait_until_left(&setup);
    let said = setup.run_verb(&["recover", "--list"]).out;
    assert!(said.contains("may be reported as silent in its old one"), "{said}");
    let mut service = goes_on_with_more_partitions(&setup, 2);
    let moved = Scan::new("1ZOPEN", "departed", now_ms()).json();
    produce(&setup.bootstrap, &setup.scans(), [NewRecord { partition: Some(1), ..moved }]);
    // Its old partition has it open, and its new one reports a silence of its own.
    wait_told(&mut service, &setup, &[("1ZOPEN", "opened"), ("1ZOPEN", "opened")]);
    service.stop();
    let ids = setup.published();
    assert_ne!(ids[0]["exception_id"], ids[1]["exception_id"], "nothing is repeated");
}

#[test]
fn partitions_added_while_a_member_was_away_for_a_moment_are_given_out_anew() {
    let long = |setup: Setup| setup.with("kafka", "session_timeout = \"30s\"");
    let setup = stopped_with_one_open_and("given-out", long);
    for topic in [setup.scans(), setup.open()] {
        add_partitions(&setup, &topic, 2);
    }
    // It comes back before its session has ended, and is given what it had.
    let mut service = setup.spawn();
    let given = "assigned partitions=[0]";
    service.wait("its old partition", |service| {
        (service.log().matches(given).count() == 2).then_some(())
    });
    let list = setup.run_verb(&["recover", "--list"]).out;
    printed::run(&setup, shared(), &printed::last(&list, "stallwatch recover"));
    let nobody = "partitions are given to no member of the group";
    service.wait("word of it", |service| service.log().contains(nobody).then_some(()));
    service.wait("all of them", |service| {
        let assigned = service.metrics()?.value("stallwatch_partitions_assigned", &[])?;
        (assigned == 2.0).then_some(())
    });
    service.wait_ready();
    come(&setup, "1ZOPEN", "departed", now_ms());
    let other = Scan::new("1ZOTHER", "arrived", now_ms() - DAY_MS).json();
    produce(&setup.bootstrap, &setup.scans(), [NewRecord { partition: Some(1), ..other }]);
    let all = [("1ZOPEN", "opened"), ("1ZOPEN", "resolved"), ("1ZOTHER", "opened")];
    wait_told(&mut service, &setup, &all);
    assert_eq!(service.log().matches(nobody).count(), 1, "{}", service.log());
    service.stop();
    assert_no_contradiction(&setup);
}

#[test]
fn topics_that_are_missing_are_created_as_printed_and_the_service_goes_on() {
    let setup = Setup::on(shared().bootstrap(), "missing", 1, "json").policies(SHORT_POLICIES);
    let mut service = setup.spawn();
    let tool = "stallwatch topics create";
    let command = service.wait("word of a missing topic", |service| {
        printed::commands(&service.log(), tool).into_iter().next()
    });
    let doctor = setup.run_verb(&["doctor"]);
    let by_doctor = printed::last(&doctor.out, tool);
    assert_eq!(by_doctor.replace("verb.toml", "stallwatch.toml"), command);
    let said =
        printed::run(&setup, shared(), &printed::last(&doctor.out, "stallwatch topics print"));
    assert_eq!(said.out.matches("kafka-topics.sh").count(), 4, "{said:?}");
    printed::run(&setup, shared(), &command);
    service.wait_ready();
    come(&setup, "1ZNEW", "arrived", now_ms() - DAY_MS);
    wait_for_exceptions(&setup, &mut service, 1);
    service.stop();
    assert_no_contradiction(&setup);
}

#[test]
fn what_doctor_says_to_set_is_set_by_its_commands() {
    let setup = Setup::on(shared().bootstrap(), "to-set", 1, "json").policies(SHORT_POLICIES);
    let bootstrap = &setup.bootstrap;
    let input =
        [("cleanup.policy", "compact"), ("retention.bytes", "1000"), ("retention.ms", "5000")];
    create_topic(bootstrap, &setup.scans(), 1, &input);
    create_topic(
        bootstrap,
        &setup.open(),
        1,
        &[("cleanup.policy", "delete"), ("min.insync.replicas", "2")],
    );
    create_topic(bootstrap, &setup.exceptions(), 1, &[("cleanup.policy", "compact")]);
    create_topic(bootstrap, &setup.dead_letters(), 1, &[]);
    let (_, log) = setup.run_to_failure();
    let tool = "kafka-configs.sh";
    let mut done = Vec::new();
    // How long the input keeps records matters only once it is not compacted.
    for _ in 0..2 {
        let doctor = setup.run_verb(&["doctor"]);
        for command in printed::commands(&doctor.out, tool) {
            printed::run(&setup, shared(), &command);
            done.push(command);
        }
    }
    assert!(printed::commands(&log, tool).iter().all(|command| done.contains(command)), "{log}");
    assert!(done.len() >= 9, "{done:#?}");
    let doctor = setup.run_verb(&["doctor"]);
    assert!(!doctor.out.contains(tool), "{doctor:?}");
    assert_eq!(doctor.code, 0, "{doctor:?}");
    let mut service = setup.start();
    come(&setup, "1ZNEW", "arrived", now_ms());
    wait_for_exceptions(&setup, &mut service, 1);
    service.stop();
    assert_no_contradiction(&setup);
}

/// A producer that has left a transaction open with this record, and does not come back.
fn left_open(setup: &Setup, topic: &str, record: &NewRecord) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &setup.bootstrap)
        .set("transactional.id", format!("{}-lost", setup.name))
        .set("transaction.timeout.ms", "600000")
        .create()
        .expect("a producer");
    producer.init_transactions(PATIENCE).expect("transactions");
    producer.begin_transaction().expect("a transaction");
    send(&producer, topic, record);
    producer.flush(PATIENCE).expect("the broker takes the record");
    producer
}

/// Runs the command that ends a transaction, once it is told.
fn ended_as_printed(setup: &Setup, service: &mut Service) {
    let tool = "kafka-transactions.sh";
    let command = service.wait("word of the transaction", |service| {
        printed::commands(&service.log(), tool).into_iter().next()
    });
    printed::run(setup, shared(), &command);
}

#[test]
fn a_transaction_that_hangs_on_the_input_is_ended_as_printed_and_what_is_behind_it_counts() {
    let setup = stopped_with_one_open("hangs-input");
    let mut service = setup.start();
    let lost = Scan::new("1ZLOST", "arrived", now_ms() - DAY_MS).json();
    let _producer = left_open(&setup, &setup.scans(), &NewRecord { partition: Some(0), ..lost });
    come(&setup, "1ZOPEN", "delivered", now_ms());
    ended_as_printed(&setup, &mut service);
    wait_told(&mut service, &setup, &[("1ZOPEN", "opened"), ("1ZOPEN", "resolved")]);
    service.stop();
    assert_no_contradiction(&setup);
}

#[test]
fn a_transaction_that_hangs_on_the_open_topic_is_ended_as_printed_and_the_restore_goes_on() {
    let setup = stopped_with_one_open("hangs-open");
    let foreign = NewRecord {
        key: Some(b":foreign".to_vec()),
        value: Some(b"{}".to_vec()),
        partition: Some(0),
        ..NewRecord::default()
    };
    let _producer = left_open(&setup, &setup.open(), &foreign);
    let mut service = setup.spawn();
    ended_as_printed(&setup, &mut service);
    service.wait_ready();
    come(&setup, "1ZOPEN", "delivered", now_ms());
    wait_told(&mut service, &setup, &[("1ZOPEN", "opened"), ("1ZOPEN", "resolved")]);
    service.stop();
    assert_no_contradiction(&setup);
}

#[test]
fn a_store_of_snapshots_that_fails_is_tried_by_the_command_that_is_printed() {
    let setup = stopped_with_one_open("store-fails");
    let file = setup.file("no-folder");
    std::fs::write(&file, "").expect("written");
    let setup = setup.with("state", format!("url = \"file://{}/in-a-file\"", file.display()));
    let service = setup.start();
    let command = printed::last(&service.log(), "stallwatch doctor");
    let said = setup.shell(shared(), &command);
    assert!(said.code == 3 && said.out.contains("FAIL  snapshots: "), "{said:?}");
    service.stop();
    assert_eq!(told(&setup.published()), [("1ZOPEN".to_owned(), "opened".to_owned())]);
}

#[test]
fn records_of_a_broken_feed_that_halt_go_to_the_dead_letters_once_that_is_set() {
    let setup = Setup::new(shared(), "on-reject", 1, "json").policies(SHORT_POLICIES);
    let halts = setup.with("input", "on_reject = \"halt\"");
    come(&halts, "1ZBEFORE", "arrived", now_ms() - DAY_MS);
    let broken =
        NewRecord { value: Some(b"no json".to_vec()), partition: Some(0), ..NewRecord::default() };
    produce(&halts.bootstrap, &halts.scans(), [broken]);
    come(&halts, "1ZBEHIND", "arrived", now_ms() - DAY_MS);
    let mut service = halts.start();
    service.wait("the halt", |service| service.log().contains("on_reject").then_some(()));
    // It is committed again and again, and the word of it follows.
    service.wait("the list", |_| {
        let list = halts.run_verb(&["recover", "--list"]).out;
        let listed = list.contains(": record-rejected\n") && list.contains("no answer lifts this");
        listed.then_some(())
    });
    service.stop();
    let setup = halts.with("input", "on_reject = \"dead-letter\"");
    let mut service = setup.start();
    wait_told(&mut service, &setup, &[("1ZBEFORE", "opened"), ("1ZBEHIND", "opened")]);
    service.stop();
    assert_eq!(crate::client::read(&setup.bootstrap, &setup.dead_letters()).len(), 1);
    assert_no_contradiction(&setup);
}

/// The tests' own sources.
fn sources() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka"))
}
