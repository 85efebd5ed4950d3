import Channels
import ContactModel

/// Which jobs are wanted; nil asks for all.
public struct JobFilter: Sendable, Hashable {
  public var customerNo: CustomerNumber?
  public var states: [ProactiveJob.State]?
  public var purpose: String?
  public var campaign: CampaignID?
  public var request: ServiceRequestID?
  public var reference: String?
  /// Nil: the whole bank.
  public var scope: DepartmentScope?
  public init() {}
}

/// How much proactive service is where, for those who watch over it.
public struct OutboundLoad: Sendable, Hashable {
  public var inDoubt: Int
  public var oldestDoubt: Timestamp?
  public var underWay: Int
  /// Reports that came about nothing known, of the last week.
  public var parkedReports: Int
}

extension Connection {
  /// Jobs, newest first, after the last of the page before.
  public func proactiveJobs(
    matching filter: JobFilter, after last: ProactiveJobID?, limit: Int
  ) throws -> [ProactiveJob] {
    var conditions = Conditions()
    conditions.add("customer_no =", .some(filter.customerNo))
    conditions.add(whole: "state IN {{list_text:{}}}", .words(filter.states))
    conditions.add("purpose =", .some(filter.purpose))
    conditions.add("campaign_id =", .some(filter.campaign))
    conditions.add("request_id =", .some(filter.request))
    conditions.add("reference =", .some(filter.reference))
    conditions.add("job_id <", .some(last))
    conditions.add(filter.scope, .proactiveJob)
    let bound = conditions.placeholder(SQLValue(limit))
    return try query(
      "SELECT * FROM proactive_job \(conditions.sql) ORDER BY job_id DESC LIMIT \(bound)", conditions.parameters
    ).map(ProactiveJob.init(row:))
  }

  public func outboundLoad() throws -> OutboundLoad {
    let row = try one(
      """
      SELECT (SELECT count(*) FROM attempt WHERE state = 'in_doubt') AS in_doubt,
        (SELECT min(handed_at) FROM attempt WHERE state = 'in_doubt') AS oldest,
        (SELECT count(*) FROM attempt WHERE state IN ('reserved', 'handing', 'in_doubt') AND state <> 'in_doubt')
          AS under_way,
        (SELECT count(*) FROM report_parked) AS parked
      """)
    return OutboundLoad(
      inDoubt: try row.count("in_doubt"), oldestDoubt: try row.timeOrNil("oldest"),
      underWay: try row.count("under_way"), parkedReports: try row.count("parked"))
  }
}
