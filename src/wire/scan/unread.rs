//! Why the scan of a record cannot be told.

use super::framing::Mark;
use crate::wire::reject::{Reason, Rejected};

/// Why the scan of a record cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// The record is no scan.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// It may be one, and nobody here knows the schema that it was written with.
    #[error(transparent)]
    UnknownSchema(#[from] UnknownSchema),
}

/// A record names a schema that is none of those that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record was written with the schema of {mark}, which is none that is known; {}", remedy(*.mark))]
pub struct UnknownSchema {
    /// What the record calls it.
    pub mark: Mark,
}

fn remedy(mark: Mark) -> String {
    match mark {
        Mark::Fingerprint(_) => "add the writer's schema to input.schema_files".to_owned(),
        Mark::Id(id) => {
            format!(
                "add the writer's schema to input.schemas, as {id} = \"FILE.avsc\", or set input.schema_id = {id} if input.schema_file is that schema"
            )
        }
    }
}

impl From<Unread> for Rejected {
    /// For those who wait for no schema.
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Rejected(rejected) => rejected,
            Unread::UnknownSchema(unknown) => Self::new(Reason::UnknownSchema, unknown.to_string()),
        }
    }
}
