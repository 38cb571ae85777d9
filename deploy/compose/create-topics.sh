#!/usr/bin/env bash
# The four topics, on one broker, as deploy/strimzi/topics.yaml has them on three.
set -euo pipefail

readonly partitions=6
readonly hour=3600000
readonly day=$((24 * hour))

topic() {
    local name=$1 count=$2 setting settings=()
    shift 2
    for setting in "$@"; do
        settings+=(--config "$setting")
    done
    /opt/kafka/bin/kafka-topics.sh --bootstrap-server "$BOOTSTRAP" --create --if-not-exists \
        --topic "$name" --partitions "$count" --replication-factor 1 "${settings[@]}"
}

topic carrier.scans.v1 $partitions message.timestamp.type=LogAppendTime retention.ms=$((120 * day))
topic tracking.exceptions.v1 3 retention.ms=$((14 * day))
# As many partitions as the input: each is written to the number of its input.
# What is replaced goes soon: a restart reads all that is left, and so does who builds a table of it.
topic tracking.exceptions.open.v1 $partitions cleanup.policy=compact delete.retention.ms=$((6 * hour)) \
    segment.ms=$hour max.compaction.lag.ms=$((hour / 12)) message.timestamp.type=LogAppendTime
topic tracking.scans.dlq.v1 1 retention.ms=$((30 * day))
