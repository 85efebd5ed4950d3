import Channels
import ContactModel
import Store

/// What one decision is made from, as read in its transaction: facts, request, and where each channel would go to.
struct JobReading {
  var request: DecisionRequest
  var facts: Facts
  var addresses: [OutboundChannel: Address]
}

/// What the daemon knows that is not in the store.
struct Surroundings: Sendable {
  var profile: PurposeProfile
  var zones: ZoneCatalog
  /// The channels there is a link for, the lanes these serve, and until when each channel is down.
  var links: Set<OutboundChannel>
  var lanes: Set<String>
  var down: [OutboundChannel: Timestamp]
}

/// One address at which somebody can be reached.
struct ReachablePoint: Sendable {
  var address: Address
  var state: ContactPoint.State
  var isVerified: Bool
  var zones: [String]
}

extension Connection {
  /// Reads everything that bears on one job. `own` is the attempt under way for it, which does not count against itself.
  func reading(of job: ProactiveJob, own: AttemptID?, _ around: Surroundings, at time: Timestamp) throws -> JobReading {
    try FactsSheet(of: [job], own: own.map { [job.id: $0] } ?? [:], from: self, around, at: time).reading(of: job)
  }

  /// Where a customer is reached, in the order of choice.
  func contactPointsWithZones(of customer: CustomerNumber) throws -> [ReachablePoint] {
    try contactPointsWithZones(of: [customer])[customer] ?? []
  }

  /// The customer's own addresses come first, then the verified, then the oldest.
  func contactPointsWithZones(of customers: [CustomerNumber]) throws -> [CustomerNumber: [ReachablePoint]] {
    var points: [CustomerNumber: [ReachablePoint]] = [:]
    let (these, list) = among(customers)
    let rows = try query(
      """
      SELECT h.customer_no, h.kind, h.canonical, h.raw, h.verified_at, h.zones, p.state
      FROM customer_contact_point h JOIN contact_point p ON p.kind = h.kind AND p.canonical = h.canonical
      WHERE h.customer_no \(these)
      ORDER BY h.customer_no, CASE h.role WHEN 'own' THEN 0 WHEN 'guardian' THEN 1 ELSE 2 END,
        CASE WHEN h.verified_at IS NULL THEN 1 ELSE 0 END, h.from_at, h.kind, h.canonical
      """, [list])
    for row in rows {
      points[try row.parsed("customer_no"), default: []].append(
        ReachablePoint(
          address: Address(kind: try row.word("kind"), canonical: try row.text("canonical"), raw: try row.text("raw")),
          state: try row.word("state"), isVerified: try row.timeOrNil("verified_at") != nil,
          zones: try row.text("zones").split(separator: " ").map(String.init)))
    }
    return points
  }
}

extension DecisionRequest.Overrides {
  /// Names nobody may waive are left out.
  init(named names: [String]) {
    self = []
    for name in names {
      switch name {
      case "BANK_WINDOW": insert(.bankWindow)
      case "BANK_CAP": insert(.bankCap)
      case "CHANNEL": insert(.channel)
      default: break
      }
    }
  }
}
