import Channels
import Foundation
import Store
import Synchronization
import Testing

@Suite struct WriterTests {
  @Test(arguments: Engine.here)
  func `256 concurrent writers are committed in groups, each once and whole`(engine: Engine) async throws {
    let database = try engine.open()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for sender in 0..<256 {
        group.addTask {
          for number in 0..<10 {
            let id = Int64(sender * 10 + number)
            let answer = try await database.write { tx in
              try tx.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [.int(id), "a"])
              try tx.execute("INSERT INTO note (id, author) VALUES ($1, $1)", [.int(id)])
              return id
            }
            #expect(answer == id)
            let seen = try await database.read { try $0.query("SELECT id FROM note WHERE id = $1", [.int(id)]).count }
            #expect(seen == 1, "an acknowledged write is seen by the next read")
          }
        }
      }
      try await group.waitForAll()
    }
    let counts = try await database.read {
      try $0.one("SELECT (SELECT count(*) FROM author) AS a, (SELECT count(*) FROM note) AS n")
    }
    #expect(try counts.int("a") == 2_560)
    #expect(try counts.int("n") == 2_560)
    #expect(database.statistics.items == 2_560)
    #expect(database.statistics.commits < 2_560)
    #expect(database.statistics.largestBatch <= 200)
    await database.close()
  }

  @Test(arguments: Engine.here) func `a failed item fails alone`(engine: Engine) async throws {
    struct Refused: Error {}
    let gate = CommitGate()
    let database = try engine.open { $0.atCommit = gate.hook }
    try await database.write { try $0.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [0, "first"]) }
    gate.close()
    try await withThrowingTaskGroup(of: Void.self) { group in
      defer { gate.open() }
      group.addTask { _ = try await database.write { try $0.query("SELECT 1") } }
      try await until { gate.isHolding }
      for id in 1..<100 as Range<Int64> {
        group.addTask {
          do {
            try await database.write { tx in
              try tx.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [.int(id), "x"])
              if id % 7 == 0 { throw Refused() }
              if id % 7 == 1 { try tx.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [0, "double"]) }
              if id % 7 == 2 { try tx.query("no sql") }
            }
            #expect(id % 7 > 2)
          } catch is Refused {
            #expect(id % 7 == 0)
          } catch let error as DatabaseError {
            #expect((error.kind == .unique && id % 7 == 1) || (error.kind == .misuse && id % 7 == 2))
          }
        }
      }
      try await until { database.waitingWrites.live == 99 }
      gate.open()
      try await group.waitForAll()
    }
    #expect(database.statistics.largestBatch == 99)
    let ids = try await database.read { try $0.query("SELECT id FROM author").map { try $0.int("id") } }
    #expect(Set(ids) == Set((0..<100).filter { $0 == 0 || $0 % 7 > 2 }))
    await database.close()
  }

  @Test(arguments: Engine.here)
  func `an item that makes the commit itself fail is found, and the others are kept`(engine: Engine) async throws {
    let schema = Migration(
      1, "deferred",
      """
      CREATE TABLE parent (id {{int}} PRIMARY KEY) {{opt}};
      CREATE TABLE child (
        id {{int}} PRIMARY KEY, parent {{int}} NOT NULL REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED) {{opt}};
      """)
    let gate = CommitGate()
    let database = try engine.open([schema]) { $0.atCommit = gate.hook }
    gate.close()
    let outcomes = Shared<[Int64: DatabaseError.Kind?]>([:])
    try await withThrowingTaskGroup(of: Void.self) { group in
      defer { gate.open() }
      group.addTask { _ = try await database.write { try $0.query("SELECT 1") } }
      try await until { gate.isHolding }
      for id in 1...20 as ClosedRange<Int64> {
        group.addTask {
          let error = await storeError {
            try await database.write { tx in
              if id != 5 { try tx.execute("INSERT INTO parent (id) VALUES ($1)", [.int(id)]) }
              // 6 asks for the key that 5 takes: it is a double only if 5 is kept.
              try tx.execute("INSERT INTO child (id, parent) VALUES ($1, $2)", [.int(id == 6 ? 5 : id), .int(id)])
            }
          }
          outcomes.withLock { $0[id] = .some(error?.kind) }
        }
        try await until { database.waitingWrites.live == Int(id) }
      }
      gate.open()
      try await group.waitForAll()
    }
    for id in 1...20 as ClosedRange<Int64> {
      #expect(outcomes.withLock { $0[id] } == .some(id == 5 ? .foreignKey : nil), "\(id)")
    }
    #expect(try await database.read { try $0.query("SELECT id FROM child").count } == 19)
    await database.close()
  }

  @Test(arguments: Engine.here) func `live writes go before bulk writes that came first`(engine: Engine) async throws {
    let gate = CommitGate()
    let database = try engine.open { $0.atCommit = gate.hook }
    let order = Shared<[String]>([])
    gate.close()
    try await withThrowingTaskGroup(of: Void.self) { group in
      defer { gate.open() }
      group.addTask { _ = try await database.write { try $0.query("SELECT 1") } }
      try await until { gate.isHolding }
      for number in 0..<10 {
        group.addTask {
          _ = try await database.write(.bulk) { tx in
            try tx.query("SELECT 1")
            order.withLock { $0.append("bulk \(number)") }
          }
        }
      }
      try await until { database.waitingWrites.bulk == 10 }
      for number in 0..<10 {
        group.addTask {
          _ = try await database.write { tx in
            try tx.query("SELECT 1")
            order.withLock { $0.append("live \(number)") }
          }
        }
      }
      try await until { database.waitingWrites.live == 10 }
      gate.open()
      try await group.waitForAll()
    }
    let words = order.withLock { $0.map { $0.prefix(4) } }
    #expect(words == Array(repeating: "live", count: 10) + Array(repeating: "bulk", count: 10))
    await database.close()
  }

  @Test(arguments: Engine.here) func `a bulk transaction is cut short when a live write comes`(engine: Engine)
    async throws
  {
    let database = try engine.open()
    let order = Shared<[String]>([])
    let entered = Shared(false)
    let mayGoOn = Shared(false)
    let started = Shared(false)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {  // holds the writer until all the others wait
        _ = try await database.write { _ in
          started.withLock { $0 = true }
          while !entered.withLock({ $0 }) { usleep(200) }
        }
      }
      try await until { started.withLock { $0 } }
      for number in 0..<20 {
        group.addTask {
          _ = try await database.write(.bulk) { tx in
            try tx.query("SELECT 1")
            order.withLock { $0.append("bulk") }
            if number == 0 { while !mayGoOn.withLock({ $0 }) { usleep(200) } }
          }
        }
        try await until { database.waitingWrites.bulk == number + 1 }
      }
      entered.withLock { $0 = true }
      try await until { order.withLock { $0 } == ["bulk"] }
      group.addTask {
        _ = try await database.write { tx in
          try tx.query("SELECT 1")
          order.withLock { $0.append("live") }
        }
      }
      try await until { database.waitingWrites.live == 1 }
      mayGoOn.withLock { $0 = true }
      try await group.waitForAll()
    }
    #expect(order.withLock { $0 } == ["bulk", "live"] + Array(repeating: "bulk", count: 19))
    await database.close()
  }

  @Test(arguments: Engine.here) func `a long bulk body is told when its time is up, and when a live write comes`(
    engine: Engine
  ) async throws {
    let patient = try engine.open { $0.bulkTime = .seconds(3_600) }
    let isRunning = Shared(false)
    async let bulk: Void = patient.write(.bulk) { tx in
      isRunning.withLock { $0 = true }
      while !tx.isTimeUp { usleep(200) }
    }
    try await until { isRunning.withLock { $0 } }
    try await patient.write { #expect(!$0.isTimeUp, "the live lane has no end of its time") }
    try await bulk
    await patient.close()

    let brief = try engine.open { $0.bulkTime = .milliseconds(20) }
    try await brief.write(.bulk) { tx in
      #expect(!tx.isTimeUp)
      while !tx.isTimeUp { usleep(200) }
    }
    await brief.close()
  }

  @Test func `the log begins anew while it is written to without a pause, and all of it is there`() async throws {
    let path = try temporaryDirectory() + "/store.db"
    let database = try Engine.sqlite.open(at: StoreURL(path))
    let body = [UInt8](repeating: 7, count: 4_000)
    // 200 MB of pages through the log.
    for round in 0..<500 as Range<Int64> {
      try await database.write(.bulk) { tx in
        for number in 0..<100 as Range<Int64> {
          try tx.execute("INSERT INTO note (id, body) VALUES ($1, $2)", [.int(round * 100 + number), .blob(body)])
        }
      }
    }
    let length = try FileManager.default.attributesOfItem(atPath: path + "-wal")[.size] as? Int
    #expect(try #require(length) < 100_000_000)
    let count = try await database.read { try $0.one("SELECT count(*) AS n FROM note").int("n") }
    #expect(count == 50_000)
    await database.close()
    #expect(!FileManager.default.fileExists(atPath: path + "-wal"), "the last to close brings the rest over")
  }

  @Test(arguments: Engine.here) func `a full queue refuses at once, and works on afterwards`(engine: Engine)
    async throws
  {
    let gate = CommitGate()
    let database = try engine.open {
      $0.atCommit = gate.hook
      $0.liveQueueLimit = 4
      $0.bulkQueueLimit = 1
    }
    gate.close()
    try await withThrowingTaskGroup(of: Void.self) { group in
      defer { gate.open() }
      group.addTask { _ = try await database.write { try $0.query("SELECT 1") } }
      try await until { gate.isHolding }
      for _ in 0..<4 { group.addTask { _ = try await database.write { try $0.query("SELECT 1") } } }
      group.addTask { _ = try await database.write(.bulk) { try $0.query("SELECT 1") } }
      try await until { database.waitingWrites == (4, 1) }
      #expect(await storeError { try await database.write { try $0.query("SELECT 1") } }?.kind == .busy)
      #expect(await storeError { try await database.write(.bulk) { try $0.query("SELECT 1") } }?.kind == .busy)
      gate.open()
      try await group.waitForAll()
    }
    try await database.write { try $0.query("SELECT 1") }
    await database.close()
  }

  @Test(arguments: Engine.here) func `a write cancelled before its turn is not written`(engine: Engine) async throws {
    let gate = CommitGate()
    let database = try engine.open { $0.atCommit = gate.hook }
    gate.close()
    try await withThrowingTaskGroup(of: Void.self) { group in
      defer { gate.open() }
      group.addTask { _ = try await database.write { try $0.query("SELECT 1") } }
      try await until { gate.isHolding }
      let waiting = Task {
        try await database.write { try $0.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [1, "x"]) }
      }
      try await until { database.waitingWrites.live == 1 }
      waiting.cancel()
      gate.open()
      let result = await waiting.result
      #expect(throws: CancellationError.self) { try result.get() }
      try await group.waitForAll()
    }
    #expect(try await database.read { try $0.query("SELECT id FROM author").count } == 0)
    await database.close()
  }

  @Test(arguments: Engine.here) func `closing finishes what waits and refuses what comes later`(engine: Engine)
    async throws
  {
    let url = try engine.freshURL()
    let gate = CommitGate()
    let database = try engine.open(at: url) { $0.atCommit = gate.hook }
    gate.close()
    try await withThrowingTaskGroup(of: Void.self) { group in
      defer { gate.open() }
      for id in 0..<20 {
        group.addTask {
          _ = try await database.write {
            try $0.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [SQLValue(id), "x"])
          }
        }
      }
      try await until { gate.isHolding }
      group.addTask { await database.close() }
      gate.open()
      while let result = await group.nextResult() {
        // Those that had not reached the queue yet are refused; none is lost silently.
        if case .failure(let error) = result { #expect((error as? DatabaseError)?.kind == .closed) }
      }
    }
    #expect(await storeError { try await database.write { try $0.query("SELECT 1") } }?.kind == .closed)
    #expect(await storeError { try await database.read { try $0.query("SELECT 1") } }?.kind == .closed)
    await database.close()
    let again = try engine.open(at: url)
    #expect(try await again.read { try $0.query("SELECT id FROM author").count } > 0)
    await again.close()
  }

  @Test(arguments: Engine.here) func `many reads share the readers, and one that fails harms no other`(engine: Engine)
    async throws
  {
    let database = try engine.open()
    try await database.write { tx in
      for id in 0..<50 as Range<Int64> {
        try tx.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [.int(id), .text("n\(id)")])
      }
    }
    await withTaskGroup(of: Void.self) { group in
      for number in 0..<1_000 as Range<Int64> {
        group.addTask {
          if number % 10 == 0 {
            #expect(await storeError { try await database.read { try $0.query("SELECT nothing") } }?.kind == .misuse)
          } else {
            let name = try? await database.read(number % 3 == 0 ? .bulk : .live) {
              try $0.one("SELECT name FROM author WHERE id = $1", [.int(number % 50)]).text("name")
            }
            #expect(name == "n\(number % 50)")
          }
        }
      }
    }
    let refused = await storeError {
      try await database.read { try $0.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [99, "x"]) }
    }
    #expect(refused?.kind == .readOnly)
    await database.close()
  }
}

/// Holds the writer just before a commit, so that a test can say what waits meanwhile.
final class CommitGate: Sendable {
  private let state = Mutex((isClosed: false, isHolding: false))

  var hook: @Sendable (Database.CommitPoint) -> Void {
    { [self] point in
      guard point == .before else { return }
      while state.withLock({ state in
        state.isHolding = state.isClosed
        return state.isClosed
      }) { usleep(200) }
    }
  }
  var isHolding: Bool { state.withLock { $0.isHolding } }
  func close() { state.withLock { $0.isClosed = true } }
  func open() { state.withLock { $0.isClosed = false } }
}

/// Waits for `condition`, at most 20 seconds.
func until(_ condition: () -> Bool) async throws {
  struct TooLate: Error {}
  let deadline = ContinuousClock.now + .seconds(20)
  while !condition() {
    guard ContinuousClock.now < deadline else { throw TooLate() }
    await Task.yield()
  }
}
