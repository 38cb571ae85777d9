package claims;

import static java.nio.charset.StandardCharsets.UTF_8;

import claims.Claim.Decision;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.TimestampedKeyValueStore;
import org.apache.kafka.streams.state.ValueAndTimestamp;

/** Decides about claims as rows of the open table come, change and go. */
final class Claims implements Processor<String, byte[], String, String> {
  static final String CLAIMS = "claims";
  static final String OPEN = "open";

  /** The steps of your policies that mean: claim it. */
  private static final Set<String> LOST = Set.of("presumed_lost", "declared_lost");

  private static final String TYPE = "io.stallwatch.exception.";

  private final Exceptions exceptions;
  private final Duration check;
  private ProcessorContext<String, String> context;
  private KeyValueStore<String, String> claims;
  private TimestampedKeyValueStore<String, byte[]> open;

  Claims(Exceptions exceptions, Duration check) {
    this.exceptions = exceptions;
    this.check = check;
  }

  @Override
  public void init(ProcessorContext<String, String> context) {
    this.context = context;
    this.claims = context.getStateStore(CLAIMS);
    this.open = context.getStateStore(OPEN);
    context.schedule(check, PunctuationType.WALL_CLOCK_TIME, this::lookForTheVanished);
  }

  @Override
  public void process(Record<String, byte[]> row) {
    if (row.value() == null) {
      gone(row.headers(), row.timestamp());
    } else {
      there(exceptions.decode(row.value()), row.timestamp());
    }
  }

  private void there(GenericRecord event, long time) {
    String id = text(event, "exception_id");
    if (LOST.contains(text(event, "step_name")) && claims.get(id) == null) {
      decide(
          new Claim(
              Decision.open,
              id,
              (Integer) event.get("sequence"),
              text(event, "kind"),
              text(event, "carrier"),
              text(event, "tracking_number")),
          time);
    }
  }

  /** A tombstone has the headers of the event that closed the exception. */
  private void gone(Headers headers, long time) {
    String event = header(headers, "ce_id");
    if (event == null) {
      return; // not by stallwatch; the check below finds the row missing
    }
    String[] idAndSequence = event.split(":");
    String known = claims.get(idAndSequence[0]);
    if (known == null) {
      return;
    }
    Claim claim = Claim.fromJson(known);
    int sequence = Integer.parseInt(idAndSequence[1]);
    if (claim.decision() == Decision.open && sequence > claim.sequence()) {
      decide(claim.then(after(header(headers, "ce_type")), sequence), time);
    }
  }

  private static Decision after(String type) {
    return switch (String.valueOf(type)) {
      case TYPE + "resolved.v1", TYPE + "retracted.v1" -> Decision.close;
      case TYPE + "expired.v1" -> Decision.keep; // nobody looks any longer, but it was not found
      default -> Decision.review; // of a later version: a person decides
    };
  }

  /**
   * Whoever was away for longer than the topic keeps tombstones finds no word of a closing: the row
   * is missing. Why it closed is not known then, so a person decides.
   */
  private void lookForTheVanished(long now) {
    List<Claim> vanished = new ArrayList<>();
    try (KeyValueIterator<String, String> all = claims.all()) {
      while (all.hasNext()) {
        Claim claim = Claim.fromJson(all.next().value);
        if (claim.decision() == Decision.open && !isOpen(claim)) {
          vanished.add(claim);
        }
      }
    }
    vanished.forEach(claim -> decide(claim.then(Decision.review, claim.sequence()), now));
  }

  private boolean isOpen(Claim claim) {
    byte[] row = ValueAndTimestamp.getValueOrNull(open.get(claim.row()));
    return row != null && text(exceptions.decode(row), "exception_id").equals(claim.exceptionId());
  }

  private void decide(Claim claim, long time) {
    claims.put(claim.exceptionId(), claim.toJson());
    context.forward(new Record<>(claim.exceptionId(), claim.toJson(), time));
  }

  private static String header(Headers headers, String name) {
    Header header = headers.lastHeader(name);
    return header == null ? null : new String(header.value(), UTF_8);
  }

  private static String text(GenericRecord event, String field) {
    return event.get(field).toString();
  }
}
