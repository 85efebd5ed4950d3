import Foundation
import Synchronization

/// A private PostgreSQL of Debian's package for tests and benchmarks: own cluster in a temporary directory, reached by
/// a Unix socket only, durable settings as delivered.
///
/// It ends with this process, however that ends: the shell that started it reads a pipe of ours and stops the server
/// when the pipe closes.
public final class LocalPostgres: Sendable {
  public static let binaries = "/usr/lib/postgresql/15/bin"
  /// False when the package is not installed, or when not run as root (PostgreSQL refuses root, so another user is
  /// needed to own the cluster).
  public static var isAvailable: Bool {
    FileManager.default.isExecutableFile(atPath: binaries + "/initdb") && getuid() == 0
  }
  public static let howToGetIt = "PostgreSQL 15 not found in \(binaries), or not root: apt-get install postgresql"

  /// Started by the first who asks.
  public static func running() throws -> LocalPostgres { try shared.get() }
  private static let shared = Result { try LocalPostgres() }

  public let directory: String
  private let lifeline: FileHandle
  private let schemas = Atomic(0)

  public struct Failure: Error, CustomStringConvertible {
    public var description: String
  }

  public init() throws {
    directory = "/tmp/liaison-pg-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    let script = """
      chown postgres '\(directory)'
      exec runuser -u postgres -- sh -c '
      cd \(directory)
      \(Self.binaries)/initdb -D data -A trust -U postgres -E UTF8 --locale=C.UTF-8 -N >initdb.log 2>&1 || exit 1
      \(Self.binaries)/postgres -D data -k \(directory) -c listen_addresses= -c max_connections=500 \
        >server.log 2>&1 </dev/null & server=$!
      cat >/dev/null
      kill -INT $server; wait $server; cd /tmp; rm -rf \(directory)/*; rmdir \(directory) 2>/dev/null'
      """
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", script]
    let pipe = Pipe()
    process.standardInput = pipe
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    lifeline = pipe.fileHandleForWriting
    let deadline = ContinuousClock.now + .seconds(60)
    while (try? psql("SELECT 1")) == nil {  // refused until the server is up
      guard process.isRunning, ContinuousClock.now < deadline else {
        let log = (try? String(contentsOfFile: directory + "/server.log", encoding: .utf8)) ?? "no log"
        throw Failure(description: "PostgreSQL did not start in \(directory): \(log)")
      }
      usleep(50_000)
    }
  }

  /// An empty schema of its own, as a store's URL.
  public func freshURL() throws -> String {
    let name = "t\(schemas.add(1, ordering: .relaxed).newValue)"
    try psql("CREATE SCHEMA \(name)")
    return url(schema: name)
  }

  public func url(schema: String) -> String {
    "postgres:///postgres?host=\(directory)&user=postgres&options=-csearch_path%3D\(schema)"
  }

  @discardableResult
  public func psql(_ sql: String) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: Self.binaries + "/psql")
    process.arguments = ["-h", directory, "-U", "postgres", "-d", "postgres", "-Atqc", sql]
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw Failure(description: "psql failed: \(sql)") }
    return text.trimmingCharacters(in: .whitespacesAndNewlines)
  }
}
