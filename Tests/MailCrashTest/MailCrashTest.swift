import ArgumentParser
import Channels
import Foundation
import LiaisonForTests
import Store

/// `make crash-test`, second part: mail in by LMTP and out by SMTP while the daemon is killed with -9 again and again.
///
/// In: a mail that was told 250 is there once, as one contact of one request, whatever the server had to bring again.
/// Out: no address gets a mail twice; a job ends as sent, and then the server has its mail, or in doubt, where the
/// daemon died between the first byte and the answer. Nothing is sent that is not known here.
@main
struct MailCrashTest: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mail-crash-test", abstract: "Kill the daemon while mail goes in and out; nothing lost or doubled.")

  @Option(help: "How often it is killed.") var kills = 100
  @Option(help: "How many deliver, and how many let mail be sent.") var senders = 6
  @Option(help: "Fixes the places and moments.") var seed: UInt64?
  @Option(help: "The program; also by the environment variable LIAISON.") var liaison = Liaison.program
  @Flag(help: "Keep the store.") var keep = false
  @Option(help: "The mail server drops every nth mail after its final dot; 0: none.") var dropping = 0
  @Option(help: "How many fax jobs are cut off; root and HylaFAX are needed.")
  var fax = HylaFAXPeer.missing == nil ? 12 : 0

  private static let places = [
    "before-commit", "after-commit", "before-answer", "random", "reserved", "handing", "submitted", "settled",
  ]

  func run() async throws {
    signal(SIGPIPE, SIG_IGN)
    let seed = seed ?? UInt64.random(in: 1...999_999_999)
    let bank = try TestBank()
    let post = try PostOffice(in: bank, dropping: dropping)
    say("mail-crash-test: seed \(seed), \(kills) kills, store in \(bank.directory)")
    let start = ContinuousClock.now
    let running = Task { [senders] in await post.run(senders) }  // Ended by `finish` below.
    var random = Moments(state: seed)
    var kinds: [String: Int] = [:]
    var failures: [String] = []
    for round in 0..<kills where failures.isEmpty {
      let place = Self.places[round % Self.places.count]
      do {
        try await life(bank, post, endingAt: place, &random)
        kinds[place, default: 0] += 1
      } catch {
        failures.append("round \(round) at \(place): \(error)")
      }
    }
    let last = try bank.start(post.configuration, program: liaison)
    _ = try await last.ready()
    post.serve()
    post.finish()
    await running.value
    try await drained(bank, last)
    let exit = try await last.stop()
    if exit != .code(0) { failures.append("SIGTERM ended the daemon with \(exit)") }
    var options = Database.Options()
    options.readOnly = true
    let database = try Database.open(
      StoreURL("sqlite://\(bank.database)"), migrations: migrations, options: options, now: Timestamp(seconds: 0))
    let result = try await post.compare(with: database)
    await database.close()
    await post.close()
    failures += result.failures
    var faxes = "fax          left out"
    if fax > 0 {
      let faxCrash = try FaxCrash(kills: fax, program: liaison)
      let ended = try await faxCrash.run(&random)
      failures += ended.failures
      faxes = ended.summary
      if ended.failures.isEmpty { faxCrash.bank.remove() }
    }
    say(
      """
      kills        \(Self.places.map { "\($0) \(kinds[$0] ?? 0)" }.joined(separator: ", "))
      \(result.summary)
      \(faxes)
      time         \((ContinuousClock.now - start).components.seconds) s
      """)
    guard failures.isEmpty else {
      say("FAILED, seed \(seed), store kept in \(bank.directory):")
      for text in failures.prefix(50) { say("  \(text)") }
      throw ExitCode(1)
    }
    say("no mail lost, none doubled, the ledger balances (seed \(seed))")
    if !keep { bank.remove() }
  }

  private func life(
    _ bank: TestBank, _ post: PostOffice, endingAt place: String, _ random: inout Moments
  ) async throws {
    defer { post.pause() }
    let isRandom = place == "random"
    let most: UInt64 = ["reserved", "handing", "submitted", "settled"].contains(place) ? 20 : 60
    let environment = isRandom ? [:] : ["LIAISON_CRASH_AT": "\(place):\(1 + random.next() % most)"]
    let daemon = try bank.start(post.configuration, environment: environment, program: liaison)
    do {
      _ = try await daemon.ready()
      post.serve()
    } catch {
      // It may have died while it started: a commit of the start was the one.
      guard daemon.child.exit == .signal(SIGKILL) else { throw error }
    }
    if isRandom {
      try await Task.sleep(for: .microseconds(Int64(random.next() % 600_000)))
      daemon.child.send(SIGKILL)
    }
    let exit = try await daemon.child.ended(within: .seconds(60))
    guard exit == .signal(SIGKILL) else {
      throw ChildProcess.Failure(description: "it ended with \(exit):\n\(daemon.child.tail)")
    }
  }

  /// Returns once nothing is in work and no job waits or is under way.
  private func drained(_ bank: TestBank, _ daemon: Liaison) async throws {
    var options = Database.Options()
    options.readOnly = true
    let database = try Database.open(
      StoreURL("sqlite://\(bank.database)"), migrations: migrations, options: options, now: Timestamp(seconds: 0))
    let deadline = ContinuousClock.now + .seconds(120)
    while ContinuousClock.now < deadline {
      let left = try await database.read { connection in
        try connection.one(
          """
          SELECT (SELECT count(*) FROM arrival WHERE state = 'kept')
            + (SELECT count(*) FROM proactive_job WHERE state = 'planned')
            + (SELECT count(*) FROM attempt WHERE state IN ('reserved', 'handing')) AS n
          """, []
        ).int("n")
      }
      if left == 0 { break }
      try await Task.sleep(for: .milliseconds(50))
    }
    await database.close()
  }
}

/// A generator whose sequence its seed fixes (Vigna, "SplitMix64").
struct Moments: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z >> 31
  }
}

/// At once, also into a file.
private func say(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }
