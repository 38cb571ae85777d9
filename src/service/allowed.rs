//! Whether the user may do to the topics what the service will do sooner or later: asked for at the
//! start, as a right that is missing would else show with the first exception or dead letter.

use rdkafka::error::RDKafkaErrorCode;

use super::Shared;
use super::commands;
use super::kafka::{self, REQUEST};
use super::native::describe;
use super::rights::{Resource, needed};
use super::settings::Settings;

/// Looks at the rights on topics.
///
/// # Errors
/// Which are missing, and on what. That the broker does not tell is no error.
pub fn check(shared: &Shared) -> Result<(), String> {
    let rights = needed(&shared.config);
    let mut topics: Vec<&str> = Vec::new();
    for right in &rights {
        if let Resource::Topic(name) = &right.resource
            && !topics.contains(&name.as_str())
        {
            topics.push(name);
        }
    }
    let asked = Settings::new(&shared.config.kafka)
        .and_then(|settings| describe::topics(settings.admin().inner(), &topics, REQUEST));
    let found = match asked {
        Ok(found) => found,
        Err(error) => {
            let why = kafka::explain(&error, "asking what the user may do");
            tracing::debug!("{why}; what is missing shows later");
            return Ok(());
        }
    };
    let lacks = |right: &&super::rights::Right| {
        let Resource::Topic(name) = &right.resource else { return false };
        let topic = found.iter().find(|(found, _)| found == name).map(|(_, topic)| topic);
        match topic {
            Some(Ok(describe::Topic { allowed: Some(allowed), .. })) => {
                !allowed.contains(&right.operation)
            }
            Some(Err(code)) => *code == RDKafkaErrorCode::TopicAuthorizationFailed,
            Some(Ok(_)) | None => false,
        }
    };
    let lacking: Vec<_> = rights
        .iter()
        .filter(lacks)
        .map(|right| format!("the user lacks the right {right}, which {}", right.purpose))
        .collect();
    match lacking.is_empty() {
        true => Ok(()),
        false => {
            let print = commands::ours(&shared.config, "acls print");
            Err(format!("{}; to see what grants them: {print}", lacking.join("; ")))
        }
    }
}
