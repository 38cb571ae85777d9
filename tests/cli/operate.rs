//! What operators are told without a broker: configuration, topics, rights.

use serde_json::Value;

use crate::{Folder, Ran, of_repository, run};

fn of_deploy(verb: &[&str]) -> Ran {
    let file = of_repository("deploy/stallwatch.toml");
    let file = file.to_str().expect("a path in UTF-8");
    run(&[verb, &["--config", file]].concat())
}

fn of_text(text: &str, verb: &[&str]) -> Ran {
    let folder = Folder::new();
    let file = folder.file("c.toml", text);
    folder.file("password", "hush\n");
    run(&[verb, &["--config", &file]].concat())
}

#[test]
fn config_show_prints_a_configuration_that_validates_with_where_each_setting_comes_from() {
    let shown = of_deploy(&["config", "show"]).with(0);
    assert!(shown.text().contains("group_id = \"stallwatch\"  # "), "{}", shown.text());
    assert!(shown.text().contains("commit_interval = \"500ms\"  # default"), "{}", shown.text());
    let folder = Folder::new();
    let again = folder.file("again.toml", shown.text());
    run(&["validate", "--config", &again]).with(0);
}

#[test]
fn config_show_in_json_nests_sections_and_a_wrong_configuration_is_78() {
    let shown = of_deploy(&["config", "show", "-o", "json"]).with(0);
    let json: Value = serde_json::from_str(shown.text()).expect("JSON");
    assert_eq!(json["kafka"]["security"]["protocol"]["value"], "plaintext");
    assert_eq!(json["state"]["keep"]["from"], "default");
    let wrong = of_text("[kafka]\nrock = 1\n", &["config", "show"]).with(78);
    assert!(wrong.stderr.contains("rock"), "{}", wrong.stderr);
}

#[cfg(feature = "kafka")]
mod kafka {
    use super::*;

    const SCRAM: &str = r#"
[kafka]
bootstrap_servers = "b:9093"
group_id = "stallwatch"
instance_id = "one"
[kafka.security]
protocol = "sasl_ssl"
mechanism = "SCRAM-SHA-512"
username = "clerk"
password_file = "password"
[policies]
file = "policies.toml"
"#;

    #[test]
    fn topics_print_prints_four_lines_for_a_shell() {
        let verb = ["topics", "print", "--partitions", "24", "--replication-factor", "3"];
        let printed = of_deploy(&verb).with(0);
        let lines: Vec<_> = printed.text().lines().collect();
        assert_eq!(lines.len(), 4, "{lines:?}");
        for line in lines {
            assert!(line.starts_with("kafka-topics.sh --bootstrap-server "), "{line}");
            assert!(line.contains(" --partitions 24 --replication-factor 3 "), "{line}");
        }
        of_deploy(&["topics", "print", "--partitions", "0"]).with(2);
    }

    #[test]
    fn acls_print_needs_a_user_where_the_broker_knows_none() {
        let refused = of_deploy(&["acls", "print"]).with(2);
        assert!(refused.stderr.contains("--user"), "{}", refused.stderr);
        let printed = of_deploy(&["acls", "print", "--user", "CN=o'clerk"]).with(0);
        for line in printed.text().lines() {
            assert!(line.contains(r"--allow-principal 'User:CN=o'\''clerk' "), "{line}");
        }
    }

    #[test]
    fn acls_print_takes_the_user_of_the_configuration_and_adds_what_doctor_needs_when_asked() {
        let printed = of_text(SCRAM, &["acls", "print"]).with(0);
        assert!(printed.text().contains("--allow-principal User:clerk "), "{}", printed.text());
        assert!(printed.text().contains("--command-config admin.properties"), "{}", printed.text());
        let count = |more: &[&str]| {
            let verb = [&["acls", "print", "-o", "json"], more].concat();
            let list: Vec<Value> =
                serde_json::from_str(of_text(SCRAM, &verb).text()).expect("JSON");
            list.len()
        };
        assert_eq!((count(&[]), count(&["--doctor"])), (9, 11));
    }

    #[test]
    fn acls_print_for_strimzi_is_a_kafka_user_of_the_cluster_that_is_named() {
        let verb = ["acls", "print", "--strimzi", "--cluster", "parcels"];
        let yaml = of_text(SCRAM, &verb).with(0);
        for part in [
            "kind: KafkaUser",
            "  name: \"clerk\"",
            "strimzi.io/cluster: \"parcels\"",
            "type: scram-sha-512",
            "name: \"tracking.exceptions.open.v1\"",
            "operations: [Read, Write, DescribeConfigs]",
        ] {
            assert!(yaml.text().contains(part), "{part}: {}", yaml.text());
        }
        of_text(SCRAM, &["acls", "print", "--cluster", "parcels"]).with(2);
    }

    #[test]
    fn doctor_ends_with_78_where_the_configuration_is_wrong() {
        let wrong = of_text("[kafka]\nrock = 1\n", &["doctor"]).with(78);
        assert!(wrong.stderr.contains("rock"), "{}", wrong.stderr);
    }
}
