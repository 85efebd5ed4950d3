import Channels
import Logging
import Outbound
import Store
import Telephony

/// Telephone calls through the manager interfaces of one or several Asterisk servers.
struct TelephonyWiring: ChannelWiring {
  var servers: [TelephonyConfiguration.Server]
  var pingInterval: Duration
  var connectTimeout: Duration
  var actionTimeout: Duration
  var reconnectDelay: Duration
  var longestReconnectDelay: Duration
  var maximumBacklog: Int
  var maximumMessageBytes: Int
  var maximumHeaders: Int
  var dialPlans: AGIWiring?
  var dialling: DiallingWiring?
  var numbering: NumberPlan

  init(_ reader: ConfigurationReader) {
    numbering = reader.numberPlan()
    let numbering = numbering
    servers = reader.list("servers") { Self.server($0, numbering) }
    if servers.isEmpty { reader.problem(at: "servers", "a telephony channel needs at least one server") }
    let names = servers.map(\.name)
    for name in Set(names) where names.filter({ $0 == name }).count > 1 {
      reader.problem(at: "servers", "the name \(name) is used twice; calls are named by it")
    }
    pingInterval = reader.duration("ping_interval", default: .seconds(20))
    connectTimeout = reader.duration("connect_timeout", default: .seconds(5))
    actionTimeout = reader.duration("action_timeout", default: .seconds(10))
    reconnectDelay = reader.duration("reconnect_delay", default: .milliseconds(500))
    longestReconnectDelay = reader.duration("longest_reconnect_delay", default: .seconds(30))
    maximumBacklog = reader.integer("maximum_backlog", default: 50_000, in: 100...10_000_000)
    maximumMessageBytes = reader.integer("maximum_message_bytes", default: 262_144, in: 4_096...16_777_216)
    maximumHeaders = reader.integer("maximum_headers", default: 4_096, in: 64...65_536)
    dialPlans = reader.optionalSection("agi", AGIWiring.init)
    dialling = reader.optionalSection("dialling") { DiallingWiring($0, servers: names) }
  }

  private static func server(_ reader: ConfigurationReader, _ numbering: NumberPlan) -> TelephonyConfiguration.Server {
    let name = reader.string("name")
    if !name.isEmpty, !isName(name) {
      reader.problem(at: "name", "\(name) is no server name: 1 to 40 characters of a-z, 0-9 and -")
    }
    let tls = reader.optionalSection("tls") { tls in
      TelephonyConfiguration.TLS(
        trustRoots: tls.optionalString("trust_roots"), verifies: tls.bool("verify", default: true))
    }
    let port = reader.integer("port", default: tls == nil ? 5_038 : 5_039, in: 0...65_535)
    let credentials = AMISession.Credentials(
      username: reader.string("username"), secret: reader.secret("secret") ?? "",
      usesChallenge: reader.bool("challenge", default: true))
    // A secret that was given and could not be read has been told already.
    if credentials.secret.isEmpty, !reader.isGiven("secret") {
      reader.problem(at: "secret", "is required: { file: /path } or { env: NAME }")
    }
    let settings = AsteriskInterpreter.Settings(
      rules: ChannelName.Rules(trunks: reader.strings("trunks"), stations: reader.strings("stations")),
      customerVariable: reader.string("customer_variable", default: "CUSTOMER_NO"),
      dialledVariable: reader.string("dialled_variable", default: "LIAISON_DID"),
      keptVariables: reader.strings("kept_variables"), numbering: numbering)
    let filters = reader.strings("filters", default: TelephonyConfiguration.Server.unneeded)
    let dialPlan = reader.section("dial_plan") { plan in
      TelephonyConfiguration.DialPlan(
        outbound: plan.string("outbound", default: "outbound"),
        transfers: plan.string("transfers", default: "from-agents"),
        conference: plan.string("conference", default: "liaison-conference"),
        hold: plan.string("hold", default: "liaison-hold"))
    }
    return TelephonyConfiguration.Server(
      name: name, host: reader.string("host"), port: port, tls: tls, credentials: credentials, settings: settings,
      filters: filters, dialPlan: dialPlan)
  }

  private static func isName(_ name: String) -> Bool {
    (1...40).contains(name.utf8.count)
      && name.utf8.allSatisfy { (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d }
  }

  func wire(_ name: String, with house: House) -> WiredChannel {
    let configuration = TelephonyConfiguration(
      channel: name, servers: servers, pingInterval: pingInterval, connectTimeout: connectTimeout,
      actionTimeout: actionTimeout, reconnectDelay: reconnectDelay, longestReconnectDelay: longestReconnectDelay,
      maximumBacklog: maximumBacklog,
      limits: AMIDecoder.Limits(messageBytes: maximumMessageBytes, headers: maximumHeaders))
    let (database, logger) = (house.database, house.logger)
    let adapter = TelephonyAdapter(
      configuration: configuration, group: house.group, logger: logger,
      agi: dialPlans?.listener(for: name, numbering: numbering, with: house),
      known: { server in
        while true {
          do {
            return try await database.read(.live) { try $0.openCalls(on: server) }
          } catch {
            logger.error(
              "The calls known before could not be read; asked again.",
              metadata: ["telephony.server": "\(server)", "fault.text": "\(error)"])
            // Without them a call that ended meanwhile would stay open for ever.
            do { try await Task.sleep(for: .seconds(1)) } catch { return [] }
          }
        }
      })
    let line = dialling.map { $0.line(through: adapter) }
    return WiredChannel(
      adapter: adapter, outbound: [line?.link].compactMap(\.self), callControl: adapter, dialLine: line)
  }
}
