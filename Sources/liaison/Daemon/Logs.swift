import API
import Foundation
import Logging

/// Starts the log of the process; once.
func startLogging(_ wiring: Configuration.LogWiring, mask: FieldMask) -> Logger {
  let level = Logger.Level(rawValue: wiring.level) ?? .info
  let isJSON = wiring.format == "json"
  LoggingSystem.bootstrap { label in
    var handler: any LogHandler = isJSON ? JSONLogHandler() : StreamLogHandler.standardError(label: label)
    handler.logLevel = level
    return MaskedLogHandler(handler, mask: mask)
  }
  return Logger(label: "liaison")
}

/// One JSON object a line on standard error: `{"at":…,"level":…,"message":…,"arrival.id":…}`.
struct JSONLogHandler: LogHandler {
  var metadata: Logger.Metadata = [:]
  var logLevel: Logger.Level = .info

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    var fields = [
      "at": "\(Date.now.ISO8601Format())", "level": event.level.rawValue, "message": event.message.description,
    ]
    for (key, value) in metadata.merging(event.metadata ?? [:], uniquingKeysWith: { $1 }) { fields[key] = "\(value)" }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // A dictionary of strings always encodes.
    guard let data = try? encoder.encode(fields) else { return }
    FileHandle.standardError.write(data + Data("\n".utf8))
  }
}
