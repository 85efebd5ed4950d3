import ArgumentParser
import Channels
import Foundation
import Store

/// Who calls: customer by telephone number, one look-up a read.
struct LookupBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lookup", abstract: "Customer look-up by phone among 1 M and 10 M customers, SQLite.")

  @Option(help: "Customers.") var rows = [1_000_000, 10_000_000]
  @Option(help: "Folder for the files (about 1.3 GB for 10 M).") var directory = NSTemporaryDirectory()
  @Option(help: "Seconds for each figure.") var seconds = 3

  static let schema = Migration(
    1, "bench",
    """
    CREATE TABLE customer (id {{int}} PRIMARY KEY, customer_no {{text}} NOT NULL, name {{text}} NOT NULL) {{opt}};
    CREATE TABLE contact_point (
      phone {{text}} NOT NULL, customer {{int}} NOT NULL, PRIMARY KEY (phone, customer)) {{opt_keyed}};
    """)

  func run() async throws {
    for count in rows {
      let file = "\(directory)/liaison-bench-\(UUID().uuidString).db"
      let started = ContinuousClock.now
      try await load(Int64(count), into: file)
      let loaded = ContinuousClock.now
      var options = Database.Options()
      options.readers = 2
      let database = try Database.open(StoreURL(file), migrations: [Self.schema], options: options, now: now())
      let opened = ContinuousClock.now - loaded
      print(
        "\(count) customers, a phone each; loaded in \((loaded - started).components.seconds) s, "
          + "opened in \(opened.wholeMilliseconds) ms")
      for tasks in [1, 16, 256] { try await measure(database, Int64(count), tasks) }
      await database.close()
      for suffix in ["", "-wal", "-shm", ".lock"] {
        do { try FileManager.default.removeItem(atPath: file + suffix) } catch CocoaError.fileNoSuchFile {}
      }
    }
  }

  private func load(_ count: Int64, into file: String) async throws {
    var options = Database.Options()
    options.statementTimeout = nil
    let database = try Database.open(StoreURL(file), migrations: [Self.schema], options: options, now: now())
    let step: Int64 = 500_000
    for start in stride(from: Int64(0), to: count, by: Int(step)) {
      try await database.write(.bulk) { tx in
        let range: [SQLValue] = [.int(start), .int(min(start + step, count))]
        let numbers = "WITH RECURSIVE n (i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $2)"
        try tx.execute(
          "\(numbers) INSERT INTO customer (id, customer_no, name) SELECT i, 'C' || i, '客户 ' || i FROM n", range)
        try tx.execute(
          "\(numbers) INSERT INTO contact_point (phone, customer) SELECT '+86' || (13000000000 + i * 37), i FROM n",
          range)
      }
    }
    await database.close()
  }

  private func measure(_ database: Database, _ count: Int64, _ tasks: Int) async throws {
    let processor = processorTime()
    let start = ContinuousClock.now
    let end = start + .seconds(seconds)
    let latencies = try await withThrowingTaskGroup(of: Latencies.self) { group in
      for _ in 0..<tasks {
        group.addTask {
          var latencies = Latencies()
          while ContinuousClock.now < end {
            let wanted = Int64.random(in: 0..<count)
            let phone = "+86\(13_000_000_000 + wanted * 37)"
            let began = ContinuousClock.now
            let found = try await database.read { connection in
              try connection.first(
                """
                SELECT c.id, c.customer_no, c.name FROM contact_point p JOIN customer c ON c.id = p.customer
                WHERE p.phone = $1
                """, [.text(phone)])?.int("id")
            }
            latencies.add(ContinuousClock.now - began)
            guard found == wanted else { throw DatabaseError(.other, "customer \(wanted) was not found") }
          }
          return latencies
        }
      }
      return try await group.reduce(into: Latencies()) { $0.add($1) }
    }
    let elapsed = ContinuousClock.now - start
    let cpu = (processorTime() - processor).wholeMicroseconds / Int64(max(1, latencies.values.count))
    print(
      "  " + column("\(tasks) askers", 14) + column(perSecond(latencies.values.count, in: elapsed) + "/s", 12)
        + column(latencies.summary, 40) + "\(cpu) µs CPU")
  }
}
