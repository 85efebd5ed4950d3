import Channels

/// 联系: one interaction on one channel, in either direction. Immutable once closed.
public struct Contact: Hashable, Sendable, Codable {
  public enum Direction: String, Hashable, Sendable, Codable, CaseIterable {
    /// A service request: the customer began it.
    case inbound
    /// Proactive service: the bank began it.
    case outbound
  }
  public enum State: String, Hashable, Sendable, Codable, CaseIterable {
    case open, closed
  }
  /// How it began.
  public enum Initiation: String, Hashable, Sendable, Codable, CaseIterable {
    case inbound, outbound, transfer
    case queueTransfer = "queue_transfer"
    case callBack = "call_back"
    case api
  }

  public var id: ContactID
  public var customerNo: CustomerNumber?
  public var channel: ContactChannel
  public var direction: Direction
  public var initiation: Initiation
  public var state: State
  public var from: Address?
  public var to: Address?
  public var language: String?
  public var summary: String
  public var content: String
  public var category: Code?
  public var queue: Code?
  public var agent: AgentID?
  /// 是否已致电: the customer has been spoken to or answered.
  public var answered: Bool
  public var disposition: String?
  public var endedBy: String?
  public var wrapUpCode: String?
  public var identity: IdentityTie
  public var chain: Chain
  /// The provider's own id: Linkedid, Message-ID, SMS id, fax job.
  public var providerID: String?
  public var arrival: ArrivalID?
  /// Taken in long after it was received, because Liaison or the peer was away.
  public var late: Bool
  public var times: Times
  public var version: Int

  /// `providerID` is written so that it also reads back from snake case.
  private enum CodingKeys: String, CodingKey {
    case id, customerNo, channel, direction, initiation, state, from, to, language, summary, content, category, queue
    case agent, answered, disposition, endedBy, wrapUpCode, identity, chain
    case providerID = "providerId"
    case arrival, late, times, version
  }

  public init(
    id: ContactID, customerNo: CustomerNumber?, channel: ContactChannel, direction: Direction, initiation: Initiation,
    state: State = .open, from: Address?, to: Address?, language: String? = nil, summary: String, content: String,
    category: Code? = nil, queue: Code? = nil, agent: AgentID? = nil, answered: Bool = false,
    disposition: String? = nil, endedBy: String? = nil, wrapUpCode: String? = nil, identity: IdentityTie,
    chain: Chain = Chain(), providerID: String? = nil, arrival: ArrivalID? = nil, late: Bool = false, times: Times,
    version: Int = 1
  ) {
    self.id = id
    self.customerNo = customerNo
    self.channel = channel
    self.direction = direction
    self.initiation = initiation
    self.state = state
    self.from = from
    self.to = to
    self.language = language
    self.summary = summary
    self.content = content
    self.category = category
    self.queue = queue
    self.agent = agent
    self.answered = answered
    self.disposition = disposition
    self.endedBy = endedBy
    self.wrapUpCode = wrapUpCode
    self.identity = identity
    self.chain = chain
    self.providerID = providerID
    self.arrival = arrival
    self.late = late
    self.times = times
    self.version = version
  }

  /// Where this contact stands among those that belong together.
  public struct Chain: Hashable, Sendable, Codable {
    public var initial: ContactID?
    public var previous: ContactID?
    public var next: ContactID?
    public var related: ContactID?
    public init(
      initial: ContactID? = nil, previous: ContactID? = nil, next: ContactID? = nil, related: ContactID? = nil
    ) {
      self.initial = initial
      self.previous = previous
      self.next = next
      self.related = related
    }
  }

  /// When what happened; nil for what has not.
  public struct Times: Hashable, Sendable, Codable {
    public var received: Timestamp
    public var stored: Timestamp
    public var identified: Timestamp?
    public var enqueued: Timestamp?
    public var offered: Timestamp?
    public var accepted: Timestamp?
    public var connected: Timestamp?
    public var ended: Timestamp?
    public var closed: Timestamp?
    public init(
      received: Timestamp, stored: Timestamp, identified: Timestamp? = nil, enqueued: Timestamp? = nil,
      offered: Timestamp? = nil, accepted: Timestamp? = nil, connected: Timestamp? = nil, ended: Timestamp? = nil,
      closed: Timestamp? = nil
    ) {
      self.received = received
      self.stored = stored
      self.identified = identified
      self.enqueued = enqueued
      self.offered = offered
      self.accepted = accepted
      self.connected = connected
      self.ended = ended
      self.closed = closed
    }
  }
}
