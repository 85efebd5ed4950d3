/// Bounds and timers of one session; each is a configuration key.
public struct LinkSettings: Hashable, Sendable {
  /// Submits without answer at a time, 1 to 10,000.
  public var window: Int
  /// Parts that wait for a place in the window; beyond it a submission is deferred.
  public var queueLimit: Int
  /// Inbound PDUs offered and not decided; beyond it the peer is told to come again.
  public var inboundLimit: Int
  /// After this a submit without answer is in doubt.
  public var responseTimeout: Duration
  /// A part that waits longer for the window or for a throttling peer was not sent.
  public var queueTimeout: Duration
  public var loginTimeout: Duration
  /// Silence after which the peer is asked whether it lives (enquire_link, CMPP_ACTIVE_TEST).
  public var keepaliveInterval: Duration
  public var keepaliveTimeout: Duration
  /// How long a peer that said it is full is left alone; doubles up to the maximum.
  public var throttlePause: Duration
  public var throttlePauseMaximum: Duration
  public var reconnectDelay: Duration
  public var reconnectDelayMaximum: Duration
  /// At least this long after a refused login: no storm of wrong passwords.
  public var refusedLoginDelay: Duration
  /// What an orderly end may take.
  public var drainTimeout: Duration
  /// So long after a session began, what comes may be a repeat of what was brought before and whose answer was lost.
  public var repeatWindow: Duration
  /// Largest PDU taken, in octets.
  public var maximumPDU: Int

  public init(
    window: Int = 50, queueLimit: Int = 2_000, inboundLimit: Int = 1_000, responseTimeout: Duration = .seconds(30),
    queueTimeout: Duration = .seconds(30), loginTimeout: Duration = .seconds(10),
    keepaliveInterval: Duration = .seconds(30), keepaliveTimeout: Duration = .seconds(10),
    throttlePause: Duration = .milliseconds(500), throttlePauseMaximum: Duration = .seconds(10),
    reconnectDelay: Duration = .seconds(1), reconnectDelayMaximum: Duration = .seconds(60),
    refusedLoginDelay: Duration = .seconds(60), drainTimeout: Duration = .seconds(10),
    repeatWindow: Duration = .seconds(600),
    maximumPDU: Int = FrameSplitter.defaultMaximum
  ) {
    self.window = max(1, min(window, 10_000))
    self.queueLimit = max(1, queueLimit)
    self.inboundLimit = max(1, inboundLimit)
    self.responseTimeout = responseTimeout
    self.queueTimeout = queueTimeout
    self.loginTimeout = loginTimeout
    self.keepaliveInterval = keepaliveInterval
    self.keepaliveTimeout = keepaliveTimeout
    self.throttlePause = throttlePause
    self.throttlePauseMaximum = throttlePauseMaximum
    self.reconnectDelay = reconnectDelay
    self.reconnectDelayMaximum = reconnectDelayMaximum
    self.refusedLoginDelay = refusedLoginDelay
    self.drainTimeout = drainTimeout
    self.repeatWindow = repeatWindow
    self.maximumPDU = maximumPDU
  }
}

/// How long to wait before the next attempt to connect: doubling from the base to the bound, spread by chance so that
/// many links do not come back in step. Pure: the chance is an argument.
struct ReconnectPolicy: Sendable {
  private let settings: LinkSettings
  private var failures = 0

  init(_ settings: LinkSettings) { self.settings = settings }

  mutating func succeeded() { failures = 0 }

  /// `chance` from 0 to 1. A refused login waits at least its own delay; a session that still counts (0x05) ends by
  /// itself, so that it waits like any other.
  mutating func delay(refusedLogin: Bool, chance: Double) -> Duration {
    let doubled = settings.reconnectDelay * Int(1 << min(failures, 16))
    failures += 1
    let bounded = min(doubled, settings.reconnectDelayMaximum)
    let base = refusedLogin ? max(bounded, settings.refusedLoginDelay) : bounded
    return base * (0.75 + 0.5 * max(0, min(chance, 1)))
  }
}
