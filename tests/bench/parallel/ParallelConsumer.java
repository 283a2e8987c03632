import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.CommitMode;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Confluent's parallel-consumer in the floor's place: in order by record key, its answers in transactions.
 *
 * <p>It keeps no limit and repeats nothing. Started by `table`, with the jars that pom.xml names.
 */
public class ParallelConsumer {
  private static final int CONCURRENCY = 64;
  private static final Pattern FIELDS =
      Pattern.compile("\"(command_id|account|leverage|symbol)\":\"([^\"]*)\"");
  private static final String EVENT =
      "{\"type\":\"LeverageChanged\",\"event_id\":\"%s\",\"command_id\":\"%s\",\"account\":\"%s\","
          + "\"target\":{\"venue\":\"binance_usdm\",\"symbol\":\"%s\"},\"lane\":\"%s\",\"issuer\":null,"
          + "\"redrive_of\":null,\"attempts\":1,\"issued_at\":null,\"occurred_at\":\"%s\",\"leverage\":\"%s\","
          + "\"requested_leverage\":\"%s\",\"certainty\":\"confirmed\"}";

  private final HttpClient http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
  private final String url;
  private final String events;

  private ParallelConsumer(String url, String events) {
    this.url = url;
    this.events = events;
  }

  public static void main(String[] arguments) throws Exception {
    Map<String, String> given = new HashMap<>();
    for (int at = 0; at < arguments.length; at += 2) {
      given.put(arguments[at].substring(2), arguments[at + 1]);
    }
    String commands = given.get("commands");
    Map<String, Object> reading =
        Map.of(
            "bootstrap.servers", given.get("bootstrap"),
            "group.id", "parallel-" + commands,
            "enable.auto.commit", false,
            "auto.offset.reset", "earliest");
    Map<String, Object> writing =
        Map.of("bootstrap.servers", given.get("bootstrap"), "transactional.id", "parallel-" + commands, "linger.ms", 2);
    ParallelConsumerOptions<String, String> options =
        ParallelConsumerOptions.<String, String>builder()
            .ordering(ProcessingOrder.KEY)
            .commitMode(CommitMode.PERIODIC_TRANSACTIONAL_PRODUCER)
            .commitInterval(Duration.ofMillis(10))
            .maxConcurrency(CONCURRENCY)
            .consumer(new KafkaConsumer<>(reading, new StringDeserializer(), new StringDeserializer()))
            .producer(new KafkaProducer<>(writing, new StringSerializer(), new StringSerializer()))
            .build();
    ParallelConsumer peer = new ParallelConsumer(given.get("url"), given.get("events"));
    ParallelStreamProcessor<String, String> processor = ParallelStreamProcessor.createEosStreamProcessor(options);
    processor.subscribe(List.of(commands));
    processor.pollAndProduce(context -> peer.answer(context.getSingleConsumerRecord()));
    Thread.currentThread().join();
  }

  private ProducerRecord<String, String> answer(ConsumerRecord<String, String> record) {
    Map<String, String> command = new HashMap<>();
    Matcher fields = FIELDS.matcher(record.value());
    while (fields.find()) {
      command.put(fields.group(1), fields.group(2));
    }
    String symbol = command.get("symbol");
    String leverage = ask(symbol, command.get("leverage"));
    String id = command.get("command_id");
    Instant now = Instant.now().truncatedTo(ChronoUnit.MILLIS);
    String event =
        String.format(EVENT, id, id, command.get("account"), symbol, symbol, now, leverage, command.get("leverage"));
    return new ProducerRecord<>(events, record.partition(), record.key(), event);
  }

  private String ask(String symbol, String leverage) {
    String query = "symbol=" + symbol + "&leverage=" + leverage + "&timestamp=" + System.currentTimeMillis();
    try {
      Mac mac = Mac.getInstance("HmacSHA256");
      mac.init(new SecretKeySpec("secret".getBytes(StandardCharsets.UTF_8), "HmacSHA256"));
      String signature = HexFormat.of().formatHex(mac.doFinal(query.getBytes(StandardCharsets.UTF_8)));
      URI target = URI.create(url + "/fapi/v1/leverage?" + query + "&signature=" + signature);
      HttpRequest request =
          HttpRequest.newBuilder(target)
              .header("X-MBX-APIKEY", "key")
              .POST(HttpRequest.BodyPublishers.noBody())
              .build();
      String body = http.send(request, HttpResponse.BodyHandlers.ofString()).body();
      return body.replaceAll(".*\"leverage\":\\s*(\\d+).*", "$1");
    } catch (Exception error) {
      throw new IllegalStateException(error);
    }
  }
}
