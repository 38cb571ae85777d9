//! Certificates: how long they hold, whether the key belongs to them, and the handshake with each
//! broker. It is made beside the Kafka client, which does not say how long the broker's certificate
//! holds.

use std::fs;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{HandshakeError, SslConnector, SslFiletype, SslMethod, SslVerifyMode};
use openssl::x509::{X509, X509NameRef, X509VerifyResult};

use super::Report;
use crate::config::{ClientCertificate, Config, Kafka, Secret};

const CHECK: &str = "tls";
/// How long ahead a certificate's end is warned of.
const WARN_DAYS: i32 = 30;
const CONNECT: Duration = Duration::from_secs(5);

pub(super) fn check(config: &Config, report: &mut Report) {
    let kafka = &config.kafka;
    if !kafka.security.protocol.has_tls() {
        let protocol = kafka.security.protocol.as_str();
        let says = format!("{protocol}: what is sent can be read and changed on the way");
        report.warn(CHECK, says, "use sasl_ssl or ssl outside of a machine of your own");
        return;
    }
    if let Some(file) = &kafka.security.ca_file {
        authorities(file, report);
    }
    if let Some(client) = &kafka.security.client {
        own(client, report);
    }
    for server in kafka.bootstrap_servers.split(',') {
        handshake(kafka, server.trim(), report);
    }
}

fn authorities(file: &Path, report: &mut Report) {
    let name = file.display();
    match certificates(file) {
        Ok(found) => {
            for certificate in &found {
                let what = format!("ca_file {name}: {}", shown(certificate.subject_name()));
                lasts(&what, certificate, "add the new authority to the file", report);
            }
        }
        Err(why) => report.fail(CHECK, format!("ca_file {why}"), "give PEM"),
    }
}

fn own(client: &ClientCertificate, report: &mut Report) {
    let file = &client.certificate_file;
    let found = match certificates(file) {
        Ok(found) => found,
        Err(why) => {
            report.fail(CHECK, format!("certificate_file {why}"), "give PEM");
            return;
        }
    };
    for certificate in &found {
        let subject = shown(certificate.subject_name());
        let what = format!("certificate_file {}: {subject}", file.display());
        lasts(&what, certificate, "renew it and restart", report);
    }
    let key_file = client.key_file.display();
    match key(&client.key_file, client.key_password.as_ref()) {
        Err(why) => report.fail(
            CHECK,
            format!("key_file {key_file} cannot be read: {why}"),
            "check the file and key_password_file",
        ),
        Ok(key) => {
            let public = found.first().and_then(|first| first.public_key().ok());
            if !public.is_some_and(|public| public.public_eq(&key)) {
                let says = format!("key_file {key_file} is not the key of {}", file.display());
                report.fail(CHECK, says, "give both of one pair, our certificate first");
            }
        }
    }
}

/// Whom a broker takes the service for, where it has no rules of its own for certificates; none where the
/// service does not say who it is.
///
/// # Errors
/// Why the file of the certificate holds none.
pub fn user(kafka: &Kafka) -> Result<Option<String>, String> {
    let security = &kafka.security;
    if let Some(sasl) = &security.sasl {
        return Ok(Some(sasl.username.clone()));
    }
    let Some(client) = &security.client else { return Ok(None) };
    let found = certificates(&client.certificate_file)?;
    Ok(Some(shown(found[0].subject_name())))
}

fn certificates(file: &Path) -> Result<Vec<X509>, String> {
    let name = file.display();
    let text = fs::read(file).map_err(|error| format!("{name} cannot be read: {error}"))?;
    match X509::stack_from_pem(&text) {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{name} holds no certificate")),
        Err(error) => Err(format!("{name} holds no certificate that can be read: {error}")),
    }
}

fn key(file: &Path, password: Option<&Secret>) -> Result<PKey<Private>, String> {
    let text = fs::read(file).map_err(|error| error.to_string())?;
    // Without a password none is asked for at the terminal.
    let password = password.map_or("", Secret::reveal);
    PKey::private_key_from_pem_passphrase(&text, password.as_bytes())
        .map_err(|error| error.to_string())
}

fn lasts(what: &str, certificate: &X509, remedy: &str, report: &mut Report) {
    let (from, until) = (certificate.not_before(), certificate.not_after());
    match (days_until(from), days_until(until)) {
        (Ok((from_days, from_seconds)), _) if (from_days, from_seconds) > (0, 0) => {
            report.fail(CHECK, format!("{what} is not valid before {from}"), "check the clock");
        }
        (_, Ok((days, seconds))) if (days, seconds) <= (0, 0) => {
            report.fail(CHECK, format!("{what} expired on {until}"), remedy);
        }
        (_, Ok((days, _))) if days < WARN_DAYS => {
            report.warn(CHECK, format!("{what} expires in {days} days, on {until}"), remedy);
        }
        (_, Ok((days, _))) => report.ok(CHECK, format!("{what} is valid for {days} days")),
        (_, Err(error)) => report.fail(CHECK, format!("{what}: {error}"), remedy),
    }
}

/// Days and seconds from now; both below zero for what has passed.
fn days_until(time: &Asn1TimeRef) -> Result<(i32, i32), ErrorStack> {
    let difference = Asn1Time::days_from_now(0)?.diff(time)?;
    Ok((difference.days, difference.secs))
}

