import Channels
import Demo
import Logging
import SMS

/// The demo's mobile network: an SMSC on the loopback that takes what the bank sends, reports it delivered, and brings
/// what customers write.
struct DemoSMS: DemoPeer {
  private let smsc: StandInSMSC
  private let port: Int

  static func start() async throws -> DemoSMS {
    let smsc = StandInSMSC(.init(password: Self.password))
    do {
      return DemoSMS(smsc: smsc, port: try await smsc.start())
    } catch {
      throw DaemonError.unavailable("the demo's SMSC cannot listen: \(error)")
    }
  }

  private static let password = "demo"
  /// What the configuration reads its secrets from.
  var environment: [String: String] { ["LIAISON_DEMO_SMSC_PASSWORD": Self.password] }

  /// The entry of `channels` for it.
  var channel: String {
    """
      - kind: sms
        name: sms
        commands: {YE: statement, 余额: statement}
        links:
          - name: stand-in
            protocol: smpp
            host: 127.0.0.1
            port: \(port)
            system_id: liaison
            password: {env: LIAISON_DEMO_SMSC_PASSWORD}
            signature: 示范银行
            sender: "95588"
    """
  }

  var hint: (name: String, text: String) { ("SMS", "customers write to 95588 through an SMSC on 127.0.0.1:\(port)") }

  /// The SMSC stays as long as the process: the bank
  /// says goodbye to it first.
  func run(people: [DemoBank.Person], every interval: Int, _ logger: Logger) async {
    var traffic = ShortMessageTraffic(people: people)
    while interval > 0, !Task.isCancelled {
      do { try await Task.sleep(for: .seconds(interval)) } catch { return }
      let message = traffic.next()
      await withDiscardingTaskGroup { group in
        // Together: a part is answered only when its message is whole and stored.
        for part in message.parts {
          group.addTask {
            let answer = await smsc.deliver(
              from: message.from, to: "95588", text: part.text, concatenation: part.concatenation)
            if answer != .ok {
              logger.warning(
                "A demo message was not taken.", metadata: ["answer": "\(answer.map(\.name) ?? "nobody is bound")"])
            }
          }
        }
      }
    }
  }
}
