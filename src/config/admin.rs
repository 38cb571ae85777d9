//! `[admin]`: the two listeners, and who may come to the one for operators.

use super::read::Reader;
use super::{Address, Admin, AdminTls, Secret};
use crate::wire::toml_reader::Section;

/// A token that can be guessed protects nothing.
const SHORTEST_TOKEN: usize = 16;

impl<'d> Reader<'d> {
    pub(super) fn admin(&self, section: Section<'d>) -> Admin {
        let admin = Admin {
            listen: self.address(&section, "listen"),
            probe_listen: self.address(&section, "probe_listen"),
            token: self.token(&section),
            tls: self.admin_tls(&section),
            advertised: advertised(&section),
        };
        if !admin.listen.ip().is_loopback()
            && !section.has("token_file")
            && !section.has("client_ca_file")
        {
            section.problem(
                "listen",
                "`admin.listen` is no loopback address: set `admin.token_file` or `admin.client_ca_file`, so that not everybody can ask, or listen on 127.0.0.1",
            );
        }
        if admin.listen == admin.probe_listen && admin.listen.port() != 0 {
            section.problem("probe_listen", "`admin.probe_listen` must not equal `admin.listen`");
        }
        section.finish();
        admin
    }

    fn token(&self, section: &Section<'d>) -> Option<Secret> {
        let token = self.secret_file(section, "token_file")?;
        let text = token.reveal();
        if text.len() < SHORTEST_TOKEN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            section.problem(
                "token_file",
                format!("`admin.token_file`: the file must hold one line of at least {SHORTEST_TOKEN} printable characters without a space, for instance of `openssl rand -hex 32`"),
            );
        }
        Some(token)
    }

    fn admin_tls(&self, section: &Section<'d>) -> Option<AdminTls> {
        let certificate_file = self.deployed_file(section, "tls_cert_file");
        let key_file = self.deployed_file(section, "tls_key_file");
        let client_ca_file = self.deployed_file(section, "client_ca_file");
        let ca_file = self.deployed_file(section, "ca_file");
        let keys = ["tls_cert_file", "tls_key_file", "client_ca_file", "ca_file"];
        if keys.iter().any(|key| section.has(key)) {
            section.require(&["tls_cert_file", "tls_key_file"]);
        }
        Some(AdminTls {
            certificate_file: certificate_file?,
            key_file: key_file?,
            client_ca_file,
            ca_file,
        })
    }
}

/// `host:port`; what stands there goes to other machines, so a placeholder is not enough.
fn advertised(section: &Section<'_>) -> Option<Address> {
    let text = section.some_text("advertised")?;
    let address = Address::parse(text);
    if address.is_none() {
        section.problem(
            "advertised",
            format!("`admin.advertised` = \"{text}\" is no host with a port, such as stallwatch-0.stallwatch:9464"),
        );
    }
    address
}
