import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.time.temporal.ChronoUnit;
import java.time.zone.ZoneOffsetTransition;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.avro.message.BinaryMessageEncoder;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;

/** The tagger's job in Kafka Streams, for website.feedback-given alone: its policy is written out here. */
public final class Tagger extends ContextualProcessor<byte[], byte[], byte[], byte[]> {
  private static final String TYPE = "website.feedback-given";
  private static final ZoneId ZONE = ZoneId.of("Europe/Amsterdam");
  private static final Instant EARLIEST = Instant.parse("1900-01-01T00:00:00Z");
  private static final DateTimeFormatter WHOLE =
      DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss'Z'").withZone(ZoneOffset.UTC);
  private static final DateTimeFormatter PARTS =
      DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'").withZone(ZoneOffset.UTC);
  private final ObjectMapper json = new ObjectMapper();
  private final BinaryMessageDecoder<GenericRecord> decoder;
  private final BinaryMessageEncoder<GenericRecord> encoder;
  private final Schema tagged;
  private final Schema record;
  private final Schema holding;
  private final String policy;
  private final String version;

  private Tagger(Schema body, Schema tagged, String policy, String version) {
    this.decoder = new BinaryMessageDecoder<>(GenericData.get(), body);
    this.encoder = new BinaryMessageEncoder<>(GenericData.get(), tagged);
    this.tagged = tagged;
    this.record = tagged.getField("records").schema().getElementType();
    this.holding = record.getField("holdings").schema().getElementType();
    this.policy = policy;
    this.version = version;
  }

  /** Broker, group, sink, directory of state, both schemas' files, the policy's name and version. */
  public static void main(String[] arguments) throws Exception {
    Schema body = new Schema.Parser().parse(new File(arguments[4]));
    Schema tagged = new Schema.Parser().parse(new File(arguments[5]));
    Properties settings = new Properties();
    settings.put("bootstrap.servers", arguments[0]);
    settings.put("application.id", arguments[1]);
    settings.put("state.dir", arguments[3]);
    settings.put("consumer.auto.offset.reset", "earliest");
    settings.put("producer.acks", "all");
    settings.put("producer.linger.ms", "5");
    settings.put("producer.compression.type", "lz4");
    StreamsBuilder builder = new StreamsBuilder();
    builder.stream(TYPE + ".v1", Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
        .process(() -> new Tagger(body, tagged, arguments[6], arguments[7]))
        .to(arguments[2], Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
    KafkaStreams streams = new KafkaStreams(builder.build(), settings);
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
  }

  @Override
  public void process(Record<byte[], byte[]> message) {
    try {
      RecordMetadata place = context().recordMetadata().orElseThrow();
      GenericRecord body = decoder.decode(message.value());
      Headers headers = message.headers();
      Instant time = Instant.parse(header(headers, "ce_time"));
      Instant arrived = Instant.ofEpochMilli(message.timestamp());
      if (!header(headers, "ce_specversion").equals("1.0")
          || !header(headers, "ce_type").equals(TYPE)
          || time.isBefore(EARLIEST)
          || time.isAfter(arrived.plus(1, ChronoUnit.DAYS))) {
        throw new IllegalArgumentException("no event of this topic");
      }
      String subject = "visitor:" + body.get("visitor_id");
      GenericRecord value = new GenericData.Record(tagged);
      value.put("source", header(headers, "ce_source"));
      value.put("id", header(headers, "ce_id"));
      value.put("type", TYPE);
      value.put("time", micros(time));
      value.put("content_hash", ByteBuffer.wrap(hash(time, body)));
      value.put("topic", place.topic());
      value.put("partition", place.partition());
      value.put("offset", place.offset());
      value.put("policy", policy);
      value.put("policy_version", version);
      value.put("deciding", json.writeValueAsString(named(body, "feedback_id", "visitor_id")));
      value.put("records", List.of(held(subject, time)));
      value.put("moves", List.of());
      ByteBuffer encoded = encoder.encode(value);
      byte[] bytes = new byte[encoded.remaining()];
      encoded.get(bytes);
      byte[] key = subject.getBytes(StandardCharsets.UTF_8);
      context().forward(new Record<>(key, bytes, message.timestamp()));
    } catch (Exception cause) {
      throw new IllegalStateException(cause);
    }
  }

  private GenericRecord held(String subject, Instant anchor) {
    Instant eraseBy = aYearAfter(anchor);
    Instant due = eraseBy.minus(Duration.ofHours(24));
    GenericRecord held = new GenericData.Record(holding);
    held.put("purpose", "website_experience");
    held.put("basis", "consent");
    held.put("rule", "D5");
    held.put("systems", List.of("website"));
    held.put("anchor", "event");
    held.put("anchor_at", micros(anchor));
    held.put("erase_by", micros(eraseBy));
    held.put("due_at", Map.of("website", micros(due.isAfter(anchor) ? due : anchor)));
    GenericRecord found = new GenericData.Record(record);
    found.put("subject", subject);
    found.put("holdings", List.of(held));
    return found;
  }

  /** On the local calendar; a time that is not there, or is there twice, is the earlier instant. */
  private static Instant aYearAfter(Instant anchor) {
    LocalDateTime wall = LocalDateTime.ofInstant(anchor, ZONE).plusYears(1);
    ZoneOffsetTransition change = ZONE.getRules().getTransition(wall);
    if (change == null) {
      return wall.toInstant(ZONE.getRules().getOffset(wall));
    }
    ZoneOffset before = change.getOffsetBefore();
    ZoneOffset after = change.getOffsetAfter();
    return wall.toInstant(before.getTotalSeconds() > after.getTotalSeconds() ? before : after);
  }

  private byte[] hash(Instant time, GenericRecord body) throws Exception {
    Map<String, Object> values = new TreeMap<>();
    for (Schema.Field field : body.getSchema().getFields()) {
      Object value = body.get(field.pos());
      if (value != null) {
        values.put(field.name(), value instanceof CharSequence ? value.toString() : value);
      }
    }
    String at = (time.getNano() == 0 ? WHOLE : PARTS).format(time);
    byte[] text = json.writeValueAsBytes(List.of(TYPE, at, values));
    return MessageDigest.getInstance("SHA-256").digest(text);
  }

  private static Map<String, String> named(GenericRecord body, String... names) {
    Map<String, String> found = new TreeMap<>();
    for (String name : names) {
      found.put(name, body.get(name).toString());
    }
    return found;
  }

  private static String header(Headers headers, String name) {
    return new String(headers.lastHeader(name).value(), StandardCharsets.UTF_8);
  }

  private static long micros(Instant at) {
    return ChronoUnit.MICROS.between(Instant.EPOCH, at);
  }
}