/// A name as RFC 2253 writes it, and as Kafka names a user by it: the last part first.
fn shown(name: &X509NameRef) -> String {
    let entries: Vec<_> = name.entries().collect();
    let parts = entries.iter().rev().map(|entry| {
        let kind = entry.object().nid().short_name().unwrap_or("?");
        let text = entry.data().to_string().unwrap_or_default();
        let mut escaped = String::new();
        for character in text.chars() {
            if ",+\"\\<>;=".contains(character) {
                escaped.push('\\');
            }
            escaped.push(character);
        }
        format!("{kind}={escaped}")
    });
    parts.collect::<Vec<_>>().join(",")
}

fn handshake(kafka: &Kafka, server: &str, report: &mut Report) {
    match shake_hands(kafka, server) {
        Ok(certificate) => {
            let what = format!("{server}: {}", shown(certificate.subject_name()));
            lasts(&what, &certificate, "tell those who run the broker", report);
        }
        Err((says, remedy)) => report.fail(CHECK, format!("{server}: {says}"), remedy),
    }
}

type Refused = (String, &'static str);

fn shake_hands(kafka: &Kafka, server: &str) -> Result<X509, Refused> {
    let reach = |error: &dyn std::fmt::Display| {
        (format!("it cannot be reached: {error}"), "check kafka.bootstrap_servers and the network")
    };
    let mut addresses = server.to_socket_addrs().map_err(|error| reach(&error))?;
    let address = addresses.next().ok_or_else(|| reach(&"the name has no address"))?;
    let stream = TcpStream::connect_timeout(&address, CONNECT).map_err(|error| reach(&error))?;
    let quiet = stream
        .set_read_timeout(Some(CONNECT))
        .and_then(|()| stream.set_write_timeout(Some(CONNECT)));
    quiet.map_err(|error| reach(&error))?;
    let local = |error: ErrorStack| {
        (format!("no handshake can be made: {error}"), "check the files of kafka.security")
    };
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
    let host = host.trim_matches(['[', ']']);
    let connector = connector(kafka).map_err(local)?;
    let mut handshake = connector.configure().map_err(local)?;
    let property = |name: &str| kafka.properties.get(name).map(String::as_str);
    handshake
        .set_verify_hostname(property("ssl.endpoint.identification.algorithm") != Some("none"));
    if property("enable.ssl.certificate.verification") == Some("false") {
        handshake.set_verify(SslVerifyMode::NONE);
    }
    let stream = handshake.connect(host, stream).map_err(|error| refused(&error))?;
    let certificate = stream.ssl().peer_certificate();
    certificate.ok_or_else(|| ("it shows no certificate".to_owned(), "check its listener"))
}

fn connector(kafka: &Kafka) -> Result<SslConnector, ErrorStack> {
    let security = &kafka.security;
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    match &security.ca_file {
        Some(file) => builder.set_ca_file(file)?,
        None => {
            // OpenSSL that was built with us does not know where the system keeps its own.
            let places = openssl_probe::probe();
            let folder = places.cert_dir.first().map(std::path::PathBuf::as_path);
            if places.cert_file.is_some() || folder.is_some() {
                builder.load_verify_locations(places.cert_file.as_deref(), folder)?;
            }
        }
    }
    if let Some(client) = &security.client
        && let Ok(key) = key(&client.key_file, client.key_password.as_ref())
    {
        builder.set_certificate_file(&client.certificate_file, SslFiletype::PEM)?;
        builder.set_private_key(&key)?;
    }
    Ok(builder.build())
}

fn refused(error: &HandshakeError<TcpStream>) -> Refused {
    let (HandshakeError::Failure(failed) | HandshakeError::WouldBlock(failed)) = error else {
        return (error.to_string(), "check the files of kafka.security");
    };
    match failed.ssl().verify_result() {
        X509VerifyResult::OK => (
            format!("the handshake fails: {}", failed.error()),
            "check that this listener speaks TLS, and that it takes our certificate",
        ),
        why => (
            format!("its certificate is not trusted: {}", why.error_string()),
            "check that kafka.security.ca_file holds the authority of the broker's certificate, that it has not expired, and that it names this host",
        ),
    }
}

#[cfg(test)]
mod tests {
    use openssl::x509::X509NameBuilder;

    use super::*;

    #[test]
    fn a_name_is_written_as_kafka_names_a_user_by_it() {
        let mut name = X509NameBuilder::new().unwrap();
        for (kind, text) in [("C", "DE"), ("O", "Parcels, Ltd"), ("CN", "clerk")] {
            name.append_entry_by_text(kind, text).unwrap();
        }
        assert_eq!(shown(&name.build()), r"CN=clerk,O=Parcels\, Ltd,C=DE");
    }

    #[test]
    fn what_has_passed_is_before_now_and_what_comes_is_behind_it() {
        let passed = Asn1Time::from_unix(1_000_000_000).unwrap();
        assert!(days_until(&passed).unwrap() < (0, 0));
        let coming = Asn1Time::days_from_now(40).unwrap();
        let (days, _) = days_until(&coming).unwrap();
        assert!((39..=40).contains(&days), "{days}");
    }
}
