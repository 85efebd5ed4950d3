import Channels
import Demo
import Logging
import SMS

/// The demo's mobile network: an SMSC on the loopback that takes what the bank sends, reports it delivered, and brings
/// what customers write.
struct DemoSMS: Sendable {
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
  static let environment = ["LIAISON_DEMO_SMSC_PASSWORD": password]

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

  /// A message of a customer every `interval` seconds, until cancelled. The SMSC stays as long as the process: the bank
  /// says goodbye to it first.
  func bringMessages(of people: [DemoBank.Person], every interval: Int, _ logger: Logger) async {
    var traffic = ShortMessageTraffic(people: people)
    while !Task.isCancelled {
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
