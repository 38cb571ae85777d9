//! Commands that operators are told. They run as they are printed, in a shell that finds `stallwatch` and
//! Kafka's own tools; `tests/kafka/remedies.rs` runs each of them.

use super::rights::quote;
use super::topics::administrator;
use crate::config::{Config, Kafka};

/// Replicas of a topic, where there are brokers enough.
const REPLICAS: usize = 3;

/// A verb of ours on the configuration at hand.
pub fn ours(config: &Config, verb: &str) -> String {
    format!("stallwatch {verb} --config {}", quote(&config.file))
}

/// Creates the topics that are missing, on a cluster of so many brokers.
pub fn create_topics(config: &Config, brokers: usize) -> String {
    let verb = ours(config, "topics create");
    match brokers {
        1..REPLICAS => format!("{verb} --replication-factor {brokers}"),
        _ => verb,
    }
}

/// Sets a setting of a topic.
pub fn set(kafka: &Kafka, topic: &str, setting: &str) -> String {
    let admin = administrator(kafka);
    format!(
        "kafka-configs.sh {admin} --alter --entity-type topics --entity-name {} --add-config {setting}",
        quote(topic)
    )
}

/// Adds partitions to a topic, up to so many.
pub fn add_partitions(kafka: &Kafka, topic: &str, partitions: usize) -> String {
    let admin = administrator(kafka);
    format!("kafka-topics.sh {admin} --alter --topic {} --partitions {partitions}", quote(topic))
}

/// Ends the transaction that is open from an offset of a partition on; what it holds is dropped.
pub fn end_transaction(admin: &str, topic: &str, partition: i32, from: i64) -> String {
    format!(
        "kafka-transactions.sh {admin} abort --topic {} --partition {partition} --start-offset {from}",
        quote(topic)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    #[test]
    fn commands_are_whole_and_name_topics_and_files_as_words_of_a_shell() {
        let text =
            "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[policies]\nfile = \"p\"\n";
        let folder = std::path::Path::new("");
        let config = Config::parse("/my files/c.toml", text, folder, &Environment::ignored());
        let config = config.expect("a configuration");
        let doctor = ours(&config, "doctor");
        assert_eq!(doctor, "stallwatch doctor --config '/my files/c.toml'");
        assert_eq!(create_topics(&config, 3), ours(&config, "topics create"));
        assert!(create_topics(&config, 1).ends_with(" --replication-factor 1"));
        assert_eq!(
            set(&config.kafka, "t", "cleanup.policy=compact"),
            "kafka-configs.sh --bootstrap-server b:1 --alter --entity-type topics --entity-name t --add-config cleanup.policy=compact"
        );
        assert_eq!(
            add_partitions(&config.kafka, "t", 4),
            "kafka-topics.sh --bootstrap-server b:1 --alter --topic t --partitions 4"
        );
        assert_eq!(
            end_transaction(&administrator(&config.kafka), "t", 2, 17),
            "kafka-transactions.sh --bootstrap-server b:1 abort --topic t --partition 2 --start-offset 17"
        );
    }
}
