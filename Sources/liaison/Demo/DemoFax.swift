import Channels
import Demo
import Foundation
import Logging
import NIOPosix

/// The demo's fax line: a stand-in HylaFAX server that takes what the bank sends, and customers who fax now and then.
struct DemoFax: DemoPeer {
  /// Where the channel's entry says its secret is.
  var environment: [String: String] { ["LIAISON_DEMO_FAX": "demo"] }
  private let server: StandInHylaFAX

  static func start() async throws -> DemoFax {
    DemoFax(
      server: try await StandInHylaFAX.start { Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1e6)) })
  }

  /// The entry of `channels`.
  var channel: String {
    """
      - kind: fax
        name: fax
        servers:
          - {name: standin, host: 127.0.0.1, port: \(server.port), user: liaison,
             password: {env: LIAISON_DEMO_FAX}, admin_password: {env: LIAISON_DEMO_FAX}}
        delete_received: yes
        receive_grace: 2s
        sender_name: 示范银行
        sender_number: "\(FaxTraffic.number)"
    """
  }

  var hint: (name: String, text: String) {
    ("Fax", "\(FaxTraffic.number) through a HylaFAX on 127.0.0.1:\(server.port)")
  }

  /// Serves the line and, unless `interval` is 0, sends a customer's fax each ten of its seconds. Until cancelled.
  func run(people: [DemoBank.Person], every interval: Int, _ logger: Logger) async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        do {
          try await server.run()
        } catch is CancellationError {
        } catch {
          logger.warning("The demo's fax line has ended.", metadata: ["fault.text": "\(error)"])
        }
      }
      if interval > 0 { group.addTask { await send(people, every: interval * 10, logger) } }
    }
  }

  private func send(_ people: [DemoBank.Person], every seconds: Int, _ logger: Logger) async {
    var traffic = FaxTraffic(people: people)
    while !Task.isCancelled {
      do { try await Task.sleep(for: .seconds(seconds / 4)) } catch { return }
      guard let letter = traffic.next() else { return }
      do {
        let now = Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1e6))
        let pages = try await NIOThreadPool.singleton.runIfActive { try FaxTraffic.pages(of: letter, at: now) }
        server.receive(pages, from: letter.caller, dialled: letter.dialled, error: letter.error)
      } catch {
        logger.warning("A demo fax could not be made.", metadata: ["fault.text": "\(error)"])
      }
      do { try await Task.sleep(for: .seconds(seconds - seconds / 4)) } catch { return }
    }
  }
}
