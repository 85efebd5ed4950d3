import Channels
import ContactModel

/// What a dial plan asks about a call that has just come in.
public struct CallRoutingQuestion: Sendable, Hashable {
  /// The caller's number as the switch shows it; nil if withheld.
  public var from: String?
  /// The number of ours that was dialled.
  public var did: String?
  /// As the caller keyed it in.
  public var customerNo: String?
  /// The switch's name of the call, under which the decision is filed.
  public var callID: String?
  public init(from: String?, did: String?, customerNo: String? = nil, callID: String? = nil) {
    self.from = from
    self.did = did
    self.customerNo = customerNo
    self.callID = callID
  }
}

/// Who should get this call. Source: specs/desk.md "Routing".
public struct CallRoute: Sendable, Hashable, Codable {
  public enum Basis: String, Sendable, Hashable, Codable, CaseIterable {
    /// The number the caller keyed in exists; a claim, not proof.
    case customerNo = "customer_no"
    /// One customer alone holds the calling number.
    case caller
    /// Nobody, or more than one: the number dialled decides.
    case none
  }
  public struct Manager: Sendable, Hashable, Codable {
    public var agentId: AgentID
    public var device: String?
    public var state: Agent.State
    /// He may be rung first: the level asks for it, he is ready and has a device.
    public var first: Bool
  }

  public var queue: Code
  /// Higher goes first.
  public var priority: Int
  public var language: String
  public var basis: Basis
  public var customerNo: CustomerNumber?
  /// 1 is the most important; nil while nobody is known.
  public var level: Int?
  public var manager: Manager?
  /// How many customers the calling number would fit; 0, 1, more.
  public var candidates: Int
  /// True when the store did not answer in time, or could not put on record who was seen: the number dialled decided,
  /// and no customer is named.
  public var isFallback: Bool
  public var ruleVersion: Int
  /// In the order in which they were weighed.
  public var reasons: [String]
}

/// What the bank knows of a caller.
struct CallerFacts: Sendable, Hashable {
  var customer: Customer?
  var basis: CallRoute.Basis
  var candidates: Int
  var manager: Agent?
}

/// Where a call goes: the number dialled gives queue, language and priority; the customer's level adds to the priority
/// and may change the queue; his own language goes before the number's; his manager is named, and comes first where
/// the level asks for it and he is ready. Total and pure; nil facts are a look-up that failed, and fail open.
func callRoute(for question: CallRoutingQuestion, known: CallerFacts?, by rules: CallRoutingRules) -> CallRoute {
  let number = question.did.flatMap(rules.number)
  var route = CallRoute(
    queue: number?.queue ?? rules.defaultQueue, priority: number?.priority ?? rules.defaultPriority,
    language: number?.language ?? rules.defaultLanguage, basis: .none, candidates: known?.candidates ?? 0,
    isFallback: known == nil, ruleVersion: rules.version, reasons: [])
  route.reasons.append(number.map { "number \($0.did): queue \($0.queue)" } ?? "default queue \(rules.defaultQueue)")
  guard let known else {
    route.reasons.append("customer not looked up in time")
    return route
  }
  guard let customer = known.customer else {
    route.reasons.append(
      known.candidates > 1 ? "\(known.candidates) customers hold the calling number" : "caller unknown")
    return route
  }
  route.basis = known.basis
  route.customerNo = customer.customerNo
  route.level = customer.level
  if let language = customer.language {
    route.language = language
    route.reasons.append("customer's language \(language)")
  }
  let level = rules.levels.first { $0.level == customer.level }
  if let level {
    route.priority += level.priority
    if let queue = level.queue { route.queue = queue }
    route.reasons.append(
      "level \(level.level): priority +\(level.priority)" + (level.queue.map { ", queue \($0)" } ?? ""))
  }
  if let manager = known.manager {
    let isFirst = level?.managerFirst == true && manager.state == .ready && manager.device != nil
    route.manager = .init(agentId: manager.id, device: manager.device, state: manager.state, first: isFirst)
    route.reasons.append(
      isFirst
        ? "manager \(manager.id) first" : "manager \(manager.id) is \(manager.state.rawValue), not first")
  }
  return route
}

extension CallRoute {
  /// The same call without anything that says who is calling.
  func withoutCustomer(_ reason: String) -> CallRoute {
    var route = self
    route.basis = .none
    route.customerNo = nil
    route.level = nil
    route.manager = nil
    route.isFallback = true
    route.reasons = reasons.filter { !$0.contains("manager") && !$0.contains("customer") } + [reason]
    return route
  }
}
