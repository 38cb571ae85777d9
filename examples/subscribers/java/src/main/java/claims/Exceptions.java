package claims;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.message.BinaryMessageDecoder;

/** Reads the Avro values of stallwatch's topics. Copy it as it is. */
final class Exceptions {
  private final BinaryMessageDecoder<GenericRecord> decoder;

  /**
   * @param reader the version of the schema that this program was written for: what it lacks is
   *     skipped, a symbol that it does not know becomes {@code unknown}
   * @param history the folder of all published versions: a value names the one it was written with
   */
  Exceptions(Path reader, Path history) throws IOException {
    decoder = new BinaryMessageDecoder<>(GenericData.get(), schema(reader));
    try (Stream<Path> files = Files.list(history)) {
      List<Path> versions =
          files.filter(file -> file.getFileName().toString().startsWith("tracking-exception.")).toList();
      for (Path version : versions) {
        decoder.addSchema(schema(version));
      }
    }
  }

  private static Schema schema(Path file) throws IOException {
    return new Schema.Parser().parse(file.toFile());
  }

  /** The event of a value. One that cannot be read must stop the program, not be passed over. */
  GenericRecord decode(byte[] value) {
    try {
      return decoder.decode(value);
    } catch (IOException | RuntimeException error) {
      throw new IllegalStateException(
          "an exception cannot be read; if it is of a newer schema, add its tracking-exception.v1.*.avsc",
          error);
    }
  }
}
