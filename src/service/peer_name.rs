//! The name of an instance's member of the group. It tells the others where its admin listener is,
//! so that they find each other without anything else to be set up.

use crate::config::{Address, Admin, Kafka};

/// What every name of ours begins with.
const OURS: &str = "stallwatch-";
/// What stands between the instance and its address; no instance id has it.
const AT: char = '@';

/// The name of a client of this instance.
pub fn of_client(kafka: &Kafka) -> String {
    format!("{OURS}{}", kafka.instance_id)
}

/// The name of this instance's member.
pub fn of_member(kafka: &Kafka, settings: &Admin) -> String {
    let name = of_client(kafka);
    match &settings.advertised {
        Some(address) => format!("{name}{AT}{address}"),
        None => name,
    }
}

/// Where the instance with this name of a member can be asked; `None` if it is none of ours, or does
/// not say.
pub fn address(member: &str) -> Option<Address> {
    Address::parse(member.strip_prefix(OURS)?.split_once(AT)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_members_are_asked_and_only_at_a_host_and_a_port() {
        let told = |member: &str| address(member).map(|address| address.to_string());
        assert_eq!(told("stallwatch-a@a.parcels:9464").as_deref(), Some("a.parcels:9464"));
        assert_eq!(told("stallwatch-a@[::1]:9464").as_deref(), Some("[::1]:9464"));
        for other in [
            "stallwatch-a",
            "console@a.parcels:9464",
            "stallwatch-a@a.parcels",
            "stallwatch-a@a.parcels:0",
            "stallwatch-a@a.parcels:99999",
            "stallwatch-a@evil.example/path?:80",
            "stallwatch-a@user@evil.example:80",
            "stallwatch-a@user:password@evil.example:80",
            "stallwatch-a@::1:9464",
            "stallwatch-a@[::1:9464",
            "stallwatch-a@:9464",
            "stallwatch-a@a b:9464",
            "stallwatch-a@a\r\n:9464",
        ] {
            assert_eq!(told(other), None, "{other:?}");
        }
    }
}
