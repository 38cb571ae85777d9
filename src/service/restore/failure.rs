//! Why a restore did not come to its end, and what becomes of the partition then.

use rdkafka::error::KafkaError;

use crate::detector::shard::Inconsistent;
use crate::protocol::agree::{Accept, HaltReason};
use crate::protocol::cut::CutError;
use crate::protocol::evidence::Hold;
use crate::protocol::halt::Other;
use crate::service::kafka;
use crate::service::rights::Operation;
use crate::service::room::{NoRoom, NoRoomForAll};
use crate::service::status::Halt;
use crate::wire::exception::ReadError;

/// Why a restore did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The partition was taken away meanwhile, or there is no more time.
    #[error("it was not read to its end in time")]
    Cancelled,
    /// The broker did not answer; the restore is begun again.
    #[error("{}", kafka::explain(.0, "restoring"))]
    Kafka(#[from] KafkaError),
    /// A topic must not be read; it is tried again, as somebody may grant it.
    #[error("{}", kafka::explain_on_topic(error, &format!("restoring from topic {topic}"), Operation::Read))]
    Forbidden {
        /// The topic.
        topic: String,
        /// What the broker says.
        error: KafkaError,
    },
    /// Nobody knows what time it is; the restore is begun again.
    #[error("{}", .0.remedy())]
    Untimed(Hold),
    /// An operator must decide.
    #[error("{0}")]
    Halt(HaltReason),
    /// A cut record of no use.
    #[error(transparent)]
    Cut(#[from] CutError),
    /// An entry of no use.
    #[error("the record at offset {offset} of the open topic, key {key}, cannot be read: {error}")]
    Open {
        /// Its offset.
        offset: i64,
        /// Its key.
        key: String,
        /// What is wrong with it.
        error: ReadError,
    },
    /// A row that was read is gone, as another has taken its place; the restore is begun again.
    #[error(
        "the record at offset {offset} of the open topic is gone: another has taken its place meanwhile"
    )]
    Changed {
        /// Its offset.
        offset: i64,
    },
    /// A published exception contradicts the log.
    #[error("package {0}: {1}; to close it as the log says: {command}", command = Accept::TrustLog.command())]
    Inconsistent(String, Inconsistent),
    /// The packages do not fit.
    #[error("there is no room for {0}: {1}")]
    NoRoom(String, NoRoom),
    /// The packages of a snapshot do not fit.
    #[error("{0}")]
    NoRoomForAll(NoRoomForAll),
}

impl Failure {
    /// Whether what is stored cannot be read, however often it is tried.
    pub const fn is_for_good(&self) -> bool {
        matches!(self, Self::Cut(_) | Self::Open { .. })
    }

    /// Whether it may pass by itself: the restore is begun again.
    pub(super) const fn passes(&self) -> bool {
        matches!(
            self,
            Self::Kafka(_) | Self::Forbidden { .. } | Self::Untimed(_) | Self::Changed { .. }
        )
    }

    /// The halt.
    pub(super) fn halt(&self) -> Halt {
        match self {
            Self::NoRoom(what, no_room) => no_room.restoring(what),
            Self::NoRoomForAll(no_room) => no_room.halt(),
            Self::Halt(reason) => Halt::of(reason),
            Self::Inconsistent(..) => Halt::new(Other::Contradiction, self.to_string()),
            Self::Cancelled
            | Self::Kafka(_)
            | Self::Forbidden { .. }
            | Self::Untimed(_)
            | Self::Changed { .. }
            | Self::Cut(_)
            | Self::Open { .. } => Halt::new(Other::Unreadable, self.to_string()),
        }
    }
}
