import Channels

/// 机会: something a customer may buy. Sales work on it elsewhere in the CRM; Liaison gives it what contacts bring.
public struct Opportunity: Hashable, Sendable {
  public var id: OpportunityID
  public var customerNo: CustomerNumber?
  /// 0–100; nil if nobody estimated it.
  public var successPercent: Int?
  public var start: Timestamp
  public var end: Timestamp?
  public var salesMethod: String?
  public var salesStage: String
  public var summary: String
  public var content: String
  /// In cents of the bank's currency; nil if nobody estimated it.
  public var expectedCents: Int64?
  public var owner: AgentID?
  public var version: Int

  public init(
    id: OpportunityID, customerNo: CustomerNumber?, successPercent: Int? = nil, start: Timestamp, end: Timestamp? = nil,
    salesMethod: String? = nil, salesStage: String, summary: String, content: String, expectedCents: Int64? = nil,
    owner: AgentID? = nil, version: Int = 1
  ) {
    self.id = id
    self.customerNo = customerNo
    self.successPercent = successPercent
    self.start = start
    self.end = end
    self.salesMethod = salesMethod
    self.salesStage = salesStage
    self.summary = summary
    self.content = content
    self.expectedCents = expectedCents
    self.owner = owner
    self.version = version
  }
}
