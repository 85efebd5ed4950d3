/// What a switch says of one agent's place in one of its queues: the other payload of telephony.
///
/// A switch tells it once per queue of the agent. Told when it changed, and once each after a reconnection.
public struct AgentPresence: Hashable, Sendable, Codable {
  public enum State: String, Hashable, Sendable, Codable, CaseIterable {
    case available, ringing, busy
    case onHold = "on_hold"
    /// The telephone is not registered, or unknown to the switch.
    case unavailable
  }
  public var server: String
  /// The agent's device (`PJSIP/1001`), whatever way the queue calls it.
  public var device: String
  /// How the queue calls it, where that is another name (`Local/2001@agents/n`); else the same.
  public var member: String
  public var name: String?
  public var queue: String
  /// False when the agent has been taken out of the queue.
  public var isMember: Bool
  public var state: State
  public var isPaused: Bool
  /// As it was given with the pause; nil if none.
  public var pauseReason: String?
  /// In a call of this queue now.
  public var isInCall: Bool
  public var at: Timestamp

  public init(
    server: String, device: String, member: String, name: String?, queue: String, isMember: Bool, state: State,
    isPaused: Bool, pauseReason: String?, isInCall: Bool, at: Timestamp
  ) {
    self.server = server
    self.device = device
    self.member = member
    self.name = name
    self.queue = queue
    self.isMember = isMember
    self.state = state
    self.isPaused = isPaused
    self.pauseReason = pauseReason
    self.isInCall = isInCall
    self.at = at
  }
}
