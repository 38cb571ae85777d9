#!/usr/bin/env bash
# One would guess: a compacted topic that is written by transactions and holds one key shrinks to
# about one record, like any compacted topic; the commit markers between the records go with them.
#
# True is: the markers are no records of a key, so compaction leaves each one in the log, alone in a
# batch of its own, until delete.retention.ms (a day, if nothing is said) has passed since the
# cleaning that emptied its transaction. Readers fetch them all and are given nothing for it.
#
# Why it matters: a changelog, an outbox table or a table of offsets that commits several times a
# second holds some 80 bytes for each commit of the last day, whatever its number of keys: who
# restores from it reads tens of megabytes in which nothing stands. delete.retention.ms, which by its
# name is about deletions, is what bounds it.
#
# Versions: Apache Kafka 4.3.1, confluent-kafka 2.16.1 (librdkafka). Output seen:
#   delete.retention.ms=86400000: 400 transactions of one key leave 1 record and 400 markers or more
#   delete.retention.ms=0: 400 transactions of one key leave 1 record and fewer than 20 markers
set -euo pipefail
# shellcheck source=kafka.bash
source "$(dirname "$0")/kafka.bash"

fetch
start_broker log.cleaner.backoff.ms=200 log.initial.task.delay.ms=0
cat >transactions.py <<'PY'
import sys

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

bootstrap, topic, count, retention = sys.argv[1:]
settings = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.001",
    "delete.retention.ms": retention,
    "segment.ms": "500",
}
admin = AdminClient({"bootstrap.servers": bootstrap})
if topic not in admin.list_topics().topics:
    admin.create_topics([NewTopic(topic, 1, 1, config=settings)])[topic].result()
producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": topic, "linger.ms": 0, "log_level": 0})
producer.init_transactions()
for number in range(int(count)):
    producer.begin_transaction()
    producer.produce(topic, key="key", value=str(number), partition=0)
    producer.commit_transaction()
PY

# left TOPIC : sets records and markers to what is in its segments that are no longer written to.
left() {
    local segments
    segments=$(find "data/$1-0" -name '*.log' | sort | head -n -1 | paste -sd,)
    kafka org.apache.kafka.tools.DumpLogSegments --print-data-log --files "$segments" >dump.txt 2>/dev/null
    records=$(grep -c 'key: key' dump.txt) || true
    markers=$(grep -c 'endTxnMarker: COMMIT' dump.txt) || true
}

# compacted TOPIC RETENTION MARKERS : waits until one record and at most so many markers are left.
compacted() {
    venv/bin/python transactions.py "$bootstrap" "$1" 400 "$2"
    for ((tries = 0; tries < 15; tries++)); do
        # Each closes a segment, and has the cleaner look again.
        venv/bin/python transactions.py "$bootstrap" "$1" 1 "$2"
        sleep 1
        left "$1"
        ((records > 1 || markers > $3)) || return 0
    done
    echo "the behaviour has changed: $records records and $markers markers are left" >&2
    exit 1
}

compacted day 86400000 1000
((markers >= 400)) || { echo "the behaviour has changed: only $markers markers" >&2; exit 1; }
echo 'delete.retention.ms=86400000: 400 transactions of one key leave 1 record and 400 markers or more'
compacted none 0 19
echo 'delete.retention.ms=0: 400 transactions of one key leave 1 record and fewer than 20 markers'
