package example;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.message.BinaryMessageEncoder;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Publishes what a visitor of the website said: one event, as Termijn reads it.
 *
 * <p>{@code PublishFeedback FEEDBACK VISITOR GIVEN_AT}, with the text on stdin. Brokers are in
 * KAFKA_BOOTSTRAP_SERVERS; SCHEMA_REGISTRY_URL or SCHEMA (the .avsc file) says how the value is written.
 */
public final class PublishFeedback {
  private static final String TYPE = "website.feedback-given";
  private static final String TOPIC = TYPE + ".v1";

  public static void main(String[] args) throws Exception {
    String feedback = args[0];
    String visitor = args[1];
    Instant givenAt = Instant.parse(args[2]); // when it happened, not when it is published
    String text = new String(System.in.readAllBytes(), StandardCharsets.UTF_8);

    Written written = written();
    GenericRecord data =
        new GenericRecordBuilder(written.schema()) // what is not set takes the schema's default
            .set("feedback_id", feedback)
            .set("visitor_id", visitor)
            .set("text", text)
            .build();

    // The key is the data subject: what is about one person stays in order.
    ProducerRecord<String, byte[]> message =
        new ProducerRecord<>(TOPIC, "visitor:" + visitor, written.value(data));
    // Source and id are the event's identity: the same event sent again has the same, and counts once.
    header(message, "ce_specversion", "1.0");
    header(message, "ce_id", "feedback-given-" + feedback);
    header(message, "ce_source", "urn:example:website");
    header(message, "ce_type", TYPE);
    header(message, "ce_time", givenAt.toString());
    header(message, "content-type", "application/avro");

    Map<String, Object> settings =
        Map.of(
            "bootstrap.servers", System.getenv("KAFKA_BOOTSTRAP_SERVERS"),
            "acks", "all",
            "enable.idempotence", "true");
    try (KafkaProducer<String, byte[]> producer =
        new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer())) {
      producer.send(message).get(); // fails where the broker did not take it
    }
  }

  private static void header(ProducerRecord<?, ?> message, String name, String value) {
    message.headers().add(name, value.getBytes(StandardCharsets.UTF_8));
  }

  /** The schema that values are written with, and its id where a registry has it. */
  private record Written(Schema schema, Integer id) {

    /** Confluent's wire format where there is a registry, else Avro's single-object encoding. */
    byte[] value(GenericRecord data) throws IOException {
      if (id == null) {
        ByteBuffer framed =
            new BinaryMessageEncoder<GenericRecord>(GenericData.get(), schema).encode(data);
        byte[] value = new byte[framed.remaining()];
        framed.get(value);
        return value;
      }
      ByteArrayOutputStream value = new ByteArrayOutputStream();
      value.write(0);
      value.write(ByteBuffer.allocate(Integer.BYTES).putInt(id).array());
      BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(value, null);
      new GenericDatumWriter<GenericRecord>(schema).write(data, encoder);
      encoder.flush();
      return value.toByteArray();
    }
  }

  /** The newest version that the registry has, or the schema file. */
  private static Written written() throws IOException, InterruptedException {
    String registry = System.getenv("SCHEMA_REGISTRY_URL");
    if (registry == null) {
      return new Written(
          new Schema.Parser().parse(Path.of(System.getenv("SCHEMA")).toFile()), null);
    }
    URI newest = URI.create(registry + "/subjects/" + TOPIC + "-value/versions/latest");
    var answer =
        HttpClient.newHttpClient().send(HttpRequest.newBuilder(newest).build(), BodyHandlers.ofString());
    if (answer.statusCode() != 200) {
      throw new IOException(newest + " answered " + answer.statusCode());
    }
    JsonNode found = new ObjectMapper().readTree(answer.body());
    return new Written(
        new Schema.Parser().parse(found.get("schema").asText()), found.get("id").asInt());
  }

  private PublishFeedback() {}
}
