# Sourced by the findings that need a broker: an Apache Kafka of its own in the folder $folder, on
# loopback, with Python's confluent-kafka beside it. Needs java 17, mvn and python3 with venv.
# shellcheck shell=bash

readonly kafka_version=4.3.1 client_version=2.16.1
folder=$(mktemp -d)
broker=''

end() {
    if [[ -n $broker ]]; then
        kill "$broker"
        wait "$broker" || true
    fi
    rm -rf "$folder"
}
trap end EXIT
cd "$folder" || exit 1

# fetch : the jars of the broker, and a Python that has the client.
fetch() {
    cat >pom.xml <<XML
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>org.example</groupId><artifactId>broker</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$kafka_version</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$kafka_version</version>
      <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions></dependency>
  </dependencies>
</project>
XML
    mvn -B -q -Dstyle.color=never org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DoutputDirectory=libs
    python3 -m venv venv
    venv/bin/pip install -q --disable-pip-version-check "confluent-kafka==$client_version"
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

kafka() { java -Xmx512m -cp 'libs/*' "$@"; }

# start_broker SETTINGS… : one broker with these settings; its address is in $bootstrap.
start_broker() {
    local port controller
    port=$(free_port)
    controller=$(free_port)
    bootstrap=127.0.0.1:$port
    cat >server.properties <<CONF
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://$bootstrap,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://$bootstrap
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$folder/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
CONF
    printf '%s\n' "$@" >>server.properties
    kafka kafka.tools.StorageTool format --standalone --cluster-id findings-of-a-broker-1 \
        --config server.properties >format.log 2>&1
    java -Xmx512m -cp 'libs/*' kafka.Kafka server.properties >broker.log 2>&1 &
    broker=$!
    export bootstrap
    timeout 60 venv/bin/python - "$bootstrap" <<'PY'
import sys
from confluent_kafka.admin import AdminClient

client = AdminClient({"bootstrap.servers": sys.argv[1], "log_level": 0})
while True:
    try:
        client.list_topics(timeout=2)
        break
    except Exception:
        pass
PY
}
