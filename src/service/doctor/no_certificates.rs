//! Certificates in a build without TLS: there are none.

use std::path::Path;

use super::Report;
use crate::config::Config;

pub(super) fn check(config: &Config, report: &mut Report) {
    if config.kafka.security.protocol.has_tls() {
        report.skip("tls", "this build has no TLS");
    }
}

/// Whom a broker takes the holder of a certificate for.
///
/// # Errors
/// Always: no certificate can be read.
pub fn subject(_file: &Path) -> Result<String, String> {
    Err("this build reads no certificates; name the user with --user".to_owned())
}
