//! `[schema_registry]`: where writer schemas are asked for that no file has.

use std::path::PathBuf;

use super::Secret;
use super::read::Reader;
use crate::wire::toml_reader::Section;

/// `[schema_registry]`: whom to ask for the schema of an id, and as whom.
#[derive(Clone, Debug)]
pub struct SchemaRegistry {
    /// Its address, without a slash at the end; `/schemas/ids/ID` is asked of it.
    pub url: String,
    /// Who asks, if that has to be said.
    pub trust: Option<Trust>,
    /// PEM file with the authorities to trust; those of the system where there is none.
    pub ca_file: Option<PathBuf>,
}

/// How one says who asks.
#[derive(Clone, Debug)]
pub enum Trust {
    /// HTTP's basic authentication.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A bearer token.
    Bearer(Secret),
}

impl<'d> Reader<'d> {
    pub(super) fn schema_registry(&self, section: Section<'d>) -> Option<SchemaRegistry> {
        let auth = section.section_or_empty("auth");
        let trust = self.trust(&auth);
        auth.finish();
        let ca_file = self.deployed_file(&section, "ca_file");
        let url = section.some_text("url").map(|url| url.trim_end_matches('/'));
        if let Some(url) = url
            && !is_url(url)
        {
            let name = section.name("url");
            section.problem(
                "url",
                format!(
                    "{name} is no address of a registry; write http://HOST:PORT or https://HOST, a login belongs into `schema_registry.auth`"
                ),
            );
        }
        for key in ["auth", "ca_file"] {
            if url.is_none() && section.has(key) {
                let name = section.name(key);
                section.problem(key, format!("{name} has no meaning without `url`"));
            }
        }
        section.finish();
        Some(SchemaRegistry { url: url?.to_owned(), trust, ca_file })
    }

    fn trust(&self, section: &Section<'d>) -> Option<Trust> {
        let username = section.some_text("username");
        let password = self.secret(section, "password", "password_file");
        let token = self.secret(section, "token", "token_file");
        let has_password = section.has("password") || section.has("password_file");
        if username.is_some() != has_password {
            section.problem(
                "username",
                "`schema_registry.auth`: `username` and `password_file` go together",
            );
        }
        if username.is_some() && token.is_some() {
            section
                .problem("token_file", "`schema_registry.auth` has a user and a token; keep one");
        }
        match (username, token) {
            (Some(username), _) => {
                let password = password.unwrap_or_else(|| Secret::new(""));
                Some(Trust::Basic { username: username.to_owned(), password })
            }
            (None, token) => token.map(Trust::Bearer),
        }
    }
}

/// Whether it is an address of HTTP without a login.
fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split('/').next());
    host.is_some_and(|host| !host.is_empty() && !host.contains('@'))
        && text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '?' | '#'))
}
