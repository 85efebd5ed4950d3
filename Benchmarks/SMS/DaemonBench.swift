import Channels
import ContactModel
import Demo
import Foundation
import LiaisonForTests
import SMS
import Store

/// How many short messages the real daemon carries between its store and a fast SMSC on the loopback.
///
/// Durability: every inbound message is committed with fsync before its deliver_sm_resp; of every outbound message its
/// reservation and its wire identity are committed with fsync before the first byte leaves, and its settlement after the
/// answer. The SMSC is this process, the daemon another; they share the machine's cores.
struct DaemonBench {
  let messages: Int
  let window: Int

  private let smsc: StandInSMSC
  private var bank: TestBank

  init(messages: Int, window: Int) async throws {
    self.messages = messages
    self.window = window
    smsc = StandInSMSC(.init(reportsAfter: nil))
    let port = try await smsc.start()
    bank = try TestBank()
    let password = bank.directory + "/smsc-password"
    try "p".write(toFile: password, atomically: true, encoding: .utf8)
    bank.moreChannels = [
      """
        - kind: sms
          name: sms
          in_flight: \(window)
          links:
            - {name: fast, protocol: smpp, host: 127.0.0.1, port: \(port), system_id: bench, password: {file: \(password)},
               window: \(window), sender: "95588", receipts: false, reconnect_delay: 100ms}
      """
    ]
  }

  func run(_ number: Int) async throws {
    // The first start brings the bank's words into the store.
    let first = try bank.start()
    _ = try await first.ready()
    _ = try await first.stop()
    try await plan()
    let daemon = try bank.start()
    let before = smsc.count
    _ = try await daemon.ready()
    let pid = daemon.child.pid
    var used = (daemon: Processor(of: pid), peer: Processor(of: getpid()))
    let out = await submissions(from: before)
    print("run \(number) outbound: \(out), \(spent(since: &used, pid))")
    let inbound = await deliver()
    print("run \(number) inbound:  \(inbound), \(spent(since: &used, pid))")
    let resident = resident(daemon)
    guard try await daemon.stop(within: .seconds(30)) == .code(0) else {
      throw ChildProcess.Failure(description: daemon.child.tail)
    }
    print("run \(number) resident: \(resident)")
    try await check()
  }

  /// Processor time a message, of both sides; some of the daemon's may be for what it still routes.
  private func spent(since used: inout (daemon: Processor, peer: Processor), _ pid: pid_t) -> String {
    let now = (daemon: Processor(of: pid), peer: Processor(of: getpid()))
    defer { used = now }
    func each(_ ticks: Int) -> Int { ticks * 10_000 / max(1, messages) }
    return "processor \(each(now.daemon.ticks - used.daemon.ticks)) µs a message of the daemon, "
      + "\(each(now.peer.ticks - used.peer.ticks)) µs of SMSC and customers"
  }

  func end() async {
    await smsc.stop()
    bank.remove()
  }

  /// Customers with a telephone, and a job for each, planned as a campaign would.
  private func plan() async throws {
    var options = Database.Options()
    options.readers = 1
    let database = try Database.open(
      StoreURL("sqlite://\(bank.database)"), migrations: migrations, options: options, now: now())
    let first = try await database.read { Int(try $0.one("SELECT count(*) AS n FROM proactive_job", []).int("n")) }
    let people = DemoBank.customers(first + messages)
    let time = now()
    try await database.write { transaction in
      for agent in DemoBank.agents {
        try transaction.upsert(
          Agent(
            id: agent.id, name: agent.name, device: agent.device, queues: [], state: .offline, stateSince: time),
          at: time)
      }
    }
    for start in stride(from: first, to: first + messages, by: 200) {
      let chunk = people[start..<min(start + 200, first + messages)]
      try await database.write(.bulk) { transaction in
        for person in chunk {
          try transaction.upsert(
            CustomerRecord(
              customer: person.customer, identityNo: person.identityNo, birthDate: person.birthDate,
              contactPoints: [
                ContactPoint(address: Address(kind: .phone, canonical: person.phone, raw: person.phone))
              ], accounts: []), nameFolded: person.customer.name, source: "bench", at: time)
          _ = try transaction.plan(
            ProactiveJob(
              id: ProactiveJobID(at: time), customerNo: person.customer.customerNo,
              key: "bench-\(person.customer.customerNo)", purpose: .transaction,
              contents: ["sms": Dispatch.Content(text: "Your balance is 100.00 CNY")], due: time, createdBy: "bench",
              createdAt: time), actor: .liaison, at: time)
        }
      }
    }
    await database.close()
  }

  /// From the first submit at the SMSC to the last.
  private func submissions(from before: Int) async -> String {
    await smsc.waitForSubmits(before + 1)
    let start = ContinuousClock.now
    await smsc.waitForSubmits(before + messages)
    let time = ContinuousClock.now - start
    return "\(messages) submitted, \(Int64(messages) * 1_000_000 / max(1, time.wholeMicroseconds))/s"
  }

  private func deliver() async -> String {
    let counter = Counter()
    let start = ContinuousClock.now
    let result = await withTaskGroup(of: (taken: Int, latencies: [Int64]).self) { group in
      for _ in 0..<window {
        group.addTask {
          var taken = 0
          var latencies: [Int64] = []
          while true {
            let number = counter.next()
            guard number <= messages else { return (taken, latencies) }
            let began = ContinuousClock.now
            let answer = await smsc.deliver(
              from: "86100\(10_000_000 + number % 50_000)", to: "95588", text: "YE balance please \(number)")
            if answer == .ok { taken += 1 }
            latencies.append((ContinuousClock.now - began).wholeMicroseconds)
          }
        }
      }
      return await group.reduce(into: (taken: 0, latencies: [Int64]())) {
        $0.taken += $1.taken
        $0.latencies += $1.latencies
      }
    }
    return SMSBench.summary(result.taken, of: messages, in: ContinuousClock.now - start, result.latencies)
  }

  private func resident(_ daemon: Liaison) -> String {
    let status = (try? String(contentsOfFile: "/proc/\(daemon.child.pid)/status", encoding: .utf8)) ?? ""  // no figure
    return status.split(separator: "\n").first { $0.hasPrefix("VmRSS") }.map(String.init) ?? "unknown"
  }

  /// What the store has of it, so that no figure stands for lost messages.
  private func check() async throws {
    var options = Database.Options()
    options.readOnly = true
    let database = try Database.open(
      StoreURL("sqlite://\(bank.database)"), migrations: migrations, options: options, now: now())
    let lines = try await database.read { connection in
      try connection.query("SELECT state, count(*) AS n FROM attempt GROUP BY state", []).map {
        "\(try $0.text("state")) \(try $0.int("n"))"
      }
        + connection.query("SELECT state, count(*) AS n FROM arrival GROUP BY state", []).map {
          "arrivals \(try $0.text("state")) \(try $0.int("n"))"
        }
    }
    await database.close()
    print("in the store: \(lines.joined(separator: ", "))")
  }

  private func now() -> Timestamp { Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1_000_000)) }
}

/// Processor time of a process so far, all its threads.
private struct Processor {
  /// Hundredths of a second, as Linux counts them here.
  var ticks = 0

  init(of pid: pid_t) {
    // Nothing to read is no time.
    let stat = (try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)) ?? ""
    let fields = stat.split(separator: ")").last?.split(separator: " ").map(String.init) ?? []
    guard fields.count > 13, let user = Int(fields[11]), let system = Int(fields[12]) else { return }
    ticks = user + system
  }
}
