import Channels

/// One or several Asterisk servers as one channel.
public struct TelephonyConfiguration: Sendable {
  public struct Server: Sendable {
    /// Names it in calls and commands; `[a-z0-9-]{1,40}`.
    public var name: String
    public var host: String
    public var port: Int
    public var tls: TLS?
    public var credentials: AMISession.Credentials
    public var settings: AsteriskInterpreter.Settings
    /// Events the server shall not send (`Filter`, MatchCriteria; Asterisk ≥ 22.1, older ones refuse and are left be).
    public var filters: [String]
    public var dialPlan: DialPlan

    public init(
      name: String, host: String, port: Int = 5_038, tls: TLS? = nil, credentials: AMISession.Credentials,
      settings: AsteriskInterpreter.Settings = .init(), filters: [String] = Server.unneeded,
      dialPlan: DialPlan = DialPlan()
    ) {
      self.name = name
      self.host = host
      self.port = port
      self.tls = tls
      self.credentials = credentials
      self.settings = settings
      self.filters = filters
      self.dialPlan = dialPlan
    }

    /// What makes most of the traffic and says nothing here.
    public static let unneeded = [
      "Newexten", "RTCPSent", "RTCPReceived", "Cdr", "CEL", "DTMFBegin", "DTMFEnd", "DeviceStateChange",
      "MusicOnHoldStart", "MusicOnHoldStop",
    ].map { "action(exclude),name(\($0))" }
  }

  public struct TLS: Sendable {
    /// PEM file of the authorities trusted; nil: the system's.
    public var trustRoots: String?
    /// False accepts any certificate: for a laboratory only.
    public var verifies: Bool
    public init(trustRoots: String? = nil, verifies: Bool = true) {
      self.trustRoots = trustRoots
      self.verifies = verifies
    }
  }

  /// Where in the dial plan commands send channels. README.md has the dial plan that fits.
  public struct DialPlan: Sendable, Hashable {
    /// Calls numbers out, from an agent's channel.
    public var outbound: String
    /// Reaches the numbers of transfers.
    public var transfers: String
    /// `conference,NAME`: joins the conference NAME.
    public var conference: String
    /// `hold` plays music, `wait` waits in silence.
    public var hold: String
    public init(
      outbound: String = "outbound", transfers: String = "from-agents", conference: String = "liaison-conference",
      hold: String = "liaison-hold"
    ) {
      self.outbound = outbound
      self.transfers = transfers
      self.conference = conference
      self.hold = hold
    }
  }

  public var channel: String
  public var servers: [Server]
  public var pingInterval: Duration
  public var connectTimeout: Duration
  /// How long an action may go unanswered.
  public var actionTimeout: Duration
  public var reconnectDelay: Duration
  public var longestReconnectDelay: Duration
  /// Updates that wait for Intake; when more do, the connection is given up and the state listed anew afterwards.
  public var maximumBacklog: Int
  public var limits: AMIDecoder.Limits

  public init(
    channel: String = "telephony", servers: [Server], pingInterval: Duration = .seconds(20),
    connectTimeout: Duration = .seconds(5), actionTimeout: Duration = .seconds(10),
    reconnectDelay: Duration = .milliseconds(500), longestReconnectDelay: Duration = .seconds(30),
    maximumBacklog: Int = 50_000, limits: AMIDecoder.Limits = .init()
  ) {
    self.channel = channel
    self.servers = servers
    self.pingInterval = pingInterval
    self.connectTimeout = connectTimeout
    self.actionTimeout = actionTimeout
    self.reconnectDelay = reconnectDelay
    self.longestReconnectDelay = longestReconnectDelay
    self.maximumBacklog = maximumBacklog
    self.limits = limits
  }
}
