//! Whether snapshots can be kept.

use std::ffi::OsString;

use super::Report;
use crate::config::Config;
use crate::service::clock::{Clock, SystemClock};
use crate::service::snapshots::{Limits, SnapshotStore};

const CHECK: &str = "snapshots";

pub(super) fn check(config: &Config, report: &mut Report) {
    let Some(url) = &config.state.url else {
        let says = "state.url is not set: a restart reads the log from its start";
        report.warn(CHECK, says, "name a folder or a bucket");
        return;
    };
    let texts = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let variables = std::env::vars_os().filter_map(texts);
    let limits = Limits { retries: 1, ..Limits::default() };
    let name = format!(
        "doctor-{}-{}-{}.probe",
        config.kafka.instance_id,
        std::process::id(),
        SystemClock.now_ms()
    );
    let opened = SnapshotStore::open(&config.state, &config.kafka.group_id, limits, variables);
    let tried = opened.and_then(|store| match store {
        Some(store) => store.probe(&name),
        None => Ok(()),
    });
    match tried {
        Ok(()) => {
            report.ok(CHECK, format!("{url}: an object was written, read, listed and deleted"));
        }
        Err(error) => report.fail(
            CHECK,
            format!("{url}: {error}"),
            "check state.url, the folder's owner, or the bucket's policy and the AWS_ variables (read, write, list and delete are needed)",
        ),
    }
}
