import ContactModel

/// The part of the bank somebody sees: some departments with all below them, and an agent's own work.
///
/// A thing belongs to the departments of what ties it to the bank: its queue, its agent, its customer. Whoever sees one
/// of them sees the thing; what belongs to no department is everybody's. Where a whole bank is seen there is no scope.
public struct DepartmentScope: Sendable, Hashable {
  public var departments: Set<Code>
  /// What is his is seen whatever its department; nil for supervisors and programs.
  public var agent: AgentID?
  /// The agent's queues: what waits in them is his to see.
  public var queues: Set<Code>
  public init(departments: Set<Code>, agent: AgentID? = nil, queues: Set<Code> = []) {
    self.departments = departments
    self.agent = agent
    self.queues = queues
  }
}

extension Conditions {
  /// Only rows within the scope; nil adds nothing.
  mutating func add(_ scope: DepartmentScope?, _ homes: DepartmentHomes) {
    guard let scope else { return }
    let departments = placeholder(.list(scope.departments.map(\.description).sorted()))
    let places = homes.places
    var ways = ["coalesce(\(places.joined(separator: ", ")), NULL) IS NULL"]
    ways += places.map { "\($0) IN {{list_text:\(departments)}}" }
    if let queue = homes.queue, !scope.queues.isEmpty {
      ways.append("\(queue) IN {{list_text:\(placeholder(.list(scope.queues.map(\.description).sorted())))}}")
    }
    if let column = homes.agent, let agent = scope.agent { ways.append("\(column) = \(placeholder(.id(agent)))") }
    add("(" + ways.joined(separator: " OR ") + ")", if: true)
  }
}

/// The columns of a table that tie its rows to departments, as `table.column`.
struct DepartmentHomes {
  var queue: String?
  var agent: String?
  var customer: String?
  var request: String?
  /// A column that is a department itself.
  var department: String?

  static let contact = DepartmentHomes(
    queue: "contact.queue", agent: "contact.agent_id", customer: "contact.customer_no")
  static let serviceRequest = DepartmentHomes(
    queue: "service_request.queue", agent: "service_request.owner", customer: "service_request.customer_no")
  static let activity = DepartmentHomes(agent: "activity.owner", customer: "activity.customer_no")
  static let opportunity = DepartmentHomes(agent: "opportunity.owner", customer: "opportunity.customer_no")
  static let customer = DepartmentHomes(department: "customer.department")
  static let event = DepartmentHomes(
    queue: "event.queue", agent: "event.agent_id", customer: "event.customer_no", request: "event.request_id")
  static let proactiveJob = DepartmentHomes(
    customer: "proactive_job.customer_no", request: "proactive_job.request_id")
  static let audit = DepartmentHomes(customer: "audit.customer_no")
  static let groupMember = DepartmentHomes(customer: "member.customer_no")

  var places: [String] {
    [
      department, queue.map { "(SELECT q.department FROM queue q WHERE q.code = \($0))" },
      agent.map { "(SELECT a.department FROM agent a WHERE a.agent_id = \($0))" },
      customer.map { "(SELECT c.department FROM customer c WHERE c.customer_no = \($0))" },
      request.map {
        """
        (SELECT rq.department FROM service_request r JOIN queue rq ON rq.code = r.queue WHERE r.request_id = \($0))
        """
      },
    ].compactMap(\.self)
  }
}
