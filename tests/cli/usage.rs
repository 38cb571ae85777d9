use crate::{Folder, run, stalls};

#[test]
fn help_and_version_go_to_standard_output_and_name_the_exit_codes() {
    let help = run(&["--help"]).with(0);
    for word in ["replay", "validate", "78 bad configuration"] {
        assert!(help.text().contains(word), "{word}");
    }
    assert!(run(&["--version"]).with(0).text().starts_with("stallwatch "));
    let help = run(&["replay", "--help"]).with(0);
    for flag in [
        "--input",
        "--policies",
        "--until",
        "--output",
        "--format",
        "--summary",
        "--strict",
        "--sort",
        "--topic",
    ] {
        assert!(help.text().contains(flag), "{flag}");
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    run(&[]).with(2);
    run(&["replay"]).with(2);
    run(&["replay", "--input", "x"]).with(2);
    run(&["replay", "--colour"]).with(2);
    run(&["validate"]).with(2);
    let near = run(&["repaly"]).with(2);
    assert!(near.stderr.contains("replay"), "{}", near.stderr);
}

#[test]
fn verbs_that_are_planned_say_that_they_are_not_built_yet() {
    for verb in ["test", "explain", "dlq"] {
        let ran = run(&[verb, "something", "--flag"]).with(2);
        assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("`stallwatch {verb}` is not built yet")));
    }
}

#[test]
fn replay_over_a_topic_says_that_it_is_not_built_yet() {
    for arguments in [
        &["replay", "--config", "c.toml", "--from", "2026-03-02T00:00:00Z"][..],
        &["replay", "--config", "c.toml"],
        &["replay", "--to", "2026-03-02T00:00:00Z"],
        &["replay", "--input", "-", "--policies", "p.toml", "--config", "c.toml"],
    ] {
        let ran = run(arguments).with(2);
        assert!(ran.stderr.contains("not built yet"), "{}", ran.stderr);
    }
}

#[test]
fn a_report_format_without_a_report_is_wrong_usage() {
    let ran = Folder::new().replay(stalls(), &["-o", "json"]).with(2);
    assert!(ran.stderr.contains("--summary"), "{}", ran.stderr);
}

#[test]
fn an_unknown_format_names_the_known_ones() {
    let ran = Folder::new().replay(stalls(), &["--format", "xml"]).with(2);
    assert!(ran.stderr.contains("ndjson") && ran.stderr.contains("avro"), "{}", ran.stderr);
}
