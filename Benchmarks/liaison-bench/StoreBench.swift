import ArgumentParser
import Channels
import Foundation
import PostgresForTests
import Store

/// Durable arrivals: raw bytes, contact and event in one transaction, acknowledged after fsync.
struct StoreBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "store", abstract: "Durable arrivals a second at 1, 16 and 256 senders, on SQLite and PostgreSQL.")

  @Option(help: "Seconds for each figure.") var seconds = 3
  @Option(help: "Bytes of an arrival.") var bytes = 2_048
  @Option(help: "Folder for the SQLite file; the figures are those of its disk.") var directory = NSTemporaryDirectory()
  @Option(help: "Senders at once.") var senders = [1, 16, 256]

  static let schema = Migration(
    1, "bench",
    """
    CREATE TABLE arrival (
      id {{text}} PRIMARY KEY, channel {{text}} NOT NULL, wire_key {{text}}, received_at {{int}} NOT NULL,
      raw {{blob}} NOT NULL, UNIQUE (channel, wire_key)) {{opt}};
    CREATE TABLE contact (
      id {{text}} PRIMARY KEY, arrival {{text}} NOT NULL REFERENCES arrival (id), customer_no {{text}},
      started_at {{int}} NOT NULL, summary {{text}} NOT NULL) {{opt}};
    CREATE INDEX contact_customer ON contact (customer_no, started_at);
    CREATE TABLE event (id {{int}} PRIMARY KEY, kind {{text}} NOT NULL, at {{int}} NOT NULL, body {{json}} NOT NULL) {{opt}};
    """)

  func run() async throws {
    print("Durable arrivals (\(bytes) bytes raw + contact + event), acknowledged after fsync; \(seconds) s each.")
    let file = "\(directory)/liaison-bench-\(UUID().uuidString).db"
    print("SQLite, WAL, synchronous=FULL: \(file)")
    try await measure(StoreURL(file))
    for suffix in ["", "-wal", "-shm", ".lock"] {
      do { try FileManager.default.removeItem(atPath: file + suffix) } catch CocoaError.fileNoSuchFile {}
    }
    guard LocalPostgres.isAvailable else {
      print("PostgreSQL left out: \(LocalPostgres.howToGetIt)")
      return
    }
    print("PostgreSQL 15, fsync=on, synchronous_commit=on, Unix socket")
    try await measure(StoreURL(LocalPostgres.running().freshURL()))
  }

  private func measure(_ url: StoreURL) async throws {
    let database = try Database.open(url, migrations: [Self.schema], now: now())
    let raw = (0..<bytes).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    for count in senders {
      let before = database.statistics
      let processor = processorTime()
      let start = ContinuousClock.now
      let end = start + .seconds(seconds)
      let base = Int64(before.items) + Int64(count) << 40
      let latencies = try await withThrowingTaskGroup(of: Latencies.self) { group in
        for sender in 0..<count {
          group.addTask {
            var latencies = Latencies()
            var number = base + Int64(sender) << 24
            while ContinuousClock.now < end {
              let began = ContinuousClock.now
              number += 1
              let at = now()
              let event = number
              try await database.write { tx in try keep(raw, at, event, tx) }
              latencies.add(ContinuousClock.now - began)
            }
            return latencies
          }
        }
        return try await group.reduce(into: Latencies()) { $0.add($1) }
      }
      let elapsed = ContinuousClock.now - start
      let done = latencies.values.count
      let after = database.statistics
      let batch = Double(after.items - before.items) / Double(max(1, after.commits - before.commits))
      let cpu = (processorTime() - processor).wholeMicroseconds / Int64(max(1, done))
      print(
        "  " + column("\(count) senders", 14) + column(perSecond(done, in: elapsed) + "/s", 12)
          + column(latencies.summary, 40) + "batch \(Int(batch.rounded())) · \(cpu) µs CPU")
    }
    await database.close()
  }
}

private func keep(_ raw: [UInt8], _ at: Timestamp, _ event: Int64, _ tx: WriteTransaction) throws {
  let arrival = SQLValue(ArrivalID(at: at))
  try tx.execute(
    "INSERT INTO arrival (id, channel, wire_key, received_at, raw) VALUES ($1, $2, $3, $4, $5)",
    [arrival, "sms-1", .text("key-\(event)"), SQLValue(at), .blob(raw)])
  try tx.execute(
    "INSERT INTO contact (id, arrival, customer_no, started_at, summary) VALUES ($1, $1, $2, $3, $4)",
    [arrival, .text("C\(event % 100_000)"), SQLValue(at), "balance please"])
  try tx.execute(
    "INSERT INTO event (id, kind, at, body) VALUES ($1, $2, $3, $4)",
    [.int(event), "contact.began", SQLValue(at), #"{"channel": "sms-1", "zone": "presumed"}"#])
}

func now() -> Timestamp { Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1_000_000)) }
