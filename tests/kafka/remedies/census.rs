//! Whatever is printed as a command, and whatever answers a halt, has a test that does it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use stallwatch::protocol::agree::{Accept, HaltReason, OtherGroup};
use stallwatch::protocol::halt::Other;
use stallwatch::protocol::rejections::Differ;

/// The test that brings the halt about and does what it says.
fn of_reason(reason: &HaltReason) -> &'static str {
    match reason {
        HaltReason::OffsetDisagrees { .. } => {
            "the_list_tells_what_subscribers_will_see_and_its_command_answers_all_that_halt_alike"
        }
        HaltReason::CutMissing { .. } => {
            "a_first_start_that_is_accepted_in_silence_tells_once_more_what_is_open_and_says_so_before"
        }
        HaltReason::Truncated { .. } => {
            "records_deleted_before_they_were_read_halt_until_the_gap_is_accepted"
        }
        HaltReason::TooShort { .. } => {
            "partitions_that_halt_for_several_reasons_are_answered_reason_by_reason"
        }
        HaltReason::Recreated { .. } => {
            "a_topic_made_anew_with_more_records_is_told_by_its_content_and_its_old_snapshots_are_left_alone"
        }
        HaltReason::PartitionsChanged { .. } => {
            "more_input_partitions_are_followed_by_the_open_topic_as_printed_and_nothing_is_repeated"
        }
        HaltReason::SnapshotBelowLog { .. } => {
            "records_deleted_behind_the_newest_snapshot_halt_until_the_gap_is_accepted"
        }
        HaltReason::FrontierAhead { .. } => {
            "a_frontier_that_a_lying_clock_led_ahead_halts_until_its_way_back_is_accepted"
        }
        HaltReason::OtherGroup { .. } => {
            "a_second_group_on_the_same_output_topics_halts_until_the_first_is_said_to_have_stopped"
        }
        HaltReason::OtherTopic { .. } => {
            "a_topic_made_anew_whose_records_show_nothing_is_told_by_its_identity"
        }
        HaltReason::RejectionsDiffer(_) => {
            "records_that_are_read_otherwise_than_before_halt_until_they_are_put_back_or_accepted"
        }
        HaltReason::OpenDiffers { .. } => {
            "an_entry_deleted_from_the_open_topic_halts_and_is_written_again_and_nothing_is_published"
        }
    }
}

/// The same for the other halts.
fn of_other(other: Other) -> &'static str {
    match other {
        Other::MaxPackages => {
            "a_partition_without_room_halts_by_name_and_goes_on_with_more_room_as_if_nothing_had_been"
        }
        Other::RecordRejected => {
            "records_of_a_broken_feed_that_halt_go_to_the_dead_letters_once_that_is_set"
        }
        Other::Contradiction => {
            "an_open_exception_that_the_log_contradicts_halts_until_the_log_is_trusted"
        }
        Other::AnotherRecord => {
            "a_record_that_is_read_otherwise_amid_its_look_halts_until_it_is_put_back_or_accepted"
        }
        // They name no command, and no answer lifts them.
        Other::NotWritten | Other::NotRead | Other::Unreadable => {
            assert!(other.answers().is_empty());
            "each_halt_and_each_answer_is_done_by_a_test"
        }
    }
}

/// One of each; a new one is missed by `of_reason` first.
fn reasons() -> Vec<HaltReason> {
    let (cut, log_start, log_end) = (1, 2, 0);
    let theirs = || OtherGroup { group: String::new(), owner: String::new() };
    vec![
        HaltReason::OffsetDisagrees { group: 0, metadata: String::new(), cut },
        HaltReason::CutMissing { group: 0 },
        HaltReason::Truncated { cut, log_start },
        HaltReason::TooShort { cut, log_end },
        HaltReason::Recreated { offset: 0 },
        HaltReason::PartitionsChanged { then: 1, now: 2 },
        HaltReason::SnapshotBelowLog { snapshot: 0, log_start },
        HaltReason::FrontierAhead { frontier: 1, ahead: 1 },
        HaltReason::OtherGroup { theirs: theirs(), ours: String::new() },
        HaltReason::OtherTopic { then: String::new(), now: String::new() },
        HaltReason::RejectionsDiffer(Differ { from: 0, to: 1, then: 0, now: 1 }),
        HaltReason::OpenDiffers {
            then: 1,
            now: 0,
            missing: Vec::new(),
            foreign: Vec::new(),
            proven: true,
        },
    ]
}

