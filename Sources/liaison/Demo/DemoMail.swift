import API
import Channels
import Demo
import Foundation
import Logging
import Synchronization

/// The demo's mail: a stand-in mail server on the loopback brings what customers write by LMTP, takes what the bank
/// sends, and lets the customers answer some of it.
struct DemoMail: DemoPeer {
  private let mta: StandInMTA
  private let deliveryPort: Int
  private let submissionPort: Int
  private let taken = AsyncStream.makeStream(of: StandInMTA.Taken.self, bufferingPolicy: .bufferingNewest(1_000))

  static let mailbox = "service@bank.example"

  static func start() throws -> DemoMail {
    let port = try freeLoopbackPort()
    let known = Set(DemoBank.customers(1_000).map(\.email))
    return DemoMail(
      mta: StandInMTA(port: port, now: systemTime) { known.contains($0) }, deliveryPort: try freeLoopbackPort(),
      submissionPort: port)
  }

  var environment: [String: String] { [:] }

  var hint: (name: String, text: String) { ("E-mail", "\(Self.mailbox); LMTP on 127.0.0.1:\(deliveryPort)") }

  /// The entry of `channels` for it.
  var channel: String {
    """
      - kind: email
        name: mail
        mailbox: \(Self.mailbox)
        display_name: 示范银行
        delivery: {listen: "127.0.0.1:\(deliveryPort)"}
        submission: {host: 127.0.0.1, port: \(submissionPort), tls: none, sessions: 2}
    """
  }

  /// The mail server, and a letter of a customer every `interval` seconds, until cancelled.
  func run(people: [DemoBank.Person], every interval: Int, _ logger: Logger) async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        do {
          try await mta.run { letter in
            taken.continuation.yield(letter)
            return .taken
          }
        } catch {
          logger.warning("The demo's mail server has ended.", metadata: ["fault.text": "\(error)"])
        }
      }
      group.addTask {
        var traffic = MailTraffic(people: people, mailbox: Self.mailbox)
        while !Task.isCancelled {
          do { try await Task.sleep(for: interval > 0 ? .seconds(interval) : .seconds(86_400)) } catch { break }
          await bring(traffic.next(at: systemTime()), logger)
        }
        mta.stop()
        taken.continuation.finish()
      }
      group.addTask {
        var traffic = MailTraffic(people: people, mailbox: Self.mailbox)
        for await letter in taken.stream {
          // Nobody answers at once.
          do { try await Task.sleep(for: .seconds(2)) } catch { return }
          do {
            if let answer = try await traffic.answer(to: letter, at: systemTime()) { await bring(answer, logger) }
          } catch {
            logger.warning("A demo customer could not read his mail.", metadata: ["fault.text": "\(error)"])
          }
        }
      }
    }
  }

  private func bring(_ letter: MailPeer.Letter, _ logger: Logger) async {
    do {
      let replies = try await MailPeer.deliver(letter, port: deliveryPort)
      for reply in replies where !reply.hasPrefix("250") {
        logger.warning("A demo mail was not taken.", metadata: ["answer": "\(reply)"])
      }
    } catch {
      logger.warning("A demo mail could not be delivered.", metadata: ["fault.text": "\(error)"])
    }
  }
}
