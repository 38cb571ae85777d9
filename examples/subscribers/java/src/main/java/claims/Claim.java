package claims;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.PropertyNamingStrategies.SnakeCaseStrategy;
import com.fasterxml.jackson.databind.annotation.JsonNaming;
import com.fasterxml.jackson.databind.json.JsonMapper;

/** What was last decided about one exception, and by which of its events. */
@JsonNaming(SnakeCaseStrategy.class)
record Claim(
    Decision decision, String exceptionId, int sequence, String kind, String carrier, String trackingNumber) {

  enum Decision {
    open,
    close,
    keep,
    review
  }

  private static final JsonMapper JSON = new JsonMapper();

  Claim then(Decision next, int at) {
    return new Claim(next, exceptionId, at, kind, carrier, trackingNumber);
  }

  /** The key of the exception's row in the open table. */
  String row() {
    return String.join(":", carrier, trackingNumber, kind);
  }

  String toJson() {
    try {
      return JSON.writeValueAsString(this);
    } catch (JsonProcessingException error) {
      throw new IllegalStateException(error);
    }
  }

  static Claim fromJson(String json) {
    try {
      return JSON.readValue(json, Claim.class);
    } catch (JsonProcessingException error) {
      throw new IllegalStateException("the store holds no claim: " + json, error);
    }
  }
}
