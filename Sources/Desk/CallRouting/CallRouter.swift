import Channels
import ContactModel
import Logging
import Store
import Synchronization

/// Answers dial plans: who should get this call.
///
/// The caller waits in silence meanwhile, so an answer comes within the rules' `answerWithinMs` whatever the store does:
/// without the customer if he was not found in time, or if it could not be put on record in time that he was seen.
/// Each answer leaves a decision record under the call's name, and an audit entry where it names a customer.
public struct CallRouter: Sendable {
  private let database: Database
  private let rules: @Sendable () -> CallRoutingRules
  private let normalForm: @Sendable (String) -> Address?
  private let now: @Sendable () -> Timestamp
  private let logger: Logger

  /// `normalForm` makes a telephone number what the store compares; nil for what is none.
  public init(
    database: Database, rules: @escaping @Sendable () -> CallRoutingRules,
    normalForm: @escaping @Sendable (String) -> Address?, now: @escaping @Sendable () -> Timestamp, logger: Logger
  ) {
    self.database = database
    self.rules = rules
    self.normalForm = normalForm
    self.now = now
    self.logger = logger
  }

  /// Never throws, never waits longer than the rules allow.
  public func route(_ question: CallRoutingQuestion, for asker: Actor) async -> CallRoute {
    let rules = rules()
    let start = ContinuousClock.now
    let limit = Duration.milliseconds(rules.answerWithinMs)
    let from = question.from.flatMap(normalForm)
    let claimed = question.customerNo.flatMap { CustomerNumber($0) }
    let (database, logger) = (database, logger)
    let known: CallerFacts? = await within(limit) {
      do {
        return try await database.read { try $0.callerFacts(from: from, claimed: claimed) }
      } catch {
        logger.error("A caller could not be looked up.", metadata: ["fault.text": "\(error)"])
        return nil
      }
    }
    let route = callRoute(for: question, known: known, by: rules)
    let time = now()
    let decision = DecisionID(at: time)
    let left = limit - (ContinuousClock.now - start)
    let isRecorded: Bool? = await within(left) {
      do {
        try await database.write { transaction in
          try transaction.record(route, of: question, as: decision, by: asker, at: time)
        }
        return true
      } catch is CancellationError {
        return false
      } catch {
        logger.error("A call's routing could not be put on record.", metadata: ["fault.text": "\(error)"])
        return false
      }
    }
    guard isRecorded != true else { return route }
    logger.warning(
      "A call was routed without being put on record in time.", metadata: ["call.id": "\(question.callID ?? "")"])
    return route.customerNo == nil ? route : route.withoutCustomer("not on record in time")
  }
}

extension Connection {
  /// A keyed number counts if it exists; else the one customer who alone holds the calling number. Merged customers
  /// are followed to the one they became.
  func callerFacts(from: Address?, claimed: CustomerNumber?) throws -> CallerFacts {
    var basis = CallRoute.Basis.none
    var found: Customer?
    var candidates = 0
    if let claimed, let customer = try living(claimed) {
      (basis, found, candidates) = (.customerNo, customer, 1)
    } else if let from {
      let holders = Set(try holders(of: from, limit: 9).compactMap { try living($0)?.customerNo })
      candidates = holders.count
      if holders.count == 1, let only = holders.first {
        (basis, found) = (.caller, try customer(only))
      }
    }
    return CallerFacts(
      customer: found, basis: basis, candidates: candidates, manager: try found?.manager.flatMap { try agent($0) })
  }

  private func living(_ number: CustomerNumber) throws -> Customer? {
    var next: CustomerNumber? = number
    for _ in 0..<8 {
      guard let number = next, let customer = try customer(number) else { return nil }
      if let merged = customer.mergedInto {
        next = merged
      } else {
        return customer.deleted ? nil : customer
      }
    }
    return nil
  }
}

extension WriteTransaction {
  fileprivate func record(
    _ route: CallRoute, of question: CallRoutingQuestion, as id: DecisionID, by asker: Actor, at time: Timestamp
  ) throws {
    try record(
      routing: id, of: question.callID.map { String($0.prefix(200)) } ?? id.description, customer: route.customerNo,
      ruleVersion: "call_routing-\(route.ruleVersion)", verdict: route.queue.description,
      body: try JSONText.encode(route), at: time)
    guard let customer = route.customerNo else { return }
    try audit(
      AuditEntry(
        at: time, actor: asker.label, role: asker.role, act: "read", subject: id.description, customerNo: customer,
        purpose: "call_routing"))
  }
}

/// The result of `operation`, or nil when `limit` passes first.
private func within<T: Sendable>(
  _ limit: Duration, _ operation: @escaping @Sendable () async -> T?
) async -> T? {
  guard limit > .zero else { return nil }
  let gate = Gate<T>()
  // Both are cancelled below. A read or write that is being carried out then ends by the store's own limit; it answers
  // nobody any more.
  let work = Task { gate.open(await operation()) }
  let clock = Task {
    do { try await Task.sleep(for: limit) } catch { return }
    gate.open(nil)
  }
  let value = await gate.value
  work.cancel()
  clock.cancel()
  return value
}

/// Opened once with a value; who comes later is ignored.
private final class Gate<T: Sendable>: Sendable {
  private enum State {
    case closed
    case awaited(CheckedContinuation<T?, Never>)
    case open(T?)
    case passed
  }
  private let state = Mutex(State.closed)

  func open(_ value: T?) {
    let waiting = state.withLock { state -> CheckedContinuation<T?, Never>? in
      switch state {
      case .closed:
        state = .open(value)
        return nil
      case .awaited(let continuation):
        state = .passed
        return continuation
      case .open, .passed: return nil
      }
    }
    waiting?.resume(returning: value)
  }

  var value: T? {
    get async {
      await withCheckedContinuation { continuation in
        let there = state.withLock { state -> T?? in
          if case .open(let value) = state {
            state = .passed
            return .some(value)
          }
          state = .awaited(continuation)
          return nil
        }
        if let there { continuation.resume(returning: there) }
      }
    }
  }
}
