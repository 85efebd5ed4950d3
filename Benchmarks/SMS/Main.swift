import Channels
import Demo
import Logging
import SMS
import Synchronization

/// How many short messages are carried, out and in, over loopback to the stand-in SMSC of this process.
///
/// `adapter`: the SMS adapter alone. Nothing is durable: `accept` answers at once and no store is asked, so the figures
/// are the ceiling of the adapter. Client and SMSC share the machine's cores. `daemon`: the real program that `LIAISON`
/// names; see `DaemonBench`. `kannel`: a real Kannel beside it; see `KannelBench`.
///
///     swift run -c release SMSBench [adapter] [daemon] [kannel] [messages=200000] [window=200] [runs=3]
@main
struct SMSBench {
  static func main() async throws {
    var settings: [String: Int] = ["messages": 200_000, "window": 200, "runs": 3, "submitters": 256]
    var parts: Set<String> = []
    for argument in CommandLine.arguments.dropFirst() {
      if ["adapter", "daemon", "kannel"].contains(argument) {
        parts.insert(argument)
        continue
      }
      let halves = argument.split(separator: "=")
      guard halves.count == 2, let value = Int(halves[1]), value > 0, settings[String(halves[0])] != nil else {
        print("usage: SMSBench [adapter] [daemon] [kannel] [messages=N] [window=N] [runs=N] [submitters=N]")
        return
      }
      settings[String(halves[0])] = value
    }
    let messages = settings["messages"] ?? 1
    let window = settings["window"] ?? 1
    let submitters = settings["submitters"] ?? 1
    let runs = settings["runs"] ?? 1
    if parts.contains("adapter") || parts.isEmpty { try await adapter(messages, window, submitters, runs) }
    guard parts.contains("daemon") || parts.contains("kannel") else { return }
    print(
      "durability: liaison fsyncs each message before its answer or first byte; kannel none; window \(window), loopback"
    )
    let daemon = try await DaemonBench(messages: messages, window: window)
    // In turns, so that both have the same machine.
    for run in 1...runs {
      if parts.contains("daemon") { try await daemon.run(run) }
      if parts.contains("kannel") { try await KannelBench(messages: messages, window: window).run(run) }
    }
    await daemon.end()
  }

  private static func adapter(_ messages: Int, _ window: Int, _ submitters: Int, _ runs: Int) async throws {
    print(
      "durability: none (adapter alone); window \(window), \(submitters) submitters, one transceiver session, loopback")

    let smsc = StandInSMSC(.init(reportsAfter: nil))
    let port = try await smsc.start()
    let adapter = SMSAdapter(
      channel: ContactChannel(kind: .sms, name: "bench"),
      configuration: SMSConfiguration(links: [
        .init(
          name: "one",
          kind: .smpp(
            SMPPSettings(systemID: "bench", password: "p"), LinkEndpoint(host: "127.0.0.1", port: port),
            binds: [.transceiver]),
          settings: LinkSettings(window: window), reportsDelivery: false, defaultSender: "95588")
      ]),
      logger: Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() }, wallClock: wallClock)
    let kept = Counter()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await adapter.run { arrival in
          _ = kept.next()
          return .stored(ArrivalID(at: arrival.receivedAt))
        }
      }
      while await adapter.health.state != .up { try await Task.sleep(for: .milliseconds(10)) }
      for run in 1...runs {
        let out = await submit(messages, by: submitters, through: adapter)
        print("run \(run) submit:  \(out)")
        let inbound = await deliver(messages, window: window, from: smsc)
        print("run \(run) inbound: \(inbound)")
      }
      adapter.beginDrain()
      try await group.waitForAll()
    }
    await smsc.stop()
  }

  @Sendable static func wallClock() -> Timestamp {
    Timestamp(microseconds: epoch + (ContinuousClock.now - began).wholeMicroseconds)
  }
  private static let began = ContinuousClock.now
  /// Any instant will do: the bench compares none with another machine's.
  private static let epoch: Int64 = 1_795_500_000_000_000

  private static func submit(_ messages: Int, by submitters: Int, through adapter: SMSAdapter) async -> String {
    let counter = Counter()
    let start = ContinuousClock.now
    let latencies = await withTaskGroup(of: (accepted: Int, latencies: [Int64]).self) { group in
      for _ in 0..<submitters {
        group.addTask {
          var accepted = 0
          var latencies: [Int64] = []
          while true {
            let number = counter.next()
            guard number <= messages else { return (accepted, latencies) }
            let now = wallClock()
            let attempt = AttemptID(at: now)
            let dispatch = Dispatch(
              key: "\(number)", attempt: attempt, wireIdentity: attempt.description,
              to: Address(kind: .phone, canonical: "+8613800138000", raw: "13800138000"), from: nil,
              content: .init(text: "Your balance is 100.00 CNY"), expires: nil)
            let began = ContinuousClock.now
            if case .accepted = await adapter.submit(dispatch) { accepted += 1 }
            latencies.append((ContinuousClock.now - began).wholeMicroseconds)
          }
        }
      }
      return await group.reduce(into: (accepted: 0, latencies: [Int64]())) {
        $0.accepted += $1.accepted
        $0.latencies += $1.latencies
      }
    }
    return summary(latencies.accepted, of: messages, in: ContinuousClock.now - start, latencies.latencies)
  }

  private static func deliver(_ messages: Int, window: Int, from smsc: StandInSMSC) async -> String {
    let counter = Counter()
    let start = ContinuousClock.now
    let result = await withTaskGroup(of: (accepted: Int, latencies: [Int64]).self) { group in
      for _ in 0..<window {
        group.addTask {
          var accepted = 0
          var latencies: [Int64] = []
          while true {
            guard counter.next() <= messages else { return (accepted, latencies) }
            let began = ContinuousClock.now
            if await smsc.deliver(from: "8613912345678", to: "95588", text: "YE balance please") == .ok {
              accepted += 1
            }
            latencies.append((ContinuousClock.now - began).wholeMicroseconds)
          }
        }
      }
      return await group.reduce(into: (accepted: 0, latencies: [Int64]())) {
        $0.accepted += $1.accepted
        $0.latencies += $1.latencies
      }
    }
    return summary(result.accepted, of: messages, in: ContinuousClock.now - start, result.latencies)
  }

  static func summary(_ accepted: Int, of messages: Int, in time: Duration, _ latencies: [Int64]) -> String {
    let sorted = latencies.sorted()
    func quantile(_ share: Double) -> Int64 { sorted.isEmpty ? 0 : sorted[Int(Double(sorted.count - 1) * share)] }
    let rate = Int64(accepted) * 1_000_000 / max(1, time.wholeMicroseconds)
    return "\(accepted) of \(messages) accepted, \(rate)/s, p50 \(quantile(0.5)) µs, p99 \(quantile(0.99)) µs"
  }
}

/// 1, 2, 3, … to whoever asks.
final class Counter: Sendable {
  private let value = Mutex(0)
  func next() -> Int {
    value.withLock { value in
      value += 1
      return value
    }
  }
}
