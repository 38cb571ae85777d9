//! What the topics are set to, as far as the service depends on it: asked for once, at the start.

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::error::KafkaError;

use super::Shared;
use super::kafka::{self, Context, REQUEST};

/// Looks at the topics' settings.
///
/// # Errors
/// When the open topic is not compacted, and nothing else: then what is open would be lost with
/// time. What cannot be asked for is told in the log.
pub fn check(shared: &Shared) -> Result<(), String> {
    let (input, open) = (&*shared.input, &*shared.topics.open);
    let found = match describe(shared, &[input, open]) {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(
                "{}; whether they are set as they should be is not known",
                kafka::explain(&error, "asking for the settings of the topics")
            );
            return Ok(());
        }
    };
    for resource in &found {
        let of = |topic: &str| {
            resource.specifier == rdkafka::admin::OwnedResourceSpecifier::Topic(topic.to_owned())
        };
        if of(open) {
            compacted(open, value(resource, "cleanup.policy"))?;
        }
        if of(input) {
            let forget_after = shared.policies.defaults().forget_after;
            kept_for_long_enough(input, value(resource, "retention.ms"), forget_after);
        }
    }
    Ok(())
}

fn describe(shared: &Shared, topics: &[&str]) -> Result<Vec<ConfigResource>, KafkaError> {
    let admin: AdminClient<Context> =
        kafka::common(&shared.config.kafka).create_with_context(Context)?;
    let topics: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let options = AdminOptions::new().request_timeout(Some(REQUEST));
    let asked = admin.describe_configs(&topics, &options);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| KafkaError::AdminOpCreation(error.to_string()))?;
    let described = runtime.block_on(asked)?;
    described.into_iter().map(|one| one.map_err(KafkaError::AdminOp)).collect()
}

fn value<'a>(resource: &'a ConfigResource, name: &str) -> Option<&'a str> {
    resource.get(name)?.value.as_deref()
}

fn compacted(topic: &str, policy: Option<&str>) -> Result<(), String> {
    match policy {
        None | Some("compact") => Ok(()),
        Some(other) => Err(format!(
            "the open topic {topic} has cleanup.policy={other}: what has been open for long would be lost; set cleanup.policy=compact, and nothing else"
        )),
    }
}

/// A package may be known for `forget_after` seconds, and a snapshot may be lost at its end.
fn kept_for_long_enough(topic: &str, retention_ms: Option<&str>, forget_after: i64) {
    let kept = retention_ms.and_then(|text| text.parse::<i64>().ok()).filter(|kept| *kept >= 0);
    if let Some(kept) = kept.filter(|kept| kept / 1000 < 2 * forget_after) {
        let (kept, wanted) = (kept / 86_400_000, 2 * forget_after / 86_400);
        tracing::warn!(
            "the input topic {topic} keeps records for {kept} days (retention.ms); with less than {wanted}, twice forget_after, packages may be rebuilt without their beginning when the snapshots are lost"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_topic_that_is_compacted_and_nothing_else_will_do() {
        assert_eq!(compacted("open", Some("compact")), Ok(()));
        assert_eq!(compacted("open", None), Ok(()), "not told");
        for policy in ["delete", "compact,delete"] {
            let why = compacted("open", Some(policy)).unwrap_err();
            assert!(why.contains(policy) && why.contains("open"), "{why}");
        }
    }
}
