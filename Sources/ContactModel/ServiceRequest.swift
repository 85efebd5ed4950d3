import Channels

/// 服务请求 · 客户需求: what a customer wants, across as many contacts as it takes. One case, one status.
public struct ServiceRequest: Hashable, Sendable, Codable {
  public enum Status: String, Hashable, Sendable, Codable, CaseIterable {
    /// Nobody works on it yet; it waits in a queue. Taking it makes it `inProgress`.
    case open
    /// An agent owns it.
    case inProgress = "in_progress"
    /// The customer must answer before work goes on; his next contact makes it `open` again.
    case waitingCustomer = "waiting_customer"
    /// Done as far as the bank is concerned; the customer's next contact reopens it, time closes it.
    case resolved
    /// Final. A new contact opens a new request linked to it.
    case closed

    public var isLive: Bool { self != .resolved && self != .closed }
  }

  public var id: ServiceRequestID
  /// What the customer is told to quote; nil when the channel gives none.
  public var reference: String?
  public var customerNo: CustomerNumber?
  public var start: Timestamp
  public var end: Timestamp?
  public var summary: String
  public var content: String
  public var status: Status
  public var subStatus: String?
  /// 1 is gravest, 4 lightest.
  public var severity: Int
  /// 1 is most urgent, 4 least.
  public var urgency: Int
  public var category: Code
  public var queue: Code?
  public var owner: AgentID?
  /// The next instant by which somebody must have acted; set while the request lives.
  public var nextDeadline: Timestamp?
  public var channel: ContactChannel
  public var version: Int

  public init(
    id: ServiceRequestID, reference: String?, customerNo: CustomerNumber?, start: Timestamp, end: Timestamp? = nil,
    summary: String, content: String, status: Status, subStatus: String? = nil, severity: Int, urgency: Int,
    category: Code, queue: Code?, owner: AgentID? = nil, nextDeadline: Timestamp?, channel: ContactChannel,
    version: Int = 1
  ) {
    self.id = id
    self.reference = reference
    self.customerNo = customerNo
    self.start = start
    self.end = end
    self.summary = summary
    self.content = content
    self.status = status
    self.subStatus = subStatus
    self.severity = severity
    self.urgency = urgency
    self.category = category
    self.queue = queue
    self.owner = owner
    self.nextDeadline = nextDeadline
    self.channel = channel
    self.version = version
  }
}
