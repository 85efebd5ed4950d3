import ArgumentParser
import Channels
import ContactModel
import Foundation
import Logging
import Outbound
import PostgresForTests
import Store

/// Jobs through the whole outbound path: claimed and decided, identity durable, handed to a peer that answers at once,
/// settled, contact written; every commit fsynced.
struct OutboundBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "outbound",
    abstract: "Jobs a second from planned to accepted, durable, with a peer that costs nothing.")

  @Option(help: "Jobs of each figure, each to a customer of his own.") var jobs = 10_000
  @Option(help: "How many may be handed over at once.") var windows = [10, 100, 400]
  @Option(help: "Folder for the SQLite file; the figures are those of its disk.") var directory = NSTemporaryDirectory()

  func run() async throws {
    print("Jobs from planned to accepted, \(jobs) each; the peer answers at once.")
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
    let database = try Database.open(url, migrations: migrations, now: now())
    let zones = ZoneCatalog()
    // At any hour: the figure is of the path, not of the bank's windows.
    let profile = try PurposeProfileText.shipped().profile(version: "shipped", zones: zones)
    let count = jobs
    try await addCustomers(count, to: database)
    for window in windows {
      try await plan(count, run: window, in: database)
      let dispatcher = Dispatcher(
        database: database, links: [OutboundLink(channel: .sms, adapter: InstantPeer(), window: window)], zones: zones,
        profile: { profile }, clock: { now() }, logger: Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() })
      let before = database.statistics
      let processor = processorTime()
      let start = ContinuousClock.now
      // Ends by the drain below.
      let work = Task { try await dispatcher.run() }
      while try await left(in: database) > 0 { try await Task.sleep(for: .milliseconds(20)) }
      let elapsed = ContinuousClock.now - start
      dispatcher.beginDrain()
      try await work.value
      let after = database.statistics
      let batch = Double(after.items - before.items) / Double(max(1, after.commits - before.commits))
      let cpu = (processorTime() - processor).wholeMicroseconds / Int64(max(1, count))
      print(
        "  " + column("window \(window)", 14) + column(perSecond(count, in: elapsed) + "/s", 12)
          + "batch \(Int(batch.rounded())) · \(cpu) µs CPU a job")
    }
    await database.close()
  }

  private func addCustomers(_ count: Int, to database: Database) async throws {
    for start in stride(from: 0, to: count, by: 500) {
      try await database.write(.bulk) { transaction in
        for number in start..<min(start + 500, count) {
          let phone = "+86\(13_000_000_000 + number * 37)"
          try transaction.upsert(
            CustomerRecord(
              customer: Customer(customerNo: CustomerNumber("B\(number)")!, type: Code("retail")!, name: "客户\(number)"),
              contactPoints: [ContactPoint(address: Address(kind: .phone, canonical: phone, raw: phone))]),
            nameFolded: "客户\(number)", source: "bench", at: now())
        }
      }
    }
  }

  private func plan(_ count: Int, run: Int, in database: Database) async throws {
    for start in stride(from: 0, to: count, by: 500) {
      try await database.write(.bulk) { transaction in
        for number in start..<min(start + 500, count) {
          let time = now()
          let job = ProactiveJob(
            id: ProactiveJobID(at: time), customerNo: CustomerNumber("B\(number)")!, key: "\(run)/\(number)",
            purpose: .security, contents: ["sms": Dispatch.Content(text: "您的业务 \(number) 已办理。")], due: time,
            createdBy: "bench", createdAt: time)
          _ = try transaction.plan(job, actor: .liaison, at: time)
        }
      }
    }
  }

  private func left(in database: Database) async throws -> Int {
    try await database.read(.bulk) {
      try $0.one("SELECT count(*) AS n FROM proactive_job WHERE state IN ('planned', 'active')").count("n")
    }
  }
}

/// A peer that takes everything at once.
private struct InstantPeer: ChannelAdapter {
  let channel = ContactChannel(kind: .sms, name: "instant")
  let capabilities = Capabilities(abilities: [.submits], maximumArrivalBytes: 1)
  func run(accept: @escaping Accept) async throws {}
  func wireIdentity(of attempt: AttemptID) -> String { attempt.description }
  func submit(_ dispatch: Dispatch) async -> Submission {
    .accepted(Receipt(peerID: dispatch.wireIdentity, at: now()))
  }
  func inquire(about dispatch: Dispatch) async -> Submission { .inDoubt(Fault(.unsupported, text: "")) }
  var health: Health { get async { Health(state: .up, since: now()) } }
  func beginDrain() {}
}
