import Channels
import Foundation
import Store
import Testing

@Suite struct BackupTests {
  let now = Timestamp(seconds: 1_795_532_671)

  @Test(arguments: Engine.here) func `a store is copied while it works, and restored whole`(engine: Engine) async throws
  {
    let url = try engine.freshURL()
    let folder = try temporaryDirectory()
    let bodies = try BodyStore(directory: folder + "/bodies")
    let database = try engine.open(at: url)
    let digest = try await bodies.keep(Array("a fax".utf8))
    try await database.write { tx in
      for id in 0..<3_000 as Range<Int64> {
        try tx.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [.int(id), .text("name of \(id)")])
      }
      try tx.execute("INSERT INTO note (id, key) VALUES ($1, $2)", [1, .text(digest.description)])
    }
    let reports = Shared(0)
    // Writers go on meanwhile: each pair is in the copy whole or not at all.
    let manifest = try await withThrowingTaskGroup(of: Backup.Manifest?.self) { group in
      for sender in 0..<4 as Range<Int64> {
        group.addTask {
          for number in 0..<50 as Range<Int64> {
            let id = 10_000 + sender * 1_000 + number
            try await database.write { tx in
              try tx.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [.int(id), "later"])
              try tx.execute("INSERT INTO note (id, author) VALUES ($1, $1)", [.int(id)])
            }
          }
          return nil
        }
      }
      group.addTask {
        try await Backup.make(
          of: url, bodies: bodies.directory, into: folder + "/backup", now: now,
          report: { _ in reports.withLock { $0 += 1 } })
      }
      return try await group.reduce(nil) { $0 ?? $1 }
    }
    #expect(manifest?.bodies == 1)
    #expect(manifest?.version == 1)
    #expect(reports.withLock { $0 } > 0)

    let busy = await storeError {
      try await Backup.restore(from: folder + "/backup", to: url, bodies: nil, force: true)
    }
    #expect(busy?.kind == .locked)
    await database.close()
    let refused = await storeError {
      try await Backup.restore(from: folder + "/backup", to: url, bodies: nil, force: false)
    }
    #expect(refused?.message.contains("--force") == true)

    _ = try await Backup.restore(
      from: folder + "/backup", to: url, bodies: folder + "/restored-bodies", force: true)
    let restored = try engine.open(at: url)
    #expect(restored.migrated == [])
    let row = try await restored.read {
      try $0.one(
        """
        SELECT (SELECT count(*) FROM author WHERE id < 10000) AS authors, (SELECT key FROM note WHERE id = 1) AS key,
          (SELECT count(*) FROM author WHERE id >= 10000) AS later, (SELECT count(*) FROM note WHERE id >= 10000) AS pairs
        """)
    }
    #expect(try row.int("authors") == 3_000)
    #expect(try row.int("later") == row.int("pairs"))
    let kept = try BodyStore(directory: folder + "/restored-bodies")
    #expect(try await kept.read(#require(BodyDigest(row.text("key")))) == Array("a fax".utf8))
    try await restored.write { try $0.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [-1, "works on"]) }
    await restored.close()
  }

  @Test func `a backup goes into a folder of its own, and one that is not whole is not restored`() async throws {
    let url = try Engine.sqlite.freshURL()
    try await Engine.sqlite.open(at: url).close()
    let folder = try temporaryDirectory()
    try "mine".write(toFile: folder + "/file", atomically: true, encoding: .utf8)
    #expect(await storeError { try await Backup.make(of: url, bodies: nil, into: folder, now: now) }?.kind == .misuse)

    let target = try Engine.sqlite.freshURL()
    #expect(
      await storeError { try await Backup.restore(from: folder, to: target, bodies: nil, force: false) }?.kind
        == .unreadable)
    _ = try await Backup.make(of: url, bodies: nil, into: folder + "/good", now: now)
    let file = folder + "/good/liaison.db"
    let handle = try #require(FileHandle(forUpdatingAtPath: file))
    try handle.seek(toOffset: 5_000)
    try handle.write(contentsOf: Data([1, 2, 3, 4]))
    try handle.close()
    #expect(
      await storeError { try await Backup.restore(from: folder + "/good", to: target, bodies: nil, force: false) }?.kind
        == .corrupt)
    guard case .sqlite(let path) = target.place else { return }
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  @Test func `restoring over a damaged store works and keeps the old file`() async throws {
    let url = try Engine.sqlite.freshURL()
    guard case .sqlite(let path) = url.place else { return }
    let folder = try temporaryDirectory()
    let database = try Engine.sqlite.open(at: url)
    try await database.write { try $0.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [1, "kept"]) }
    await database.close()
    _ = try await Backup.make(of: url, bodies: nil, into: folder + "/b", now: now)
    try "ruined".write(toFile: path, atomically: false, encoding: .utf8)
    try "a log of another life".write(toFile: path + "-wal", atomically: false, encoding: .utf8)
    _ = try await Backup.restore(from: folder + "/b", to: url, bodies: nil, force: true)
    let restored = try Engine.sqlite.open(at: url)
    #expect(try await restored.read { try $0.one("SELECT name FROM author").text("name") } == "kept")
    await restored.close()
    #expect(try String(contentsOfFile: path + ".replaced", encoding: .utf8) == "ruined")
  }
}

@Suite struct BodyStoreTests {
  @Test func `a body is kept once under its content's name and read back`() async throws {
    let folder = try temporaryDirectory() + "/bodies"
    let bodies = try BodyStore(directory: folder)
    let page = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    let digests = try await withThrowingTaskGroup(of: BodyDigest.self) { group in
      for _ in 0..<20 { group.addTask { try await bodies.keep(page) } }
      return try await group.reduce(into: Set()) { $0.insert($1) }
    }
    #expect(digests.count == 1)
    let digest = try #require(digests.first)
    #expect(digest == BodyDigest(of: page))
    #expect(try await bodies.read(digest) == page)
    #expect(try await bodies.contains(digest))
    let empty = try await bodies.keep([])
    #expect(empty.description == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    #expect(try await bodies.read(empty) == [])
    let name = digest.description
    #expect(
      FileManager.default.fileExists(atPath: "\(folder)/\(name.prefix(2))/\(name.dropFirst(2).prefix(2))/\(name)"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder + "/tmp").isEmpty)
  }

  @Test func `a changed or missing body is not given out`() async throws {
    let folder = try temporaryDirectory() + "/bodies"
    let bodies = try BodyStore(directory: folder)
    let digest = try await bodies.keep(Array("the letter".utf8))
    let name = digest.description
    let file = "\(folder)/\(name.prefix(2))/\(name.dropFirst(2).prefix(2))/\(name)"
    try "the latter".write(toFile: file, atomically: false, encoding: .utf8)
    #expect(await storeError { try await bodies.read(digest) }?.kind == .corrupt)
    #expect(await storeError { try await bodies.read(BodyDigest(of: [1])) }?.kind == .unreadable)
  }

  @Test func `what a crash left half written is removed`() throws {
    let folder = try temporaryDirectory() + "/bodies"
    _ = try BodyStore(directory: folder)
    try "half".write(toFile: folder + "/tmp/abc.1", atomically: false, encoding: .utf8)
    _ = try BodyStore(directory: folder)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder + "/tmp").isEmpty)
  }

  @Test(arguments: ["", "../../etc/passwd", String(repeating: "A", count: 64), String(repeating: "0", count: 63)])
  func `what is no digest names no file`(text: String) { #expect(BodyDigest(text) == nil) }
}
