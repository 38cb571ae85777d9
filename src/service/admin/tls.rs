//! TLS of the admin listener.

use std::path::Path;

use openssl::error::ErrorStack;
use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod, SslVerifyMode};

use crate::config::AdminTls;
use crate::service::ServiceError;

/// TLS 1.2 or later with these files; with an authority of clients, nobody else gets in.
pub fn acceptor(files: &AdminTls) -> Result<SslAcceptor, ServiceError> {
    let failed = |setting: &'static str, file: &Path| {
        let file = file.display().to_string();
        move |error: ErrorStack| ServiceError::Tls { setting, file, error }
    };
    let certificate = &files.certificate_file;
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())
        .map_err(failed("admin.tls_cert_file", certificate))?;
    builder
        .set_certificate_chain_file(certificate)
        .map_err(failed("admin.tls_cert_file", certificate))?;
    builder
        .set_private_key_file(&files.key_file, SslFiletype::PEM)
        .and_then(|()| builder.check_private_key())
        .map_err(failed("admin.tls_key_file", &files.key_file))?;
    builder
        .set_session_id_context(b"stallwatch-admin")
        .map_err(failed("admin.tls_cert_file", certificate))?;
    if let Some(file) = &files.client_ca_file {
        builder.set_ca_file(file).map_err(failed("admin.client_ca_file", file))?;
        builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    }
    Ok(builder.build())
}
