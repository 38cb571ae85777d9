use std::process::Stdio;

use serde_json::{Value, json};
use stallwatch::detector::shard::BYTES_PER_PACKAGE;

use crate::{Folder, command, of_repository, run};

const CONFIG: &str = r#"
[kafka]
bootstrap_servers = "localhost:9092"
group_id = "stallwatch"
[policies]
file = "policies.toml"
"#;

fn validate(folder: &Folder, config: &str, more: &[&str]) -> crate::Ran {
    let config = folder.file("stallwatch.toml", config);
    let mut arguments = vec!["validate", "--config", &config];
    arguments.extend(more);
    run(&arguments)
}

#[test]
fn a_good_configuration_is_ok() {
    let folder = Folder::new();
    let ran = validate(&folder, CONFIG, &[]).with(0);
    assert_eq!(ran.text().lines().next(), Some("ok"));
    let ran = validate(&folder, CONFIG, &["-o", "json"]).with(0);
    let report: Value = serde_json::from_str(ran.text()).unwrap();
    assert_eq!((&report["ok"], &report["problems"]), (&json!(true), &json!([])));
}

/// What a good configuration needs: the line for people, and the report for scripts.
fn memory(config: &str) -> (String, Value) {
    told(config, "memory")
}

/// What is told of a good configuration under a heading.
fn told(config: &str, heading: &str) -> (String, Value) {
    let folder = Folder::new();
    let ran = validate(&folder, config, &[]).with(0);
    let line = ran.text().lines().find(|line| line.starts_with(heading)).unwrap().to_owned();
    let ran = validate(&folder, config, &["-o", "json"]).with(0);
    let report: Value = serde_json::from_str(ran.text()).unwrap();
    (line, report[heading].clone())
}

#[test]
fn where_snapshots_go_is_told() {
    let state = "[state]\nurl = \"s3://parcels/eu\"\nsnapshot_interval = \"90s\"\nkeep = 5\n";
    let (line, report) = told(&format!("{CONFIG}{state}"), "snapshots");
    let said = "snapshots: every 1m30s, at a hand-over and at a stop to s3://parcels/eu, the last 5 of a partition are kept";
    assert_eq!(line, said);
    assert_eq!(report, json!({ "url": "s3://parcels/eu", "interval_s": 90.0, "keep": 5 }));
    let (line, report) = told(CONFIG, "snapshots");
    assert!(line.starts_with("snapshots: none; a restart reads the log"), "{line}");
    assert_eq!(report, json!({ "url": null, "interval_s": 300.0, "keep": 3 }));
}

#[test]
fn the_memory_that_the_limit_of_packages_allows_is_estimated() {
    let (line, report) = memory(&format!("{CONFIG}[engine]\nmax_packages = 1_000_000_000\n"));
    let each = BYTES_PER_PACKAGE;
    let said = format!(
        "memory: about {each} GB for the 1000000000 packages that engine.max_packages allows"
    );
    assert_eq!(line, said);
    let bytes = each * 1_000_000_000;
    let expected =
        json!({ "max_packages": 1_000_000_000, "bytes": bytes, "bytes_per_package": each });
    assert_eq!(report, expected);
}

#[test]
fn without_a_limit_the_memory_of_every_million_packages_is_told() {
    let (line, report) = memory(CONFIG);
    let each = BYTES_PER_PACKAGE;
    let said = format!(
        "memory: about {each} MB for every million packages; engine.max_packages is not set"
    );
    assert_eq!(line, said);
    let expected = json!({ "max_packages": null, "bytes": null, "bytes_per_package": each });
    assert_eq!(report, expected);
}

#[test]
fn what_is_deployed_is_good() {
    let config = of_repository("deploy/stallwatch.toml");
    let ran = run(&["validate", "--config", config.to_str().unwrap(), "--no-environment"]);
    assert!(ran.with(0).text().starts_with("ok\n"));
}

