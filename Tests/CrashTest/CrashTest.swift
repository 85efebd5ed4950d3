import ArgumentParser
import Channels
import Foundation
import LiaisonForTests
import Store

/// `make crash-test`: the real program under load, killed with -9 again and again, and nothing lost or doubled.
///
/// Each round starts the daemon on the same store and lets it die: at a labelled place (before and after a commit,
/// before and after an answer) it kills itself the n-th time it passes, or it is killed at a random moment, also while
/// it starts. The senders repeat what was not answered. In the end it drains, stops on SIGTERM, and its store is
/// compared with what the senders were told.
@main
struct CrashTest: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "crash-test", abstract: "Kill the daemon under load and compare its store with what was acknowledged.")

  @Option(help: "How often it is killed.")
  var kills = 200
  @Option(help: "How many post at once.")
  var senders = 32
  @Option(help: "How many phones write, how many gateways call, and how many systems let messages be sent; 0: no SMS.")
  var phones = 6
  @Option(help: "Fixes the places and moments; printed when it is chosen by chance.")
  var seed: UInt64?
  @Option(help: "The program; also by the environment variable LIAISON.")
  var liaison = Liaison.program
  @Flag(help: "Keep the store.")
  var keep = false

  private static let places = [
    "before-commit", "after-commit", "before-answer", "after-answer", "random", "reserved", "handing", "submitted",
    "settled",
  ]
  /// Of the dispatcher; passed only while messages are sent.
  private static let outbound: Set<String> = ["reserved", "handing", "submitted", "settled"]

  func run() async throws {
    signal(SIGPIPE, SIG_IGN)
    let seed = seed ?? UInt64.random(in: 1...999_999_999)
    var bank = try TestBank()
    let network = phones > 0 ? try await ShortMessages(in: bank) : nil
    bank.moreChannels = network?.channels ?? []
    let places = Self.places.filter { network != nil || !Self.outbound.contains($0) }
    let exchange = try await Exchange(seed: seed)
    bank.moreChannels.append(exchange.wiring)
    try await exchange.seatAgents(in: bank.database)
    say("crash-test: seed \(seed), \(kills) kills, \(senders) senders, \(liaison), store in \(bank.directory)")
    let start = ContinuousClock.now
    let load = Senders(seed: seed)
    let calling = Task { await exchange.run() }  // Ended by `exchange.finish()` below.
    let posting = Task { await load.run(senders) }  // Ended by `load.finish()` below.
    let writing = Task { [phones] in await network?.run(phones) }  // By `network.finish()`.
    let world = World(load: load, network: network)
    var kinds: [String: Int] = [:]
    var slowestStart = Duration.zero
    var failure: String?
    do {
      var random = SplitMix(state: seed)
      for round in 0..<kills {
        let place = places[round % places.count]
        let began = ContinuousClock.now
        try await kill(at: place, bank, world, &random) { slowestStart = max(slowestStart, $0 - began) }
        kinds[place, default: 0] += 1
        if (round + 1) % 20 == 0 {
          let counts = load.counts
          say(
            "\(round + 1)/\(kills) kills, \(counts.acknowledged) acknowledged, \(counts.unanswered) unanswered, "
              + "\(seconds(.now - start)) s")
        }
      }
    } catch {
      failure = "round failed: \(error)"
    }

    // The last run: everybody ends, everything drains.
    let last = try bank.start(environment: Exchange.environment, program: liaison)
    world.serve(at: try await last.ready().public)
    load.finish()
    network?.finish()
    await posting.value
    await writing.value
    exchange.finish()
    await calling.value
    var options = Database.Options()
    options.readOnly = true
    let reading = try Database.open(
      StoreURL("sqlite://\(bank.database)"), migrations: migrations, options: options, now: Timestamp(seconds: 0))
    try await drained(reading, last)
    await reading.close()
    let stopping = ContinuousClock.now
    let exit = try await last.stop()
    let stopped = ContinuousClock.now - stopping

    let database = try Database.open(
      StoreURL("sqlite://\(bank.database)"), migrations: migrations, options: options, now: Timestamp(seconds: 0))
    let result = try await Comparison(of: load, with: database)
    let messages = try await network?.compare(with: database)
    let calls = try await CallComparison(with: database)
    await database.close()
    await network?.close()
    var failures = result.failures + (messages?.failures ?? []) + calls.failures
    if let failure { failures.insert(failure, at: 0) }
    if exit != .code(0) { failures.append("SIGTERM ended the daemon with \(exit)") }

    let counts = load.counts
    let ledger = result.ledger
    say(
      """
      kills        \(places.map { "\($0) \(kinds[$0] ?? 0)" }.joined(separator: ", "))
      posts        \(counts.posts): \(counts.acknowledged) acknowledged, \(counts.unanswered) unanswered, \
      \(counts.busy) told to wait; \(counts.repeated) sent again on purpose
      store        \(load.keys.count) keys, \(result.arrivals) arrivals, \(result.contacts) contacts, \
      \(result.requests) requests, \(result.events) events without a gap
      ledger       received \(ledger.reduce(0) { $0 + $1.received }) = stored \(ledger.reduce(0) { $0 + $1.stored }) \
      + duplicate \(ledger.reduce(0) { $0 + $1.duplicate }) + refused \(ledger.reduce(0) { $0 + $1.refused }); \
      stored = routed \(ledger.reduce(0) { $0 + $1.routed }) + quarantined \
      \(ledger.reduce(0) { $0 + $1.quarantined }) + in work \(ledger.reduce(0) { $0 + $1.inWork })
      \(messages?.summary ?? "no short messages")
      calls        \(exchange.callsMade) made; \(calls.contacts) contacts, \(calls.answered) answered, \
      \(calls.unseen) ended unseen; \(calls.pops) screen events
      time         \(seconds(.now - start)) s; slowest start \(seconds(slowestStart)) s; SIGTERM \(seconds(stopped)) s
      """)
    guard failures.isEmpty else {
      say("FAILED, seed \(seed), store kept in \(bank.directory):")
      for text in failures.prefix(50) { say("  \(text)") }
      if failures.count > 50 { say("  and \(failures.count - 50) more") }
      throw ExitCode(1)
    }
    say("nothing lost, nothing doubled, the ledger balances (seed \(seed))")
    if !keep { bank.remove() }
  }

  /// One life of the daemon, up to its death.
  private func kill(
    at place: String, _ bank: TestBank, _ world: World, _ random: inout SplitMix,
    whenReady: (ContinuousClock.Instant) -> Void
  ) async throws {
    defer { world.pause() }
    guard place == "random" else {
      let most: UInt64 = Self.outbound.contains(place) ? 20 : place.hasSuffix("commit") ? 60 : 120
      let daemon = try bank.start(
        environment: Exchange.environment.merging(
          ["LIAISON_CRASH_AT": "\(place):\(1 + random.next() % most)"]) { $1 }, program: liaison)
      do {
        world.serve(at: try await daemon.ready().public)
        whenReady(.now)
      } catch {
        // It may have died while it started: a commit of the start was the one.
        guard daemon.child.exit == .signal(SIGKILL) else { throw error }
      }
      let exit = try await daemon.child.ended(within: .seconds(30))
      guard exit == .signal(SIGKILL) else {
        throw ChildProcess.Failure(description: "at \(place) it ended with \(exit):\n\(daemon.child.tail)")
      }
      return
    }
    let daemon = try bank.start(environment: Exchange.environment, program: liaison)
    let isWhileStarting = random.next() % 4 == 0
    if isWhileStarting {
      try await Task.sleep(for: .microseconds(Int64(random.next() % 150_000)))
    } else {
      world.serve(at: try await daemon.ready().public)
      whenReady(.now)
      try await Task.sleep(for: .microseconds(Int64(random.next() % 600_000)))
    }
    daemon.child.send(SIGKILL)
    let exit = try await daemon.child.ended(within: .seconds(10))
    guard exit == .signal(SIGKILL) else {
      throw ChildProcess.Failure(description: "it ended by itself with \(exit):\n\(daemon.child.tail)")
    }
  }

  /// Returns once nothing is in work and everything has been shown.
  private func drained(_ database: Database, _ daemon: Liaison) async throws {
    let deadline = ContinuousClock.now + .seconds(120)
    while ContinuousClock.now < deadline {
      let left = try await database.read { connection in
        try connection.one(
          """
          SELECT (SELECT count(*) FROM arrival WHERE state = 'kept')
            + (SELECT count(*) FROM contact
                WHERE offered_at IS NULL AND direction = 'inbound' AND channel_kind <> 'telephony')
            + (SELECT count(*) FROM call_state WHERE is_open = 1) AS n
          """, []
        ).int("n") + ShortMessages.unsettledJobs(connection)
      }
      if left == 0 { return }
      try await Task.sleep(for: .milliseconds(50))
    }
    say("it did not drain within two minutes:\n\(daemon.child.tail)")
  }
}

/// Everybody who talks to the daemon.
private struct World: Sendable {
  var load: Senders
  var network: ShortMessages?
  func serve(at address: String) {
    load.serve(at: address)
    network?.serve(at: address)
  }
  func pause() {
    load.pause()
    network?.pause()
  }
}

private func seconds(_ duration: Duration) -> String {
  duration.formatted(.units(allowed: [.seconds], fractionalPart: .show(length: 2)))
    .split(separator: " ").first.map(String.init) ?? "\(duration)"
}

/// At once, also into a file.
private func say(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }
