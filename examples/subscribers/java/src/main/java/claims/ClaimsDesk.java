package claims;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.CloseOptions.GroupMembershipOperation;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.Stores;

/**
 * Claims against carriers. The open table says what is open now, so a parcel that is presumed lost
 * is claimed even if its exception is older than all that the exceptions topic still has.
 *
 * <ul>
 *   <li>{@code open}: a row reached a step that means lost
 *   <li>{@code close}: its exception was resolved or retracted
 *   <li>{@code keep}: it expired; the parcel was not found, the claim goes on
 *   <li>{@code review}: its row went without a word that we heard; a person decides
 * </ul>
 *
 * <p>What was decided, the decisions topic and the offsets are one Kafka transaction
 * (exactly_once_v2, which also reads read_committed). Standard output shows the decisions; after a
 * crash it may show one again, the topic has each once.
 */
public final class ClaimsDesk {
  private static final Map<String, String> DEFAULTS =
      Map.of(
          "application", "claims-desk",
          "open", "tracking.exceptions.open.v1",
          "decisions", "claims.decisions.v1",
          "state", "claims-state",
          "check_s", "3600",
          "schema", "schemas/tracking-exception.v1.avsc",
          "history", "schemas/history");

  private ClaimsDesk() {}

  public static void main(String[] arguments) throws Exception {
    System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "warn");
    Map<String, String> settings = settings(arguments);
    Properties properties = properties(settings);
    KafkaStreams streams = new KafkaStreams(topology(settings).build(properties), properties);
    CountDownLatch failed = new CountDownLatch(1);
    streams.setUncaughtExceptionHandler(
        error -> {
          error.printStackTrace();
          failed.countDown();
          return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> stop(streams, failed)));
    streams.start();
    failed.await();
    System.exit(1);
  }

  /** Commits, leaves the group so that others go on at once, and ends with 0 after a SIGTERM. */
  private static void stop(KafkaStreams streams, CountDownLatch failed) {
    boolean closed =
        streams.close(
            CloseOptions.timeout(Duration.ofSeconds(30))
                .withGroupMembershipOperation(GroupMembershipOperation.LEAVE_GROUP));
    Runtime.getRuntime().halt(closed && failed.getCount() > 0 ? 0 : 1);
  }

  private static StreamsBuilder topology(Map<String, String> settings) throws IOException {
    Exceptions exceptions = new Exceptions(Path.of(settings.get("schema")), Path.of(settings.get("history")));
    Duration check = Duration.ofSeconds(Long.parseLong(settings.get("check_s")));
    StreamsBuilder builder = new StreamsBuilder();
    builder.addStateStore(
        Stores.keyValueStoreBuilder(
            Stores.inMemoryKeyValueStore(Claims.CLAIMS), Serdes.String(), Serdes.String()));
    // Claims are decided in the partition of their row: the open table is partitioned as the scans
    // are, not by its keys, so nothing can be joined to it by key.
    KTable<String, byte[]> open =
        builder.table(
            settings.get("open"),
            Consumed.with(Serdes.String(), Serdes.ByteArray()),
            Materialized.<String, byte[]>as(Stores.inMemoryKeyValueStore(Claims.OPEN)).withCachingDisabled());
    open.toStream()
        .filterNot((key, value) -> key.startsWith(":")) // stallwatch's own records, no rows
        .process(() -> new Claims(exceptions, check), Claims.CLAIMS, Claims.OPEN)
        .peek((id, claim) -> System.out.println(claim))
        .to(settings.get("decisions"), Produced.with(Serdes.String(), Serdes.String()));
    return builder;
  }

  private static Properties properties(Map<String, String> settings) {
    Properties properties = new Properties();
    properties.put(StreamsConfig.APPLICATION_ID_CONFIG, settings.get("application"));
    properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, settings.get("bootstrap"));
    properties.put(StreamsConfig.STATE_DIR_CONFIG, settings.get("state"));
    properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    // The open table is compacted already: its store is restored from it, not from a copy.
    properties.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.REUSE_KTABLE_SOURCE_TOPICS);
    return properties;
  }

  private static Map<String, String> settings(String[] arguments) {
    Map<String, String> settings = new HashMap<>(DEFAULTS);
    for (String argument : arguments) {
      String[] pair = argument.split("=", 2);
      if (pair.length != 2 || !(DEFAULTS.containsKey(pair[0]) || pair[0].equals("bootstrap"))) {
        throw new IllegalArgumentException(
            argument + ": name=value was expected, of bootstrap and " + DEFAULTS.keySet());
      }
      settings.put(pair[0], pair[1]);
    }
    if (!settings.containsKey("bootstrap")) {
      throw new IllegalArgumentException("bootstrap=HOST:PORT is missing");
    }
    return settings;
  }
}
