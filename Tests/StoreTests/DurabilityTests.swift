import Channels
import Foundation
import Store
import Testing

/// What is acknowledged survives `kill -9`, whole, wherever it strikes.
@Suite(.serialized) struct DurabilityTests {
  @Test(arguments: Engine.here, [nil, "before", "after"])
  func `a killed daemon loses nothing it acknowledged`(engine: Engine, point: String?) async throws {
    let url = try engine.freshURL()
    let text =
      switch url.place {
      case .sqlite(let path): path
      case .postgres(let uri): uri
      }
    var acknowledged: Set<Int64> = []
    for round in 0..<3 {
      let heard = try await runUntilKilled(
        [text, "\(round * 1_000_000)"] + (point.map { [$0, "\(20 + round * 7)"] } ?? []),
        after: point == nil ? 400 : .max)
      #expect(!heard.isEmpty)
      acknowledged.formUnion(heard)
    }
    let database = try await reopened(url)
    let (heads, tails, check) = try await database.read { connection in
      (
        try connection.query("SELECT id FROM head").map { try $0.int("id") },
        try connection.query("SELECT id FROM tail").map { try $0.int("id") },
        connection.dialect == .sqlite ? try connection.one("PRAGMA integrity_check").text(0) : "ok"
      )
    }
    #expect(acknowledged.subtracting(heads).isEmpty)
    #expect(Set(heads) == Set(tails))
    #expect(check == "ok")
    await database.close()
  }

  /// PostgreSQL may need a moment to notice that the killed daemon's sessions are gone; `open` waits on their locks.
  private func reopened(_ url: StoreURL) async throws -> Database {
    var options = Database.Options()
    options.readers = 1
    options.readOnly = true
    let schema = Migration(
      1, "pairs",
      """
      CREATE TABLE head (id {{int}} PRIMARY KEY) {{opt}};
      CREATE TABLE tail (id {{int}} PRIMARY KEY REFERENCES head (id)) {{opt}};
      """)
    return try Database.open(url, migrations: [schema], options: options, now: Timestamp(seconds: 2))
  }

  /// The numbers the child printed. Kills it after so many.
  private func runUntilKilled(_ arguments: [String], after count: Int) async throws -> [Int64] {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
      .deletingLastPathComponent().appendingPathComponent("StoreCrashChild")
    process.arguments = arguments
    let output = Pipe()
    process.standardOutput = output
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let reader = output.fileHandleForReading
    return await withCheckedContinuation { continuation in
      Thread {
        var bytes = Data()
        var lines = 0
        while true {
          let next = reader.availableData
          if next.isEmpty { break }
          lines += next.count { $0 == 10 }
          bytes.append(next)
          if lines >= count { kill(process.processIdentifier, SIGKILL) }
        }
        process.waitUntilExit()
        let text = String(decoding: bytes, as: UTF8.self)
        // A last line without an end was cut by the kill.
        let whole = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        continuation.resume(returning: whole.compactMap { Int64($0) })
      }.start()
    }
  }

  @Test func `a commit of SQLite returns after fsync`() async throws {
    let database = try Engine.sqlite.open()
    let settings = try await database.write { tx in
      (
        try tx.one("PRAGMA synchronous").int(0), try tx.one("PRAGMA journal_mode").text(0),
        try tx.one("PRAGMA foreign_keys").int(0)
      )
    }
    #expect(settings == (2, "wal", 1))
    await database.close()
  }

  @Test(.enabled(if: Engine.here.contains(.postgres))) func `a commit of PostgreSQL returns after fsync`() async throws
  {
    let database = try Engine.postgres.open()
    let setting = try await database.write { try $0.one("SHOW synchronous_commit").text(0) }
    #expect(setting == "on")
    await database.close()
  }
}
