//! An address that other machines are told: a host and a port, and nothing else.

use std::fmt;

/// Where an admin listener is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// A name, or an IP address; one of version 6 in brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// From `host:port` and nothing else: no path, no user, no other scheme hides in it.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let inner = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']')?,
            None if host.contains(':') => return None,
            None => host,
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        let good = (1..=253).contains(&inner.len()) && inner.bytes().all(allowed);
        good.then(|| Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
