/// Where one listener listens and what it bears. Every bound is a configuration key.
public struct ListenerConfiguration: Sendable {
  public enum Address: Sendable, Hashable {
    /// Port 0 takes a free one, told by `onBound`.
    case network(host: String, port: Int)
    /// `mode` is set on the socket's file: on the admin socket it is the authentication.
    case unixSocket(path: String, mode: UInt16)
  }
  /// `api`, `public`, `admin`: in logs and as a metric's label.
  public var name: String
  public var address: Address
  public var limits: ConnectionLimits
  /// Called on the event loop once the last byte of an answer has been handed to the socket; for the crash test.
  public var onAnswered: (@Sendable () -> Void)?

  public init(name: String, address: Address, limits: ConnectionLimits = ConnectionLimits()) {
    self.name = name
    self.address = address
    self.limits = limits
  }
}

/// What a client may take of a listener before it is cut off.
public struct ConnectionLimits: Sendable, Hashable {
  /// Beyond it new connections wait in the backlog.
  public var maximumConnections = 4_096
  /// Beyond it further connections from the same address are closed at once; nil behind a proxy, where all come from one.
  public var maximumConnectionsPerAddress: Int?
  /// A connection on which no request head has arrived for this long is closed.
  public var idleTimeout = Duration.seconds(60)
  /// From the head of a request to its last byte; then 408 and the connection is closed.
  public var requestTimeout = Duration.seconds(30)
  /// A client that takes nothing of an answer for this long is gone.
  public var writeTimeout = Duration.seconds(30)
  public var maximumHeaderBytes = 32_768
  public var maximumTargetBytes = 8_192
  /// How long open requests may go on after SIGTERM; then their connections are closed.
  public var drainTime = Duration.milliseconds(1_200)

  public init() {}
}
