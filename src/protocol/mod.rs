//! Decides what is published, committed and restored. Pure: events in, actions out.
//!
//! Nothing here knows Kafka, a clock, a thread or a file. The service tells these machines what
//! happened and does what they say; so would a simulation.
//!
//! - [`cut`]: what is known of a partition between two applies, and the record that keeps it.
//! - [`evidence`]: when the frontier of a quiet partition may follow the wall clock.
//! - [`commit_cycle`]: how one transaction comes to its end, whatever the broker answers.
//! - [`restore`]: where a partition goes on, or why it must not.
//! - [`ownership`]: which contents belong to which assignment.

pub mod commit_cycle;
pub mod cut;
pub mod evidence;
pub mod ownership;
pub mod restore;
