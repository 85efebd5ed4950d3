import ArgumentParser
import Channels
import ContactModel
import Customers
import Foundation
import Store

/// Rows a second of a file of customers, each with a phone, each on record in the audit, fsync on every commit.
struct ImportBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import", abstract: "Customers a second out of a CSV file, and a live write's wait beside it.")
  @Option(help: "Rows.") var rows = 200_000

  func run() async throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "liaison-bench-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer {
      do { try FileManager.default.removeItem(atPath: folder) } catch { print("\(folder) is left behind: \(error)") }
    }
    var text = "customer_no,type,name,level,phone\n"
    for row in 0..<rows { text += "IMP\(row),retail,客户\(row),5,1390\(1_000_000 + row)\n" }
    try text.write(toFile: "\(folder)/customers.csv", atomically: true, encoding: .utf8)
    let database = try Database.open(StoreURL("\(folder)/bench.db"), migrations: migrations, now: now())
    let order = Importer.Order(
      kind: .customers, isJSONLines: false, isRehearsal: false,
      actor: Actor(label: "bench", agent: nil, role: "integration"))
    print("import, \(rows) customers with a phone each, audited, fsync on every commit")
    print("  live writes alone: " + (try await live(database, for: .seconds(2))).summary)
    let began = ContinuousClock.now
    let importer = Importer(database: database, now: now)
    async let report = importer.run(order, of: importer.open(file: "\(folder)/customers.csv"))
    let beside = try await live(database, for: .seconds(2))
    let added = try await report.progress.added
    let took = ContinuousClock.now - began
    print("  live writes beside it: " + beside.summary)
    print("  " + perSecond(added, in: took) + " customers/s, beside 100 live writes a second at first")
    await database.close()
  }

  /// A small write a hundred times a second: what a screen pop waits for.
  private func live(_ database: Database, for duration: Duration) async throws -> Latencies {
    var latencies = Latencies()
    let end = ContinuousClock.now + duration
    while ContinuousClock.now < end {
      let began = ContinuousClock.now
      _ = try await database.write { try $0.query("SELECT 1 AS one") }
      latencies.add(ContinuousClock.now - began)
      try await Task.sleep(for: .milliseconds(10))
    }
    return latencies
  }
}
