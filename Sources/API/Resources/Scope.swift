import ContactModel
import Store

/// Which part of the bank a principal may see and act on, beyond what his role permits.
///
/// A principal of a department sees what belongs to it, to those below it, or to no department; one without a
/// department sees all. An agent acts on requests that are his or wait in one of his queues.
struct Scope {
  private let principal: Principal
  private let connection: any Connection
  /// Nil: the whole bank.
  private let departments: Set<Code>?

  init(_ call: Call, _ connection: any Connection) throws {
    principal = try call.caller()
    self.connection = connection
    departments = try principal.department.flatMap(Code.init).map { try connection.departments(under: $0) }
  }

  func includes(department: Code?) -> Bool {
    guard let departments, let department else { return true }
    return departments.contains(department)
  }
  func includes(queue: Code?) throws -> Bool {
    guard departments != nil, let queue, let department = try connection.department(ofQueue: queue) else { return true }
    return includes(department: department)
  }
  func includes(_ customer: Customer) -> Bool { includes(department: customer.department) }

  /// 403 unless this request is the principal's to work on.
  func requireWork(on request: ServiceRequest) throws {
    if !principal.roles.isDisjoint(with: [.admin, .supervisor, .integration]) {
      guard try includes(queue: request.queue) else { throw Problem(.forbidden) }
      return
    }
    guard let agent = principal.agent.flatMap(AgentID.init), let known = try connection.agent(agent) else {
      throw Problem(.forbidden)
    }
    guard request.owner == agent || request.queue.map(known.queues.contains) == true else { throw Problem(.forbidden) }
  }

  /// 403 unless the agent is the principal himself, or one whom he supervises.
  func requireAccess(to agent: AgentID) throws {
    if principal.agent == agent.description { return }
    guard !principal.roles.isDisjoint(with: [.admin, .supervisor]) else { throw Problem(.forbidden) }
    guard let known = try connection.agent(agent) else { throw Problem(.notFound) }
    guard includes(department: known.department) else { throw Problem(.forbidden) }
  }
}
