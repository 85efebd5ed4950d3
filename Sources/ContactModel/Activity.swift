import Channels

/// 活动: what staff do for a customer: a call-back, a visit, a follow-up task. With `due` it is a reminder.
public struct Activity: Hashable, Sendable {
  public enum Status: String, Hashable, Sendable, Codable, CaseIterable {
    case planned
    case inProgress = "in_progress"
    case done, cancelled
  }
  public var id: ActivityID
  public var customerNo: CustomerNumber?
  public var start: Timestamp?
  public var end: Timestamp?
  public var due: Timestamp?
  public var description: String
  public var remark: String?
  public var category: Code
  public var status: Status
  /// 1 is highest, 4 lowest.
  public var priority: Int
  /// In cents of the bank's currency; nil if not recorded.
  public var costCents: Int64?
  public var owner: AgentID?
  public var version: Int

  public init(
    id: ActivityID, customerNo: CustomerNumber?, start: Timestamp? = nil, end: Timestamp? = nil, due: Timestamp? = nil,
    description: String, remark: String? = nil, category: Code, status: Status = .planned, priority: Int = 3,
    costCents: Int64? = nil, owner: AgentID? = nil, version: Int = 1
  ) {
    self.id = id
    self.customerNo = customerNo
    self.start = start
    self.end = end
    self.due = due
    self.description = description
    self.remark = remark
    self.category = category
    self.status = status
    self.priority = priority
    self.costCents = costCents
    self.owner = owner
    self.version = version
  }
}
