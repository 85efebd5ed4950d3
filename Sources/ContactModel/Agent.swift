import Channels

/// A member of staff who handles contacts.
public struct Agent: Hashable, Sendable, Codable {
  public enum State: String, Hashable, Sendable, Codable, CaseIterable {
    case offline, ready
    case notReady = "not_ready"
    case reserved, busy
    case wrapUp = "wrap_up"
  }
  public var id: AgentID
  public var name: String
  public var department: Code?
  /// The telephone device, for example `PJSIP/1001`; nil for agents without one.
  public var device: String?
  public var queues: [Code]
  public var state: State
  public var stateReason: String?
  public var stateSince: Timestamp
  /// What he asked for while he was busy; holds when the call, or the work after it, is over.
  public var nextState: State?
  public var nextReason: String?
  /// The end of his work after a call; nil outside it, and where nothing limits it.
  public var wrapUpUntil: Timestamp?
  /// Nil unless he logged in at his telephone.
  public var loggedInAt: Timestamp?
  /// Those of his queues in which he takes calls.
  public var loginQueues: [Code]
  public var version: Int

  public init(
    id: AgentID, name: String, department: Code? = nil, device: String? = nil, queues: [Code], state: State,
    stateReason: String? = nil, stateSince: Timestamp, nextState: State? = nil, nextReason: String? = nil,
    wrapUpUntil: Timestamp? = nil, loggedInAt: Timestamp? = nil, loginQueues: [Code] = [], version: Int = 1
  ) {
    self.id = id
    self.name = name
    self.department = department
    self.device = device
    self.queues = queues
    self.state = state
    self.stateReason = stateReason
    self.stateSince = stateSince
    self.nextState = nextState
    self.nextReason = nextReason
    self.wrapUpUntil = wrapUpUntil
    self.loggedInAt = loggedInAt
    self.loginQueues = loginQueues
    self.version = version
  }
}
