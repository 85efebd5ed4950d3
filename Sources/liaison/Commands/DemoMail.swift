import Channels
import Demo
import Foundation
import Logging
import Synchronization

/// The demo's mail: a stand-in mail server on the loopback brings what customers write by LMTP, takes what the bank
/// sends, and lets the customers answer some of it.
struct DemoMail: Sendable {
  private let mta: StandInMTA
  private let deliveryPort: Int
  private let submissionPort: Int
  private let people: [DemoBank.Person]
  private let now: @Sendable () -> Timestamp
  private let taken = AsyncStream.makeStream(of: StandInMTA.Taken.self, bufferingPolicy: .bufferingNewest(1_000))

  static let mailbox = "service@bank.example"

  init(people: [DemoBank.Person], now: @escaping @Sendable () -> Timestamp) throws {
    self.people = people
    self.now = now
    deliveryPort = try Self.freePort()
    submissionPort = try Self.freePort()
    let known = Set(people.map(\.email))
    mta = StandInMTA(port: submissionPort, now: now) { known.contains($0) }
  }

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
  func run(every interval: Int, _ logger: Logger) async {
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
          do { try await Task.sleep(for: .seconds(interval)) } catch { break }
          await bring(traffic.next(at: now()), logger)
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
            if let answer = try await traffic.answer(to: letter, at: now()) { await bring(answer, logger) }
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

  /// One that is free now; whoever takes it before us makes the demo say so.
  private static func freePort() throws -> Int {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isBound = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
      }
    }
    guard isBound else { throw DaemonError.unavailable("the demo's mail server finds no free port") }
    return Int(UInt16(bigEndian: address.sin_port))
  }
}
