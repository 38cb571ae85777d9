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

pub mod carriers;
pub mod compare;
pub mod dice;
pub mod feed;
pub mod incidents;
pub mod journey;
pub mod ledger;
pub mod network;
pub mod numbers;
pub mod partition;
pub mod story;
pub mod time;

/// The demo's policies, as TOML.
pub const POLICIES: &str = include_str!("policies.toml");

#[cfg(test)]
mod tests;
