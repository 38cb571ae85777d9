//! What is told of the state of partitions. Only of those that are held: what others were told here
//! for goes with them.

use dashmap::DashMap;
use prometheus::{IntGauge, IntGaugeVec};

use crate::service::status::Status;

/// See the module's head.
pub struct States {
    /// Size of the last snapshot of each partition. It may be saved after the partition has gone.
    sizes: DashMap<i32, i64>,
    /// Length of the gap before the state of each partition that has one.
    gaps: DashMap<i32, i64>,
    pub(super) bytes: IntGaugeVec,
    gap: IntGauge,
}

impl States {
    /// Told by these gauges.
    pub(super) fn new(bytes: IntGaugeVec, gap: IntGauge) -> Self {
        Self { sizes: DashMap::new(), gaps: DashMap::new(), bytes, gap }
    }

    /// The last snapshot of a partition has so many bytes.
    pub(super) fn saved(&self, partition: i32, bytes: i64) {
        self.sizes.insert(partition, bytes);
    }

    /// So many seconds of the log are missing before the state of a partition.
    pub(super) fn gap(&self, partition: i32, seconds: i64) {
        self.gaps.insert(partition, seconds);
    }

    /// Sets the gauges, and forgets partitions that are not held.
    pub(super) fn refresh(&self, status: &Status) {
        for of_partitions in [&self.sizes, &self.gaps] {
            of_partitions.retain(|partition, _| status.partitions.contains_key(partition));
        }
        self.bytes.reset();
        for size in &self.sizes {
            self.bytes.with_label_values(&[&size.key().to_string()]).set(*size.value());
        }
        self.gap.set(self.gaps.iter().map(|gap| *gap.value()).max().unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Opts;

    use super::*;
    use crate::service::status::PartitionStatus;

    #[test]
    fn nothing_is_told_of_the_state_of_a_partition_that_has_gone() {
        let bytes = IntGaugeVec::new(Opts::new("bytes", "b"), &["partition"]).unwrap();
        let states = States::new(bytes, IntGauge::new("gap", "g").unwrap());
        let status = Status::new(1);
        let told = || {
            states.refresh(&status);
            let families = prometheus::core::Collector::collect(&states.bytes);
            let metrics = families.iter().flat_map(|family| family.get_metric());
            let mut sizes: Vec<_> = metrics
                .map(|metric| {
                    (metric.get_label()[0].value().to_owned(), metric.get_gauge().get_value())
                })
                .collect();
            sizes.sort_by(|a, b| a.0.cmp(&b.0));
            (sizes, states.gap.get())
        };
        let size = |partition: &str, bytes: f64| (partition.to_owned(), bytes);
        for partition in [3, 4] {
            status.partitions.insert(partition, PartitionStatus::restoring());
            states.saved(partition, 1_000);
        }
        states.gap(3, 70);
        states.gap(4, 60);
        assert_eq!(told(), (vec![size("3", 1_000.0), size("4", 1_000.0)], 70));
        status.partitions.remove(&3);
        states.saved(3, 2_000);
        assert_eq!(told(), (vec![size("4", 1_000.0)], 60));
        status.partitions.insert(3, PartitionStatus::restoring());
        assert_eq!(told(), (vec![size("4", 1_000.0)], 60), "what it had before is forgotten");
    }
}
