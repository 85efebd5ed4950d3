import Channels

/// One HylaFAX server, as configured.
public struct FaxServer: Hashable, Sendable {
  /// Unique among the servers of one adapter, `[a-z0-9-]`: part of peer ids and wire keys.
  public var name: String
  public var host: String
  public var port: Int
  public var account: Login.Account
  /// Modem or modem group for outbound faxes; nil for any.
  public var modem: String?
  public var timeouts = Timeouts()

  public init(name: String, host: String, port: Int = 4_559, account: Login.Account, modem: String? = nil) {
    self.name = name
    self.host = host
    self.port = port
    self.account = account
    self.modem = modem
  }

  public struct Timeouts: Hashable, Sendable {
    public var connect = Duration.seconds(10)
    public var reply = Duration.seconds(30)
    /// Of a whole upload or download.
    public var transfer = Duration.seconds(120)
    /// JKILL of a running job answers only when its call has ended (specs/fax.md trap 7).
    public var kill = Duration.seconds(180)
    public init() {}
  }
}
