//! A simulated carrier network and its independent ledger, for `stallwatch demo`.
//!
//! ```text
//!  seed ──► journey: what truly happens ──► feed: what is heard of it ──► stream of scans
//!                                                                          │          │
//!                                                    ledger: one package   │          ▼
//!                                                    after another  ◄──────┘    the detector
//!                                                        │                            │
//!                                                        └────────► compare ◄─────────┘
//! ```
//!
//! Pure up to here: no clock, no thread, and no chance but a seeded generator, so that a seed is a
//! story that can be told again. What needs Kafka (the embedded broker, the demo's clock, the live
//! table) stands behind the feature `kafka`.

#[cfg(feature = "kafka")]
pub mod broker;
pub mod carriers;
#[cfg(feature = "kafka")]
pub mod clock;
pub mod compare;
pub mod dice;
#[cfg(feature = "kafka")]
pub mod encode;
pub mod feed;
pub mod findings;
pub mod incidents;
pub mod journey;
pub mod ledger;
pub mod network;
pub mod numbers;
#[cfg(feature = "kafka")]
pub mod onlooker;
pub mod partition;
#[cfg(feature = "kafka")]
pub mod production;
#[cfg(feature = "kafka")]
pub mod screen;
#[cfg(feature = "kafka")]
pub mod show;
#[cfg(feature = "kafka")]
pub mod stage;
pub mod story;
pub mod summary;
pub mod time;

#[cfg(test)]
mod tests;

use crate::detector::policy::PolicySet;
use crate::wire::policy_file;

/// The demo's policies, as TOML.
pub const POLICIES: &str = include_str!("policies.toml");

/// The demo's policies.
pub fn policies() -> PolicySet {
    policy_file::parse("policies.toml", POLICIES).expect("the demo's own policies are in order")
}
