import Foundation

/// A mail server with one way to fail; killed when the test lets go of it.
public final class Sink: Sendable {
  public static let isAvailable = FileManager.default.fileExists(atPath: script)
  private static let script = "../shared/peers/email/sink.py"

  public let port: Int
  public let directory: URL
  private let process = Process()

  public init(_ mode: String, _ options: [String] = []) throws {
    directory = FileManager.default.temporaryDirectory.appendingPathComponent("sink-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    port = try freePort()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["python3", Self.script, "\(port)", directory.path, "mode=\(mode)", "save=yes"] + options
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    // It says "up: …" when it listens.
    _ = output.fileHandleForReading.availableData
  }
  deinit {
    // A child keeps the signals blocked that the thread which started it had blocked, SIGTERM among them.
    kill(process.processIdentifier, SIGKILL)
    // A directory that is left behind under /tmp harms nobody.
    try? FileManager.default.removeItem(at: directory)
  }

  /// Lines of the log: one per accepted message.
  public var accepted: [String] {
    let text = (try? String(contentsOf: directory.appendingPathComponent("log.tsv"), encoding: .utf8)) ?? ""
    return text.split(separator: "\n").map(String.init)
  }
  public func message(_ number: Int) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: directory.appendingPathComponent(String(format: "%06d.eml", number))))
  }
}
