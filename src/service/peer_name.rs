//! How instances find each other: by the name of the owner that the group's offsets carry. It is new
//! with every commit, and tells of each partition where it can be asked for, so that nothing else has
//! to be set up. A member's client name would not do: the broker keeps that of a static member's first
//! life for as long as the member comes back in time (Apache Kafka 4.3.1).

use crate::config::{Address, Admin, Kafka};

/// What every name of a client of ours begins with.
const OURS: &str = "stallwatch-";
/// What stands between the instance and its address; no instance id has it.
const AT: char = '@';
/// What stands before the start of the process; no address has it.
const START: char = '/';

/// The name of a client of this instance.
pub fn of_client(kafka: &Kafka) -> String {
    format!("{OURS}{}", kafka.instance_id)
}

/// The name of the owner of partitions: this instance, where it can be asked if it says so, and when
/// this process started. Milliseconds since 1970 UTC.
pub fn of_owner(kafka: &Kafka, settings: &Admin, started_ms: i64) -> String {
    let instance = &kafka.instance_id;
    match &settings.advertised {
        Some(address) => format!("{instance}{AT}{address}{START}{started_ms}"),
        None => format!("{instance}{START}{started_ms}"),
    }
}

/// Whether an owner is a process of this instance, be it an earlier one.
pub fn is_of(owner: &str, kafka: &Kafka) -> bool {
    let instance = owner.rsplit_once(START).map_or(owner, |(instance, _)| instance);
    instance.split(AT).next() == Some(kafka.instance_id.as_str())
}

/// Where the owner can be asked that committed an offset with this metadata; `None` where it does not
/// say.
pub fn address(metadata: &str) -> Option<Address> {
    let owner = metadata.split(' ').nth(1)?;
    let (instance, _) = owner.rsplit_once(START)?;
    Address::parse(instance.split_once(AT)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::cut::example;

    #[test]
    fn the_owner_of_a_cut_is_asked_where_it_says_and_only_at_a_host_and_a_port() {
        let told = |instance: &str| {
            let mut cut = example(7, 3);
            cut.owner = format!("{instance}/1772438400000");
            address(&cut.metadata()).map(|address| address.to_string())
        };
        assert_eq!(told("a@a.parcels:9464").as_deref(), Some("a.parcels:9464"));
        assert_eq!(told("a/b@[::1]:9464").as_deref(), Some("[::1]:9464"));
        for other in [
            "a",
            "a@a.parcels",
            "a@a.parcels:0",
            "a@a.parcels:99999",
            "a@evil.example/path?:80",
            "a@user@evil.example:80",
            "a@user:password@evil.example:80",
            "a@::1:9464",
            "a@[::1:9464",
            "a@:9464",
            "a@a b:9464",
            "a@a\r\n:9464",
        ] {
            assert_eq!(told(other), None, "{other:?}");
        }
        assert_eq!(address(""), None);
        assert_eq!(address("3 a@a.parcels:9464"), None);
    }
}
