//! This instance's member of the group, for one life: from joining to its end.

use std::ops::Deref;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;

use super::kafka::{self, Client};
use super::native;
use crate::config::Config;

/// How long the end of a client is waited for before it is left to itself.
const END: Duration = Duration::from_secs(5);

/// A member of the group. Its end is no word to the group: a static member keeps its partitions for
/// as long as its session lasts.
pub struct Member(Option<Client>);

impl Member {
    /// Joins the group, which answers with an event.
    pub fn join(config: &Config, input: &str) -> KafkaResult<Self> {
        let client = kafka::member(config)?;
        client.subscribe(&[input])?;
        Ok(Self(Some(client)))
    }
}

impl Deref for Member {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let Some(client) = self.0.take() else { return };
        let (ending, ended) = bounded::<()>(0);
        let end = move || {
            native::end_without_closing(client);
            drop(ending);
        };
        let thread = std::thread::Builder::new().name("member-end".to_owned()).spawn(end);
        if thread.is_ok() && ended.recv_timeout(END) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(
                "the client of a membership that is over does not end: it is left behind"
            );
        }
    }
}