/// Where in `src/` commands stand as texts, which tool they are of, and the tests that run them.
const PRINTED: &[(&str, &str, &[&str])] = &[
    (
        "protocol/agree/answer.rs",
        "stallwatch recover",
        &[
            "more_input_partitions_are_followed_by_the_open_topic_as_printed_and_nothing_is_repeated",
        ],
    ),
    (
        "cli/recover.rs",
        "stallwatch recover",
        &["the_list_tells_what_subscribers_will_see_and_its_command_answers_all_that_halt_alike"],
    ),
    (
        "service/commands.rs",
        "kafka-configs.sh",
        &["what_doctor_says_to_set_is_set_by_its_commands"],
    ),
    (
        "service/commands.rs",
        "kafka-topics.sh",
        &["more_open_partitions_are_followed_by_the_input_as_printed_and_nothing_is_repeated"],
    ),
    (
        "service/commands.rs",
        "kafka-transactions.sh",
        &[
            "a_transaction_that_hangs_on_the_input_is_ended_as_printed_and_what_is_behind_it_counts",
            "a_transaction_that_hangs_on_the_open_topic_is_ended_as_printed_and_the_restore_goes_on",
        ],
    ),
    (
        "service/rights.rs",
        "kafka-acls.sh",
        &[
            "the_lines_that_acls_print_prints_are_all_that_a_user_needs_over_scram_and_tls",
            "the_lines_that_doctor_prints_are_all_that_a_user_without_any_right_needs",
            "without_any_one_right_of_the_list_the_service_and_doctor_name_the_right_and_its_resource",
        ],
    ),
    (
        "service/topics.rs",
        "kafka-topics.sh",
        &["what_topics_print_prints_creates_what_topics_create_finds_as_it_should_be"],
    ),
    // It needs a plan that only the operator can make, and stands as the name of a tool.
    ("service/doctor/topics.rs", "kafka-reassign-partitions.sh", &[]),
];

/// Verbs of ours that are told by `commands::ours`, and the tests that run them.
const OURS: &[(&str, &str)] = &[
    ("topics create", "topics_that_are_missing_are_created_as_printed_and_the_service_goes_on"),
    ("topics print", "topics_that_are_missing_are_created_as_printed_and_the_service_goes_on"),
    ("acls print", "rights_that_are_missing_are_granted_by_what_the_printed_command_prints"),
    (
        "acls print --doctor",
        "rights_that_are_missing_are_granted_by_what_the_printed_command_prints",
    ),
    ("doctor", "a_store_of_snapshots_that_fails_is_tried_by_the_command_that_is_printed"),
];

#[test]
fn each_halt_and_each_answer_is_done_by_a_test() {
    let tests = tests();
    let has = |name: &str| assert!(tests.contains(name), "there is no test {name}");
    reasons().iter().for_each(|reason| has(of_reason(reason)));
    Other::ALL.iter().for_each(|other| has(of_other(*other)));
    let answers = reasons().iter().flat_map(|it| it.answers().to_vec()).collect::<BTreeSet<_>>();
    let others = Other::ALL.iter().flat_map(|it| it.answers().to_vec());
    let answered: BTreeSet<_> = answers.into_iter().chain(others).collect();
    assert_eq!(answered, Accept::ALL.iter().copied().collect(), "each answer is of a halt");
    let mut names: Vec<_> = reasons().iter().map(HaltReason::name).collect();
    let others = Other::ALL.iter().filter(|other| **other != Other::AnotherRecord);
    names.extend(others.map(|other| other.name()));
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "each has a name of its own: {names:?}");
}

#[test]
fn each_command_that_is_printed_is_run_by_a_test() {
    let tests = tests();
    let known: BTreeSet<(String, String)> =
        PRINTED.iter().map(|(file, tool, _)| ((*file).to_owned(), (*tool).to_owned())).collect();
    let source = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    let mut found = BTreeSet::new();
    let mut verbs = BTreeSet::new();
    for file in files(source) {
        let text = fs::read_to_string(&file).expect("a source");
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        let name = file.strip_prefix(source).expect("below it").display().to_string();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            found.extend(tools(line).map(|tool| (name.clone(), tool)));
            verbs.extend(line.split("commands::ours(").skip(1).filter_map(quoted));
            let in_commands = line.split(" ours(config, ").skip(1);
            verbs.extend(in_commands.filter_map(quoted));
        }
    }
    assert_eq!(found, known, "commands in src/, and those that PRINTED knows");
    let ours: BTreeSet<_> = OURS.iter().map(|(verb, _)| (*verb).to_owned()).collect();
    assert_eq!(verbs, ours, "verbs that are told, and those that OURS knows");
    let named = PRINTED.iter().flat_map(|(_, _, names)| names.iter());
    for name in named.chain(OURS.iter().map(|(_, name)| name)) {
        assert!(tests.contains(*name), "there is no test {name}");
    }
}

/// The tools that a line of source names in a command.
fn tools(line: &str) -> impl Iterator<Item = String> {
    let kafka = line.split("kafka-").skip(1).filter_map(|rest| {
        let (name, _) = rest.split_once(".sh")?;
        let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        plain.then(|| format!("kafka-{name}.sh"))
    });
    let verbs = ["recover", "doctor", "topics", "acls", "validate", "run"];
    let ours = verbs.map(|verb| format!("stallwatch {verb}"));
    let ours = ours.into_iter().filter(|command| line.contains(command));
    kafka.chain(ours).collect::<Vec<_>>().into_iter()
}

/// The first text in quotes.
fn quoted(rest: &str) -> Option<String> {
    rest.split('"').nth(1).map(str::to_owned)
}

/// Names of the tests against a real Kafka.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in files(super::sources()) {
        let text = fs::read_to_string(file).expect("a source");
        for behind in text.split("#[test]\nfn ").skip(1) {
            names.extend(behind.split('(').next().map(str::to_owned));
        }
    }
    names
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false if path.extension().is_some_and(|it| it == "rs") => found.push(path),
            false => {}
        }
    }
    found
}
