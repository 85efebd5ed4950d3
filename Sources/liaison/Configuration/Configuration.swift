import Channels

/// The wiring of one daemon, as read from YAML and the environment. Every key is described in config/README.md.
struct Configuration: Sendable {
  var file: String
  var store: StoreWiring
  var api: ListenerWiring
  var publicListener: ListenerWiring
  var admin: AdminWiring
  var log: LogWiring
  var access: AccessWiring
  /// Webhooks may reach addresses of the bank's own network.
  var webhooksMayBeInternal: Bool
  var intake: IntakeWiring
  var preferences: PreferenceWiring
  /// Where the secret of reference numbers, submission tokens and cursors is; made there at the first start.
  var secretFile: String
  var parameterDirectory: String
  var channels: [Channel]

  struct StoreWiring: Sendable {
    var url: String
    var bodyDirectory: String
    var readers: Int
  }
  struct TLSWiring: Sendable {
    var chain: String
    var key: String
    var clientAuthorities: String?
    var clientCertificates: String
  }
  struct ListenerWiring: Sendable {
    var listen: ListenAddress
    var tls: TLSWiring?
    var maximumConnections: Int
    var maximumConnectionsPerAddress: Int?
    var requestTimeout: Duration
    var idleTimeout: Duration
    /// Requests a client may make in a minute; nil: unlimited.
    var requestsPerMinute: Int?
  }
  struct AdminWiring: Sendable {
    var socket: String
  }
  struct LogWiring: Sendable {
    var level: String
    var format: String
  }
  struct PreferenceWiring: Sendable {
    /// The public listener as customers reach it, without a slash at the end; nil: no links are sent.
    var pageBase: String?
    var bankNameZh: String
    var bankNameEn: String
    var linkDays: Int
  }
  struct IntakeWiring: Sendable {
    var lateAfter: Duration
    var lanes: Int
    var automaticPerHour: Int
  }

  /// One entry of `channels`.
  struct Channel: Sendable {
    var name: String
    var wiring: any ChannelWiring
  }

  /// Reads a configuration; throws `ConfigurationProblems` with everything that is wrong.
  static func read(
    _ yaml: String, file: String, environment: [String: String]
  ) throws -> (configuration: Configuration, knownPaths: Set<String>) {
    let root = ConfigurationReader(yaml: yaml, file: file, environment: environment)
    let configuration = Configuration(
      file: file,
      store: root.section("store") { reader in
        StoreWiring(
          url: reader.string("url"), bodyDirectory: reader.string("bodies"),
          readers: reader.integer("readers", default: 4, in: 1...64))
      },
      api: root.section("api") {
        listener($0, default: ListenAddress(host: "127.0.0.1", port: 8080), perMinute: 6_000)
      },
      publicListener: root.section("public") {
        listener($0, default: ListenAddress(host: "127.0.0.1", port: 8081), perMinute: nil)
      },
      admin: root.section("admin") { AdminWiring(socket: $0.string("socket")) },
      log: root.section("log") { reader in
        LogWiring(
          level: reader.string(
            "level", default: "info", allowed: ["trace", "debug", "info", "notice", "warning", "error"]),
          format: reader.string("format", default: "text", allowed: ["text", "json"]))
      },
      access: root.section("access", AccessWiring.init),
      webhooksMayBeInternal: root.section("webhooks") { $0.bool("allow_internal", default: false) },
      intake: root.section("intake") { reader in
        IntakeWiring(
          lateAfter: reader.duration("late_after", default: .seconds(300)),
          lanes: reader.integer("lanes", default: 64, in: 1...1_024),
          automaticPerHour: reader.integer("automatic_per_hour", default: 20, in: 0...1_000_000))
      },
      preferences: root.section("preferences") { reader in
        PreferenceWiring(
          pageBase: reader.optionalString("page_base"),
          bankNameZh: reader.string("bank_name_zh", default: "客户服务"),
          bankNameEn: reader.string("bank_name_en", default: "Customer service"),
          linkDays: reader.integer("link_days", default: 400, in: 1...4_000))
      },
      secretFile: root.string("secret_file"),
      parameterDirectory: root.string("parameters"),
      channels: root.list("channels", channel))
    let names = configuration.channels.map(\.name)
    for name in Set(names) where names.filter({ $0 == name }).count > 1 {
      root.problem(at: "channels", "the name \(name) is used twice; it is the scope of wire keys and of the ledger")
    }
    try root.finish()
    return (configuration, root.context.knownPaths)
  }

  private static func listener(
    _ reader: ConfigurationReader, default address: ListenAddress, perMinute: Int?
  ) -> ListenerWiring {
    let perAddress = reader.integer("maximum_connections_per_address", default: 0, in: 0...100_000)
    let requests = reader.integer("requests_per_minute", default: perMinute ?? 0, in: 0...10_000_000)
    return ListenerWiring(
      listen: reader.listener("listen", default: address),
      tls: reader.optionalSection("tls") { tls in
        TLSWiring(
          chain: tls.string("chain"), key: tls.string("key"),
          clientAuthorities: tls.optionalString("client_authorities"),
          clientCertificates: tls.string(
            "client_certificates", default: "none", allowed: ["none", "optional", "required"]))
      },
      maximumConnections: reader.integer("maximum_connections", default: 12_000, in: 1...1_000_000),
      maximumConnectionsPerAddress: perAddress == 0 ? nil : perAddress,
      requestTimeout: reader.duration("request_timeout", default: .seconds(30)),
      idleTimeout: reader.duration("idle_timeout", default: .seconds(60)),
      requestsPerMinute: requests == 0 ? nil : requests)
  }

  private static func channel(_ reader: ConfigurationReader) -> Channel? {
    let kind = reader.string("kind", allowed: ChannelKinds.names)
    let name = reader.string("name")
    if !name.isEmpty, !isChannelName(name) {
      reader.problem(at: "name", "\(name) is no channel name: 1 to 40 characters of a-z, 0-9 and -")
    }
    return ChannelKinds.read(kind, reader).map { Channel(name: name, wiring: $0) }
  }

  private static func isChannelName(_ name: String) -> Bool {
    (1...40).contains(name.utf8.count)
      && name.utf8.allSatisfy { (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d }
  }
}
