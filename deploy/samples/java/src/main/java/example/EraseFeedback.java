package example;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * The agent's hook for the website's feedback: a file each, {@code <feedback_id>.json}, in the
 * directory FEEDBACK. A command comes in as JSON, and its result goes out as JSON.
 *
 * <p>Whatever goes wrong ends it with an exit code that is not 0: then the command comes again.
 *
 * <p>A notice is a file in outbox/, {@code <command_id>.json}, which a mailer sends and then renames to
 * {@code <command_id>.sent}. A transfer copies each file to archive/, as {@code
 * <command_id>.<feedback_id>.json}.
 */
public final class EraseFeedback {
  private static final ObjectMapper JSON = new ObjectMapper();

  public static void main(String[] args) throws IOException {
    JsonNode asked = JSON.readTree(System.in);
    Path store = Path.of(System.getenv("FEEDBACK"));
    JSON.writeValue(System.out, carryOut(asked, store)); // UTF-8, whatever the locale
  }

  private static Map<String, Object> carryOut(JsonNode asked, Path store) throws IOException {
    JsonNode command = asked.get("command");
    List<Map.Entry<String, Path>> files = new ArrayList<>(); // two sources' events may have one id
    for (JsonNode record : command.get("records")) {
      String feedback = record.get("keys").path("feedback_id").asText();
      if (!feedback.matches("[A-Za-z0-9-]+")) { // never done: nobody knows where it would lie
        return Map.of("status", "failed", "detail", "a record has no feedback_id that can be used");
      }
      files.add(Map.entry(record.get("id").asText(), store.resolve(feedback + ".json")));
    }
    String action = command.get("action").asText();
    String commandId = command.get("command_id").asText();
    if (action.equals("verify")) {
      return Map.of("status", "done", "counts", Map.of("feedback", left(store, command)));
    }
    files.removeIf(one -> Files.notExists(one.getValue()));
    Map<String, Integer> counts = Map.of("feedback", files.size());
    switch (action) {
      case "erase":
        for (var one : files) {
          Files.deleteIfExists(one.getValue());
        }
        // A run before this one may have been cut short after it had erased.
        boolean done = !files.isEmpty() || asked.get("run").asInt() > 1;
        return Map.of("status", done ? "done" : "nothing_held", "counts", counts);
      case "disclose":
        List<Map<String, Object>> records = new ArrayList<>();
        for (var one : files) {
          JsonNode data = JSON.readTree(one.getValue().toFile());
          records.add(Map.of("type", "feedback", "id", one.getKey(), "data", data));
        }
        String status = records.isEmpty() ? "nothing_held" : "done";
        return Map.of("status", status, "counts", counts, "records", records);
      case "notify":
        if (!files.isEmpty() && Files.notExists(in(store, "outbox", commandId + ".sent"))) {
          Map<String, Object> notice =
              Map.of(
                  "feedback", files.stream().map(one -> feedbackOf(one.getValue())).toList(),
                  "ends", command.get("erase_by").asText());
          JSON.writeValue(in(store, "outbox", commandId + ".json").toFile(), notice);
        }
        return Map.of("status", files.isEmpty() ? "nothing_held" : "done", "counts", counts);
      case "transfer":
        for (var one : files) {
          String name = commandId + "." + one.getValue().getFileName();
          Files.copy(
              one.getValue(), in(store, "archive", name), StandardCopyOption.REPLACE_EXISTING);
        }
        return Map.of("status", files.isEmpty() ? "nothing_held" : "done", "counts", counts);
      case "recall":
        boolean isRecalled = recall(store, command.get("supersedes").asText(), !files.isEmpty());
        return Map.of("status", isRecalled ? "recalled" : "already_done");
      default:
        return Map.of("status", "failed", "detail", "feedback knows no " + action);
    }
  }

  /** A recall does not name the action of the command that it recalls: that one has left a file. */
  private static boolean recall(Path store, String recalledId, boolean isHeld) throws IOException {
    if (Files.deleteIfExists(in(store, "outbox", recalledId + ".json"))) {
      return true; // not mailed yet
    }
    try (Stream<Path> copies = Files.list(in(store, "archive", "."))) {
      boolean isCopied =
          copies.anyMatch(copy -> copy.getFileName().toString().startsWith(recalledId + "."));
      return isHeld && !isCopied && Files.notExists(in(store, "outbox", recalledId + ".sent"));
    }
  }

  private static Path in(Path store, String folder, String name) throws IOException {
    return Files.createDirectories(store.resolve(folder)).resolve(name);
  }

  private static String feedbackOf(Path file) {
    return file.getFileName().toString().replaceFirst("\\.json$", "");
  }

  /** Reads again by another way than it was erased by: by what every file says that it is. */
  private static int left(Path store, JsonNode command) throws IOException {
    List<String> wanted = new ArrayList<>();
    command.get("records").forEach(one -> wanted.add(one.get("keys").get("feedback_id").asText()));
    int found = 0;
    try (Stream<Path> files = Files.list(store)) {
      for (Path file :
          (Iterable<Path>) files.filter(one -> one.toString().endsWith(".json"))::iterator) {
        if (wanted.contains(JSON.readTree(file.toFile()).path("feedback_id").asText())) {
          found++;
        }
      }
    }
    return found;
  }

  private EraseFeedback() {}
}
