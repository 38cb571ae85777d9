//! Certificates for brokers and their clients, by an authority of the test's own.

use std::fs;
use std::path::{Path, PathBuf};

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509NameBuilder};

const DAY: i64 = 86_400;

/// Files of certificates and keys, all PEM: `NAME.pem` and `NAME.key`, and `NAME.both` with key and
/// certificate in one file, as a broker's store.
///
/// | name | what |
/// | --- | --- |
/// | `ca` | the authority that the broker trusts and whose certificate it shows |
/// | `stranger-ca` | an authority that nobody knows |
/// | `broker` | of `ca`, for localhost |
/// | `clerk` | of `ca`, user `CN=clerk` |
/// | `soon` | the same, for ten days to come |
/// | `expired` | the same, until yesterday |
/// | `stranger` | of `stranger-ca`, user `CN=clerk` |
pub struct Certificates {
    dir: PathBuf,
}

struct Issuer {
    certificate: X509,
    key: PKey<Private>,
}

impl Certificates {
    /// Makes all of them in a folder.
    pub fn make(dir: &Path) -> Self {
        let made = Self { dir: dir.to_owned() };
        let [ca, stranger] = ["ca", "stranger-ca"].map(|name| made.authority(name));
        made.issue("broker", "localhost", &ca, 3_650 * DAY);
        made.issue("clerk", "clerk", &ca, 3_650 * DAY);
        made.issue("soon", "clerk", &ca, 10 * DAY);
        made.issue("expired", "clerk", &ca, -DAY);
        made.issue("stranger", "clerk", &stranger, 3_650 * DAY);
        made
    }

    /// One of the files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn authority(&self, name: &str) -> Issuer {
        let key = key();
        let mut builder = begin(name, &key, 3_650 * DAY);
        let subject = builder_name(name);
        builder.set_issuer_name(&subject).expect("a name");
        let basic = BasicConstraints::new().critical().ca().build().expect("an extension");
        builder.append_extension(basic).expect("an extension");
        let usage = KeyUsage::new().key_cert_sign().crl_sign().build().expect("an extension");
        builder.append_extension(usage).expect("an extension");
        let certificate = self.finish(name, builder, &key, &key);
        Issuer { certificate, key }
    }

    fn issue(&self, file: &str, name: &str, issuer: &Issuer, lasts: i64) {
        let key = key();
        let mut builder = begin(name, &key, lasts);
        builder.set_issuer_name(issuer.certificate.subject_name()).expect("a name");
        let hosts = SubjectAlternativeName::new()
            .dns("localhost")
            .ip("127.0.0.1")
            .build(&builder.x509v3_context(Some(&issuer.certificate), None))
            .expect("an extension");
        builder.append_extension(hosts).expect("an extension");
        self.finish(file, builder, &key, &issuer.key);
    }

    fn finish(
        &self,
        file: &str,
        mut builder: X509Builder,
        key: &PKey<Private>,
        signer: &PKey<Private>,
    ) -> X509 {
        builder.sign(signer, MessageDigest::sha256()).expect("a signature");
        let certificate = builder.build();
        let pem = certificate.to_pem().expect("PEM");
        let key = key.private_key_to_pem_pkcs8().expect("PEM");
        for (kind, text) in [("pem", &pem), ("key", &key), ("both", &[&key[..], &pem].concat())] {
            fs::write(self.file(&format!("{file}.{kind}")), text).expect("written");
        }
        certificate
    }
}

fn key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve");
    PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key")
}

fn builder_name(name: &str) -> openssl::x509::X509Name {
    let mut builder = X509NameBuilder::new().expect("a name");
    builder.append_entry_by_nid(Nid::COMMONNAME, name).expect("a name");
    builder.build()
}

/// One that holds from a month ago on.
fn begin(name: &str, key: &PKey<Private>, lasts: i64) -> X509Builder {
    let now = crate::wait::now_secs();
    let time = |seconds: i64| Asn1Time::from_unix(seconds).expect("a time");
    let mut serial = BigNum::new().expect("a number");
    serial.rand(127, openssl::bn::MsbOption::MAYBE_ZERO, false).expect("a number");
    let mut builder = X509Builder::new().expect("a certificate");
    builder.set_version(2).expect("a version");
    builder.set_serial_number(&serial.to_asn1_integer().expect("a number")).expect("a number");
    builder.set_subject_name(&builder_name(name)).expect("a name");
    builder.set_not_before(&time(now - 30 * DAY)).expect("a time");
    builder.set_not_after(&time(now + lasts)).expect("a time");
    builder.set_pubkey(key).expect("a key");
    builder
}
