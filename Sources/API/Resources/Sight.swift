import Channels
import ContactModel
import Store

/// A customer who was shown, and in what.
struct Sight: Hashable, Sendable {
  var customer: CustomerNumber?
  var subject: String
}

/// One sight per customer, under the first thing in which it was shown.
func sights(_ shown: some Sequence<(CustomerNumber?, String)>) -> [Sight] {
  var known = Set<CustomerNumber>()
  return shown.compactMap { customer, subject in
    guard let customer, known.insert(customer).inserted else { return nil }
    return Sight(customer: customer, subject: subject)
  }
}

extension [Sight] {
  /// With those a reply names besides, under `subject`.
  func completed(by customers: Set<CustomerNumber>, subject: String) -> [Sight] {
    if customers.count <= 1, count == 1, self[0].customer == customers.first { return self }
    let known = Set(compactMap(\.customer))
    return self + customers.subtracting(known).sorted().map { Sight(customer: $0, subject: subject) }
  }
}

extension AuditEntry {
  init(_ sight: Sight, by actor: Actor, purpose: String, at time: Timestamp) {
    self.init(
      at: time, actor: actor.label, role: actor.role, act: "read", subject: sight.subject, customerNo: sight.customer,
      purpose: purpose)
  }
}
