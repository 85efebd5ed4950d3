import Channels
import ContactModel
import Store

/// Which part of the bank a principal may see and act on, beyond what his role permits.
///
/// A principal of departments sees what belongs to them, to those below them, or to no department (`DepartmentScope`);
/// one without departments sees all. An agent whose token names none sees what his own record's department sees, and
/// always the work that is his or waits in one of his queues. What somebody may not see is not there for him: 404, so
/// that an answer never tells that an id exists.
struct Scope {
  private let principal: Principal
  private let connection: any Connection
  /// Nil: the whole bank.
  let limits: DepartmentScope?

  init(_ call: Call, _ connection: any Connection) throws {
    try self.init(try call.caller(), connection)
  }

  init(_ principal: Principal, _ connection: any Connection) throws {
    self.principal = principal
    self.connection = connection
    let agent = try principal.agent.flatMap(AgentID.init).flatMap { try connection.agent($0) }
    var tops = principal.departments.map { Set($0.compactMap(Code.init)) }
    if tops == nil, principal.roles == [.agent], let own = agent?.department { tops = [own] }
    limits = try tops.map {
      DepartmentScope(
        departments: try connection.departments(under: $0), agent: agent?.id, queues: Set(agent?.queues ?? []))
    }
  }

  // MARK: Whether a thing is seen

  func includes(department: Code?) -> Bool {
    guard let limits, let department else { return true }
    return limits.departments.contains(department)
  }
  func includes(queue: Code?) throws -> Bool {
    guard let limits, let queue else { return true }
    if limits.queues.contains(queue) { return true }
    return try connection.department(ofQueue: queue).map { includes(department: $0) } ?? true
  }
  func includes(_ customer: Customer) -> Bool { includes(department: customer.department) }

  /// The rule of `DepartmentScope` for one thing.
  private func includes(
    queue: Code? = nil, agent: AgentID? = nil, customer: CustomerNumber? = nil, department: Code? = nil
  ) throws -> Bool {
    guard let limits else { return true }
    if let queue, limits.queues.contains(queue) { return true }
    if let agent, agent == limits.agent { return true }
    let homes: [Code] = [
      department, try queue.flatMap { try connection.department(ofQueue: $0) ?? nil },
      try agent.flatMap { try connection.agent($0)?.department },
      try customer.flatMap { try connection.customer($0)?.department },
    ].compactMap(\.self)
    return homes.isEmpty || homes.contains(where: limits.departments.contains)
  }
  func includes(_ contact: Contact) throws -> Bool {
    try includes(queue: contact.queue, agent: contact.agent, customer: contact.customerNo)
  }
  func includes(_ request: ServiceRequest) throws -> Bool {
    try includes(queue: request.queue, agent: request.owner, customer: request.customerNo)
  }
  func includes(_ activity: Activity) throws -> Bool {
    try includes(agent: activity.owner, customer: activity.customerNo)
  }
  func includes(_ opportunity: Opportunity) throws -> Bool {
    try includes(agent: opportunity.owner, customer: opportunity.customerNo)
  }
  func includes(_ job: ProactiveJob) throws -> Bool {
    let queue = try job.request.flatMap { try connection.serviceRequest($0)?.queue }
    let department = try queue.flatMap { try connection.department(ofQueue: $0) ?? nil }
    return try includes(customer: job.customerNo, department: department)
  }
  /// What may be seen of a list that is read piece by piece, up to `limit` rows: so that a page is full though rows of
  /// others lie between. `read` is given the last row read; at most 50 pieces.
  func some<Row>(
    _ limit: Int, read: (Row?) throws -> [Row], includes: (Row) throws -> Bool
  ) throws -> [Row] {
    guard limits != nil else { return try read(nil) }
    var rows: [Row] = []
    var last: Row?
    for _ in 0..<50 {
      let piece = try read(last)
      rows += try piece.filter(includes)
      guard rows.count < limit, piece.count == limit else { break }
      last = piece.last
    }
    return Array(rows.prefix(limit))
  }
  func includes(customer: CustomerNumber?) throws -> Bool { try includes(customer: customer, department: nil) }

  /// Subscriptions to the whole bank are seen by those who see the whole bank.
  func includes(_ webhook: Webhook) -> Bool {
    guard let limits else { return true }
    return webhook.departments.map { limits.departments.isSuperset(of: $0) } ?? false
  }

  /// Whatever an id names: a contact, request, activity, opportunity, arrival, customer or agent. True for what is
  /// none of these, and for what is not there: that is for others to say.
  func includes(subject id: String) throws -> Bool {
    guard limits != nil else { return true }
    if let contact = try ContactID(id).flatMap({ try connection.contact($0) }) { return try includes(contact) }
    if let request = try ServiceRequestID(id).flatMap({ try connection.serviceRequest($0) }) {
      return try includes(request)
    }
    if let activity = try ActivityID(id).flatMap({ try connection.activity($0) }) { return try includes(activity) }
    if let opportunity = try OpportunityID(id).flatMap({ try connection.opportunity($0) }) {
      return try includes(opportunity)
    }
    if let contact = try ArrivalID(id).flatMap({ try connection.contact(of: $0) }).flatMap({
      try connection.contact($0)
    }
    ) {
      return try includes(contact)
    }
    return true
  }

  /// For `events`: what this principal hears of everything that happens.
  var audience: EventAudience { limits.map { .within($0) } ?? .everything }

  /// A customer somebody names in a body: 422 as if it were not there when it is another department's.
  func require(_ customer: CustomerNumber?, at pointer: String) throws {
    guard let customer else { return }
    guard let known = try connection.customer(customer), includes(known) else { throw Problem.unknown(pointer) }
  }

  // MARK: Whether it may be acted on

  /// 404 for another department's request; 403 unless this one is the principal's to work on.
  func requireWork(on request: ServiceRequest) throws {
    guard try includes(request) else { throw Problem(.notFound) }
    guard principal.roles.isDisjoint(with: [.admin, .supervisor, .integration]) else { return }
    guard let agent = principal.agent.flatMap(AgentID.init), let known = try connection.agent(agent) else {
      throw Problem(.forbidden)
    }
    guard request.owner == agent || request.queue.map(known.queues.contains) == true else { throw Problem(.forbidden) }
  }

  /// 403 unless the agent is the principal himself, or one whom he supervises; 404 for another department's.
  func requireAccess(to agent: AgentID) throws {
    if principal.agent == agent.description { return }
    guard !principal.roles.isDisjoint(with: [.admin, .supervisor]) else { throw Problem(.forbidden) }
    guard let known = try connection.agent(agent), includes(department: known.department) else {
      throw Problem(.notFound)
    }
  }
}
