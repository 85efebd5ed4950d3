import Channels
import ContactModel
import Store

/// How a call stands, in the words of a contact. Pure.
struct CallCourse: Sendable {
  var call: CallState
  /// The queue it waits or waited in, if the bank has one of that name.
  var queue: Code?
  /// Who sits at the devices of the call.
  var agents: [String: AgentID]

  /// The contact at the first that is heard of the call.
  func begin(_ id: ContactID, kept: KeptArrival, tie: IdentityDecision, at time: Timestamp) -> Contact {
    Contact(
      id: id, customerNo: tie.customerNo, channel: kept.channel,
      direction: call.direction == .outbound ? .outbound : .inbound,
      initiation: call.direction == .outbound ? (call.job == nil ? .outbound : .api) : .inbound, from: nil, to: nil,
      summary: "", content: "", identity: IdentityTie(zone: tie.zone, decision: tie.decisionId),
      providerID: "\(call.server)/\(call.callID)", arrival: kept.id, late: kept.late || call.isFromSnapshot,
      times: .init(received: call.created, stored: kept.storedAt, identified: time))
  }

  /// The contact as the call stands now.
  func carry(_ contact: Contact, at time: Timestamp) -> Contact {
    var contact = contact
    let customer = call.caller.map(Self.bounded)
    let ours = call.dialled.map(Self.bounded)
    (contact.from, contact.to) = contact.direction == .outbound ? (ours, customer) : (customer, ours)
    contact.summary = summary
    contact.queue = queue
    contact.agent = call.talkedWith.reversed().lazy.compactMap { agents[$0] }.first ?? contact.agent
    contact.answered = call.connected != nil
    contact.disposition = call.disposition
    contact.endedBy = call.endedBy
    contact.times.enqueued = call.queued
    contact.times.offered = call.offers.first?.at
    contact.times.accepted = call.connected
    contact.times.connected = call.connected
    contact.times.ended = call.ended
    if call.ended != nil {
      contact.state = .closed
      contact.times.closed = time
      // Nobody saw how it ended.
      if call.endedBy == nil, call.disposition != "merged" { contact.late = true }
    }
    return contact
  }

  private var summary: String {
    let number = call.caller.map { Self.bounded($0).raw } ?? "a withheld number"
    let name = call.callerName.map { " (" + String($0.prefix(60)) + ")" } ?? ""
    return call.direction == .outbound ? "Call to \(number)" : "Call from \(number)\(name)"
  }

  /// A number as long as any number; a switch may be made to say anything.
  static func bounded(_ address: Address) -> Address {
    Address(
      kind: address.kind, canonical: String(address.canonical.prefix(64)), raw: String(address.raw.prefix(64)))
  }
}

extension IntakeParameters {
  /// The category of a call: the one whose requests wait in the queue the caller was put into, the lightest of several;
  /// else the default.
  func classify(callIn queue: String?) -> Routing.Classification {
    let found = categories.values.filter { $0.queue.description == queue }
    let best =
      found.first { $0.code == defaultCategory } ?? found.max { ($0.severity, $1.code) < ($1.severity, $0.code) }
    if let best {
      return .init(category: best.code, by: "queue", candidates: [:], parameterVersion: version)
    }
    let fallback = categories[defaultCategory] == nil ? categories.keys.min() ?? defaultCategory : defaultCategory
    return .init(category: fallback, by: "default", candidates: [:], parameterVersion: version)
  }
}
