//! Decides what is published, committed and restored. Pure: events in, actions out.
//!
//! Nothing here knows Kafka, a clock, a thread or a file. The service tells these machines what
//! happened and does what they say; so would a simulation.
//!
//! - [`keeper`]: what an instance holds and commits; it knows the lanes and the commit cycle.
//! - [`held`]: a partition as its worker holds it, and the cut between two applies.
//! - [`cut`] and [`decisions`]: the record that keeps a cut, and what was decided about the log;
//!   [`refusals`] and [`rejections`]: which records were left out, [`open_sum`] and [`repair`]: what
//!   the open table must hold.
//! - [`lane`] and [`evidence`]: how far a partition is read, and when the frontier of a quiet one may
//!   follow the wall clock.
//! - [`commit_cycle`]: how one transaction comes to its end, whatever the broker answers.
//! - [`agree`] and [`restore`]: whether what is durable agrees, and how a partition is rebuilt.
//! - [`ownership`]: which contents belong to which assignment.
//! - [`trusted_time`]: what time it is, by the brokers' stamps.
//! - [`rules`]: the rules of all this by name, so that a simulation can leave one out.

pub mod agree;
pub mod commit_cycle;
pub mod cut;
pub mod decisions;
pub mod evidence;
pub mod halt;
pub mod held;
pub mod keeper;
pub mod lane;
pub mod open_sum;
pub mod ownership;
pub mod plain;
pub mod refusals;
pub mod rejections;
pub mod repair;
pub mod restore;
pub mod rules;
pub mod trusted_time;
