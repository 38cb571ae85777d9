#!/usr/bin/env bash
# One would guess: what an administrator sees of a group's member (client.id and host in
# DescribeGroups, kafka-consumer-groups.sh --describe --members) is that of the process that holds
# the membership now.
#
# True is: a static member (group.instance.id) that comes back within its session under another
# client.id keeps, for the broker, the client.id of its first process. The broker changes the member
# id and nothing else, and the group shows the old name for as long as the member lives.
#
# Why it matters: a version, a host or an address in the client.id is the usual way to tell members
# apart. After a rolling restart, for which static membership is made, an administrator, an alert or
# a program that finds its peers by client.id is told of processes that no longer exist.
#
# Versions: Apache Kafka 4.3.1 (classic group protocol), confluent-kafka 2.16.1 (librdkafka).
# Output seen:
#   the process named 'release-1' holds the membership, the broker tells of 'release-1'
#   the process named 'release-2' holds the membership, the broker tells of 'release-1'
set -euo pipefail
# shellcheck source=kafka.bash
source "$(dirname "$0")/kafka.bash"

fetch
# shellcheck disable=SC2119  # no settings
start_broker
cat >members.py <<'PY'
import sys

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, NewTopic

bootstrap = sys.argv[1]
admin = AdminClient({"bootstrap.servers": bootstrap})
admin.create_topics([NewTopic("t", 1, 1)])["t"].result()


def joined(client_id):
    """A process of the one static member, once it has its partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "g",
            "group.instance.id": "member",
            "client.id": client_id,
            "session.timeout.ms": 30000,
        }
    )
    consumer.subscribe(["t"])
    while not consumer.assignment():
        consumer.poll(0.2)
    return consumer


for name in ["release-1", "release-2"]:
    consumer = joined(name)
    members = admin.describe_consumer_groups(["g"])["g"].result().members
    (told,) = [member.client_id for member in members]
    print(f"the process named {name!r} holds the membership, the broker tells of {told!r}")
    # A static member does not leave its group when it is closed.
    consumer.close()
PY
timeout 90 venv/bin/python members.py "$bootstrap" | tee seen.txt
expected="the process named 'release-1' holds the membership, the broker tells of 'release-1'
the process named 'release-2' holds the membership, the broker tells of 'release-1'"
[[ $(<seen.txt) == "$expected" ]] || { echo 'the behaviour has changed' >&2; exit 1; }
