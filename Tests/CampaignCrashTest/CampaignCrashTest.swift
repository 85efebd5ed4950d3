import ArgumentParser
import Channels
import Foundation
import LiaisonForTests
import Store

/// `make crash-test`, third part: a campaign over e-mail, SMS and telephone while the daemon is killed with -9 again and
/// again.
///
/// The peers outlive it and take whatever comes. In the end every customer has one row and one job, nobody was reached
/// twice by whatever channel, whoever is said to have been reached was, and each job ends in a state that says what
/// happened: done, or nobody will know.
@main
struct CampaignCrashTest: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "campaign-crash-test",
    abstract: "Kill the daemon while a campaign runs over e-mail, SMS and telephone; nobody twice, nobody lost.")

  @Option(help: "How often it is killed.") var kills = 60
  @Option(help: "How many customers there are.") var customers = 1_200
  @Option(help: "Fixes the places and moments.") var seed: UInt64?
  @Option(help: "The program; also by the environment variable LIAISON.") var liaison = Liaison.program
  @Flag(help: "Keep the store.") var keep = false

  private static let places = [
    "before-commit", "after-commit", "random", "reserved", "handing", "submitted", "settled", "before-answer",
  ]

  func run() async throws {
    signal(SIGPIPE, SIG_IGN)
    let seed = seed ?? UInt64.random(in: 1...999_999_999)
    let bank = try TestBank()
    let peers = try await Peers(in: bank)
    say(
      "campaign-crash-test: seed \(seed), \(kills) kills, \(customers) customers, \(liaison), store in \(bank.directory)"
    )
    let start = ContinuousClock.now
    // The first life makes the store; what the bank has comes into it while nobody uses it.
    let first = try bank.start(peers.configuration, environment: peers.environment, program: liaison)
    _ = try await first.ready()
    guard try await first.stop() == .code(0) else { throw ExitCode(2) }
    let campaign = try await Customers.fill(bank, customers, perMinute: max(60, customers))
    var random = Moments(state: seed)
    var kinds: [String: Int] = [:]
    var failures: [String] = []
    for round in 0..<kills where failures.isEmpty {
      let place = Self.places[round % Self.places.count]
      do {
        try await life(bank, peers, endingAt: place, &random)
        kinds[place, default: 0] += 1
      } catch {
        failures.append("round \(round) at \(place): \(error)")
      }
      if (round + 1) % 20 == 0 { say("\(round + 1)/\(kills) kills, \(peers.summary)") }
    }
    let last = try bank.start(peers.configuration, environment: peers.environment, program: liaison)
    _ = try await last.ready()
    try await Outcomes.settled(bank, campaign, customers, last)
    let exit = try await last.stop()
    if exit != .code(0) { failures.append("SIGTERM ended the daemon with \(exit)") }
    let outcomes = try await Outcomes(of: bank, campaign, peers, customers: customers)
    failures += outcomes.failures
    await peers.close()
    say(
      """
      kills        \(Self.places.map { "\($0) \(kinds[$0] ?? 0)" }.joined(separator: ", "))
      peers        \(peers.summary)
      jobs         \(outcomes.summary)
      time         \((ContinuousClock.now - start).components.seconds) s
      """)
    guard failures.isEmpty else {
      say("FAILED, seed \(seed), store kept in \(bank.directory):")
      for text in failures.prefix(50) { say("  \(text)") }
      if failures.count > 50 { say("  and \(failures.count - 50) more") }
      throw ExitCode(1)
    }
    say("nobody reached twice, nobody lost, every job says what happened (seed \(seed))")
    if !keep { bank.remove() }
  }

  /// One life of the daemon, up to its death.
  private func life(_ bank: TestBank, _ peers: Peers, endingAt place: String, _ random: inout Moments) async throws {
    var environment = peers.environment
    if place != "random" {
      let most: UInt64 = place.hasSuffix("commit") ? 40 : 12
      environment["LIAISON_CRASH_AT"] = "\(place):\(1 + random.next() % most)"
    }
    let daemon = try bank.start(peers.configuration, environment: environment, program: liaison)
    if place == "random" {
      if random.next() % 4 != 0 { _ = try await daemon.ready() }
      try await Task.sleep(for: .microseconds(Int64(random.next() % 900_000)))
    } else if try await dies(daemon, within: .seconds(4)) {
      return
    }
    // It has not come there, or it is time.
    daemon.child.send(SIGKILL)
    let exit = try await daemon.child.ended(within: .seconds(10))
    guard exit == .signal(SIGKILL) else {
      throw ChildProcess.Failure(description: "it ended by itself with \(exit):\n\(daemon.child.tail)")
    }
  }

  private func dies(_ daemon: Liaison, within limit: Duration) async throws -> Bool {
    do {
      let exit = try await daemon.child.ended(within: limit)
      guard exit == .signal(SIGKILL) else {
        throw ChildProcess.Failure(description: "it ended by itself with \(exit):\n\(daemon.child.tail)")
      }
      return true
    } catch {
      if daemon.child.exit == nil { return false }
      throw error
    }
  }
}

/// SplitMix64.
struct Moments: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

/// At once, also into a file.
func say(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }
