import Channels

/// 客户 (Customer_Base): a person or organisation the bank knows, stored once under one number.
///
/// Only ever added, never removed: `deleted` marks a customer that is no longer one, `mergedInto` the one it
/// turned out to be.
public struct Customer: Hashable, Sendable, Codable {
  public enum Status: String, Hashable, Sendable, Codable, CaseIterable {
    /// 潜在, 活跃, 沉寂, 流失
    case potential, active, dormant, lost
  }

  public var customerNo: CustomerNumber
  /// A leaf or branch of the tree of customer types (retail, corporate, institution, …).
  public var type: Code
  public var status: Status
  /// 客户层级: importance, 1 is highest, 9 lowest.
  public var level: Int
  public var name: String
  /// BCP 47; nil if unknown.
  public var language: String?
  public var department: Code?
  /// 客户经理
  public var manager: AgentID?
  public var deleted: Bool
  public var mergedInto: CustomerNumber?
  /// Counts changes; the ETag of the resource.
  public var version: Int

  public init(
    customerNo: CustomerNumber, type: Code, status: Status = .active, level: Int = 5, name: String,
    language: String? = nil, department: Code? = nil, manager: AgentID? = nil, deleted: Bool = false,
    mergedInto: CustomerNumber? = nil, version: Int = 1
  ) {
    self.customerNo = customerNo
    self.type = type
    self.status = status
    self.level = level
    self.name = name
    self.language = language
    self.department = department
    self.manager = manager
    self.deleted = deleted
    self.mergedInto = mergedInto
    self.version = version
  }
}

/// A number or mailbox under which a customer is reached. Its state belongs to the address, whoever holds it.
public struct ContactPoint: Hashable, Sendable, Codable {
  public enum State: String, Hashable, Sendable, Codable, CaseIterable {
    case ok, bounced, invalid, reassigned, complaint
  }
  public enum Role: String, Hashable, Sendable, Codable, CaseIterable { case own, guardian, office }
  public var address: Address
  public var state: State
  public var role: Role
  /// When the holder proved it is his; nil if he never did.
  public var verifiedAt: Timestamp?
  public init(address: Address, state: State = .ok, role: Role = .own, verifiedAt: Timestamp? = nil) {
    self.address = address
    self.state = state
    self.role = role
    self.verifiedAt = verifiedAt
  }
}
