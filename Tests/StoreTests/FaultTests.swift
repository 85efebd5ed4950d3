import Channels
import Foundation
import Glibc
import PostgresForTests
import Store
import Testing

/// What goes wrong around the database is told precisely, and leaves no half state.
@Suite struct FaultTests {
  @Test func `a second daemon is told which process holds the store`() async throws {
    let url = try Engine.sqlite.freshURL()
    let database = try Engine.sqlite.open(at: url)
    let error = await storeError { try Engine.sqlite.open(at: url) }
    #expect(error?.kind == .locked)
    #expect(error?.message.contains("process \(getpid())") == true)
    let look = try Engine.sqlite.open(at: url) { $0.readOnly = true }
    #expect(try await look.read { try $0.query("SELECT id FROM author").count } == 0)
    #expect(
      await storeError { try await look.write { try $0.execute("DELETE FROM author") } }?.kind == .readOnly)
    await look.close()
    await database.close()
    try await Engine.sqlite.open(at: url).close()
  }

  @Test func `a file that is no database is left alone`() async throws {
    let path = try temporaryDirectory() + "/letter.txt"
    let text = String(repeating: "Dear bank, this is a letter. ", count: 100)
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    let error = await storeError { try Engine.sqlite.open(at: StoreURL(path)) }
    #expect(error?.kind == .notADatabase)
    #expect(try String(contentsOfFile: path, encoding: .utf8) == text)
  }

  @Test func `a database of another program is left alone`() async throws {
    let path = try temporaryDirectory() + "/other.db"
    try shell("sqlite3 '\(path)' 'CREATE TABLE theirs (x)'")
    #expect(await storeError { try Engine.sqlite.open(at: StoreURL(path)) }?.kind == .notADatabase)
    #expect(try shell("sqlite3 '\(path)' .tables") == "theirs")
  }

  @Test func `paths that cannot be opened are named`() async throws {
    let folder = try temporaryDirectory()
    let missing = await storeError { try Engine.sqlite.open(at: StoreURL(folder + "/no/such/store.db")) }
    #expect(missing?.kind == .unreadable)
    #expect(missing?.message.contains(folder + "/no/such") == true)
    let directory = await storeError { try Engine.sqlite.open(at: StoreURL(folder)) }
    #expect(directory?.kind == .unreadable)
  }

  @Test func `a damaged file is called corrupt`() async throws {
    let url = try Engine.sqlite.freshURL()
    let database = try Engine.sqlite.open(at: url)
    try await database.write { tx in
      for id in 0..<2_000 as Range<Int64> {
        try tx.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [.int(id), .text("customer number \(id)")])
      }
    }
    await database.close()
    guard case .sqlite(let path) = url.place else { return }
    let handle = try #require(FileHandle(forUpdatingAtPath: path))
    let size = try handle.seekToEnd()
    for page in stride(from: UInt64(4_096 * 2), to: size, by: 4_096) {
      try handle.seek(toOffset: page)
      try handle.write(contentsOf: Data(repeating: 0xa5, count: 512))
    }
    try handle.close()
    let error = await storeError {
      let database = try Engine.sqlite.open(at: url)
      _ = try await database.read { try $0.query("SELECT * FROM author") }
    }
    #expect(error?.kind == .corrupt, "\(String(describing: error))")
  }

  @Test func `a full database refuses the write and keeps what it has`() async throws {
    let database = try Engine.sqlite.open()
    try await database.write { try $0.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [1, "kept"]) }
    let pages = try await database.write { try $0.one("PRAGMA page_count").int(0) }
    try await database.write { try $0.query("PRAGMA max_page_count = \(pages + 2)") }
    let error = await storeError {
      try await database.write { try $0.execute("INSERT INTO note (id, body) VALUES ($1, $2)", [1, .blob(large)]) }
    }
    #expect(error?.kind == .full)
    try await database.write { try $0.query("PRAGMA max_page_count = 1000000") }
    try await database.write { try $0.execute("INSERT INTO note (id, body) VALUES ($1, $2)", [1, .blob(large)]) }
    #expect(try await database.read { try $0.query("SELECT id FROM author").count } == 1)
    await database.close()
  }

  @Test(.enabled(if: SmallDisk.isPossible, "needs the right to mount a tmpfs"))
  func `a full disk refuses the write, a read-only one the start`() async throws {
    let disk = try SmallDisk(megabytes: 2)
    let url = try StoreURL(disk.path + "/store.db")
    let database = try Engine.sqlite.open(at: url)
    try await database.write { try $0.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [1, "kept"]) }
    var error: DatabaseError?
    var kept = 0
    for id in 0..<100 as Range<Int64> where error == nil {
      error = await storeError {
        try await database.write {
          try $0.execute("INSERT INTO note (id, body) VALUES ($1, $2)", [.int(id), .blob(large)])
        }
      }
      if error == nil { kept += 1 }
    }
    #expect(error?.kind == .full, "\(String(describing: error))")
    #expect(try await database.read { try $0.query("SELECT id FROM note").count } == kept)
    let bodies = try BodyStore(directory: disk.path + "/bodies")
    #expect(await storeError { try await bodies.keep([UInt8](repeating: 7, count: 4 << 20)) }?.kind == .full)
    await database.close()
    try disk.makeReadOnly()
    let refused = await storeError { try Engine.sqlite.open(at: url) }
    #expect(refused?.kind == .readOnly, "\(String(describing: refused))")
  }

  @Test(.enabled(if: Engine.here.contains(.postgres)))
  func `a server that is away is told, and found again when it is back`() async throws {
    #expect(
      await storeError { try Engine.postgres.open(at: StoreURL("postgres:///x?host=/nowhere")) }?.kind == .connection)
    let url = try Engine.postgres.freshURL()
    let database = try Engine.postgres.open(at: url)
    try await database.write { try $0.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [1, "x"]) }
    let sessions = try await database.write { try $0.one("SELECT pg_backend_pid() AS p").int("p") }
    try LocalPostgres.running().psql("SELECT pg_terminate_backend(\(sessions))")
    let lost = await storeError {
      try await database.write { try $0.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [2, "x"]) }
    }
    #expect(lost?.kind == .connection)
    try await database.write { try $0.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [2, "x"]) }
    let reader = try await database.read { try $0.one("SELECT pg_backend_pid() AS p").int("p") }
    try LocalPostgres.running().psql("SELECT pg_terminate_backend(\(reader))")
    var count: Int?
    for _ in 0..<5 where count == nil {
      count = try? await database.read { try $0.query("SELECT id FROM author").count }  // the lost one fails once
    }
    #expect(count == 2)
    await database.close()
  }

  private var large: [UInt8] { [UInt8](repeating: 1, count: 100_000) }
}

@discardableResult
func shell(_ command: String) throws -> String {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/bin/sh")
  process.arguments = ["-c", command]
  let output = Pipe()
  process.standardOutput = output
  process.standardInput = FileHandle.nullDevice
  try process.run()
  let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
  process.waitUntilExit()
  guard process.terminationStatus == 0 else { throw CocoaError(.executableLoad) }
  return text.trimmingCharacters(in: .whitespacesAndNewlines)
}

/// A file system of a few megabytes that a test can fill or make read-only.
final class SmallDisk: Sendable {
  static let isPossible: Bool = {
    guard getuid() == 0, let disk = try? SmallDisk(megabytes: 1) else { return false }  // else the test is left out
    _ = disk
    return true
  }()
  let path: String

  init(megabytes: Int) throws {
    path = try temporaryDirectory()
    try shell("mount -t tmpfs -o size=\(megabytes)m liaison-test '\(path)' 2>/dev/null")
  }
  func makeReadOnly() throws { try shell("mount -o remount,ro '\(path)'") }
  deinit { _ = try? shell("umount -l '\(path)' && rmdir '\(path)'") }  // a leftover mount harms nothing
}
