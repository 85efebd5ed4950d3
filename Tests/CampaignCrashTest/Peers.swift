import Channels
import Demo
import Foundation
import LiaisonForTests
import SMS
import Synchronization

/// Everybody the campaign reaches customers through: a mail server, a short message centre and an exchange, which take
/// whatever comes and remember it. They outlive every daemon.
final class Peers: Sendable {
  private let bank: TestBank
  private let mta: StandInMTA
  private let smsc: StandInSMSC
  private let exchange = AsteriskStandIn(programme: .recordings([]))
  private let taking: Task<Void, Never>
  private let serving: Task<Void, any Error>
  private let ports: (smtp: Int, smsc: Int, exchange: Int, lmtp: Int)
  private let mails: Tally
  private let texts: Tally

  /// How often a peer took something, by where it went.
  private final class Tally: Sendable {
    private let taken = Mutex<[String: Int]>([:])
    func note(_ recipients: [String]) {
      taken.withLock { for one in recipients { $0[one, default: 0] += 1 } }
    }
    var counts: [String: Int] { taken.withLock { $0 } }
  }

  init(in bank: TestBank) async throws {
    self.bank = bank
    let smtp = try freePort()
    let mta = StandInMTA(
      port: smtp, now: { Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1e6)) })
    self.mta = mta
    let (mails, texts) = (Tally(), Tally())
    self.mails = mails
    self.texts = texts
    smsc = StandInSMSC(.init(reportsAfter: .milliseconds(30))) { submitted in
      texts.note([String(submitted.message.destination.digits.suffix(11))])
    }
    // Ended by `close`.
    taking = Task {
      do {
        try await mta.run { letter in
          mails.note(letter.recipients)
          return .taken
        }
      } catch {
        say("the stand-in mail server failed: \(error)")
      }
    }
    let (bound, binding) = AsyncStream<Int>.makeStream()
    // Customers who are called answer at once and hang up soon.
    _ = StandInSwitchboard(exchange, talk: .milliseconds(30))
    // Ended by `close`.
    serving = Task { [exchange] in try await exchange.run { binding.yield($0) } }
    ports = (
      smtp: smtp, smsc: try await smsc.start(), exchange: await bound.first { _ in true } ?? 0, lmtp: try freePort()
    )
    try "p".write(toFile: bank.directory + "/smsc-password", atomically: true, encoding: .utf8)
  }

  var environment: [String: String] { ["CRASH_TEST_SWITCH": exchange.secret] }

  var configuration: String {
    get throws {
      bank.configuration.replacing(
        TestBank.shippedParameters, with: try bank.parametersOfABankThatNeverSleeps())
          + """
            - kind: email
              name: mail
              mailbox: service@bank.example
              delivery: {listen: "127.0.0.1:\(ports.lmtp)"}
              submission: {host: 127.0.0.1, port: \(ports.smtp), tls: none, sessions: 2, batch: 5}
            - kind: sms
              name: texts
              doubt_memory: 10s
              links:
                - {name: smsc, protocol: smpp, host: 127.0.0.1, port: \(ports.smsc), system_id: l, reconnect_delay: 50ms,
                   password: {file: \(bank.directory)/smsc-password}, sender: "95588", reconnect_delay_maximum: 200ms}
            - kind: telephony
              name: calls
              reconnect_delay: 20ms
              longest_reconnect_delay: 50ms
              servers:
                - {name: pbx, host: 127.0.0.1, port: \(ports.exchange), username: liaison,
                   secret: {env: CRASH_TEST_SWITCH}}
              dialling: {result_within: 50ms, doubt_memory: 10s}

          """
    }
  }

  /// How often each number was called.
  var calls: [String: Int] {
    exchange.orders.filter { $0["Action"] == "Originate" }.reduce(into: [:]) { $0[$1["Exten"] ?? "?", default: 0] += 1 }
  }
  /// Everything that was taken, by where it went.
  var taken: (mails: [String: Int], texts: [String: Int], calls: [String: Int]) {
    (mails.counts, texts.counts, calls)
  }

  var summary: String {
    let taken = taken
    return "\(taken.mails.count) mails, \(taken.texts.count) texts, \(taken.calls.count) calls taken"
  }

  func close() async {
    mta.stop()
    await taking.value
    await smsc.stop()
    serving.cancel()
  }
}