#[test]
fn all_problems_of_configuration_and_policies_are_reported_at_once_in_order() {
    let folder = Folder::new();
    folder.file(
        "policies.toml",
        "version = 1\n[[policy]]\nid = \"a\"\nmatch = { carier = [\"ups\"] }\n",
    );
    let config = format!("{CONFIG}wacth = true\n[log]\nlevel = 7\n");
    let ran = validate(&folder, &config, &[]).with(78);
    let path = folder.path().to_str().unwrap();
    let said: Vec<_> = ran.text().lines().map(|line| line.replace(path, "")).collect();
    assert_eq!(said.len(), 5, "{said:#?}");
    assert!(said[0].starts_with("/policies.toml:2:1: the last policy"), "{said:#?}");
    assert!(said[1].starts_with("/policies.toml:4:11: unknown key"), "{said:#?}");
    assert!(said[1].contains("did you mean `carrier`?"), "{said:#?}");
    assert_eq!(
        said[2],
        "/stallwatch.toml:7:1: unknown key `policies.wacth`; did you mean `watch`?"
    );
    assert_eq!(said[3], "/stallwatch.toml:9:9: `log.level` must be text, not a whole number");
    assert_eq!(said[4], "4 problems");
}

#[test]
fn a_report_for_scripts_has_the_place_of_every_problem() {
    let folder = Folder::new();
    let config = format!("{CONFIG}\n[engine]\nworkers = -1\n");
    let ran = validate(&folder, &config, &["-o", "json"]).with(78);
    let report: Value = serde_json::from_str(ran.text()).unwrap();
    assert_eq!(report["ok"], false);
    let problem = &report["problems"][0];
    assert_eq!(problem["file"], folder.at("stallwatch.toml"));
    assert_eq!((&problem["line"], &problem["column"]), (&json!(9), &json!(11)));
    assert!(problem["message"].as_str().unwrap().contains("between 0 and"));
}

#[test]
fn files_that_are_not_there_or_no_text_are_named() {
    let folder = Folder::new();
    let missing = folder.at("nowhere.toml");
    let ran = run(&["validate", "--config", &missing]).with(78);
    assert!(ran.text().starts_with(&format!("{missing}: cannot be read: ")), "{}", ran.text());
    let ran = validate(&folder, &CONFIG.replace("policies.toml", "gone.toml"), &[]).with(78);
    assert!(ran.text().contains("gone.toml: cannot be read: "), "{}", ran.text());
    let binary = folder.file("binary.toml", b"a = \"\xff\"");
    let ran = run(&["validate", "--config", &binary]).with(78);
    assert!(ran.text().contains("is not UTF-8 text"), "{}", ran.text());
}

#[test]
fn an_empty_configuration_says_what_it_needs() {
    let ran = validate(&Folder::new(), "", &[]).with(78);
    assert!(ran.text().contains("`kafka.bootstrap_servers` is missing"), "{}", ran.text());
    assert!(ran.text().ends_with("3 problems\n"), "{}", ran.text());
}

#[test]
fn a_configuration_that_is_not_toml_says_where() {
    let ran = validate(&Folder::new(), "[kafka\n", &[]).with(78);
    assert!(ran.text().contains("stallwatch.toml:1:7: not TOML: "), "{}", ran.text());
}

#[test]
fn variables_are_looked_up_unless_told_otherwise() {
    let folder = Folder::new();
    let config = CONFIG.replace("\"stallwatch\"", "\"${GROUP}\"");
    let ran = validate(&folder, &config, &[]).with(78);
    assert!(ran.text().contains("GROUP is not set"), "{}", ran.text());
    validate(&folder, &config, &["--no-environment"]).with(0);
    let path = folder.at("stallwatch.toml");
    let set = command(&["validate", "--config", &path]).env("GROUP", "here").output().unwrap();
    assert_eq!(set.status.code(), Some(0));
}

#[test]
fn overrides_are_checked_like_settings() {
    let folder = Folder::new();
    let path = folder.file("stallwatch.toml", CONFIG);
    let with = |name: &str, value: &str, more: &[&str]| {
        let mut arguments = vec!["validate", "--config", &path];
        arguments.extend(more);
        let ran = command(&arguments).env(name, value).stdin(Stdio::null()).output().unwrap();
        (ran.status.code(), String::from_utf8(ran.stdout).unwrap())
    };
    assert_eq!(with("STALLWATCH__INPUT__FORMAT", "json", &[]).0, Some(0));
    let (code, said) = with("STALLWATCH__INPUT__FORMAT", "jsno", &[]);
    assert_eq!(code, Some(78));
    assert!(said.starts_with("environment variable STALLWATCH__INPUT__FORMAT: "), "{said}");
    let (code, said) = with("STALLWATCH__INPUT__FROMAT", "json", &[]);
    assert_eq!(code, Some(78));
    assert!(said.contains("did you mean `format`?"), "{said}");
    assert_eq!(with("STALLWATCH__INPUT__FROMAT", "json", &["--no-environment"]).0, Some(0));
}

#[test]
fn a_writer_schema_is_looked_into() {
    let folder = Folder::new();
    folder.file("scan.avsc", r#"{"type":"record","name":"Scan","fields":[]}"#);
    let config = format!("{CONFIG}\n[input]\nschema_file = \"scan.avsc\"\n");
    let ran = validate(&folder, &config, &[]).with(78);
    assert!(ran.text().contains("stallwatch.toml:9:15: `input.schema_file`: "), "{}", ran.text());
    assert!(ran.text().contains("the field milestone is missing"), "{}", ran.text());
    let schema = std::fs::read(of_repository("schemas/scan.v1.avsc")).unwrap();
    folder.file("scan.avsc", schema);
    validate(&folder, &config, &[]).with(0);
}

/// Properties of the Kafka client, which only a build with one knows.
#[cfg(feature = "kafka")]
mod properties {
    use super::*;

    fn with(properties: &str) -> String {
        format!("{CONFIG}[kafka.properties]\n{properties}\n")
    }

    #[test]
    fn properties_that_the_client_does_not_have_or_take_are_named_at_once_with_their_places() {
        let folder = Folder::new();
        let config = with("fetch.mim.bytes = 1\n\"socket.timeout.ms\" = \"soon\"");
        let ran = validate(&folder, &config, &["--no-environment"]).with(78);
        let said: Vec<_> = ran.text().lines().collect();
        assert!(said[0].contains("stallwatch.toml:8:"), "{said:#?}");
        assert!(said[0].contains("`kafka.properties.fetch.mim.bytes`"), "{said:#?}");
        assert!(said[0].ends_with("did you mean `fetch.min.bytes`?"), "{said:#?}");
        assert!(said[1].contains("stallwatch.toml:9:"), "{said:#?}");
        assert!(said[1].contains("socket.timeout.ms"), "{said:#?}");
        assert_eq!(said[2], "2 problems");
    }

    #[test]
    fn properties_that_do_not_go_together_are_named() {
        let folder = Folder::new();
        let ran = validate(&folder, &with("fetch.max.bytes = 1000"), &[]).with(78);
        assert!(ran.text().contains("fetch.max.bytes"), "{}", ran.text());
        assert!(ran.text().ends_with("1 problem\n"), "{}", ran.text());
    }

    #[test]
    fn run_ends_with_78_for_what_validate_names_so_that_no_supervisor_repeats_it() {
        for wrong in ["no.such.property = 1", "fetch.max.bytes = 1000"] {
            let folder = Folder::new();
            let free = "[admin]\nlisten = \"127.0.0.1:0\"\nprobe_listen = \"127.0.0.1:0\"\n";
            let config = folder.file("stallwatch.toml", format!("{free}{}", with(wrong)));
            let ran = run(&["run", "--config", &config]).with(78);
            let name = wrong.split(' ').next().expect("a name");
            assert!(ran.stderr.contains(name), "{}", ran.stderr);
        }
    }
}
