import Channels
import ContactModel
import Store

extension Following {
  /// A customer who calls wants something as soon as the call asks for a person: then a service request is opened, or
  /// the one he left when he last gave up waiting is taken up again. Who talks with him owns it; it follows a transfer.
  /// What was never answered waits in its queue to be called back, if there is a number to call; what was answered
  /// stays with its owner, who resolves it. The bank's own calls open none.
  func request(
    of contact: Contact, _ call: CallState, before: CallState?, agents: [String: AgentID],
    in transaction: WriteTransaction
  ) throws -> ServiceRequest? {
    guard contact.direction == .inbound, call.asksForPerson, call.mergedInto == nil else { return nil }
    var request: ServiceRequest
    if let known = try transaction.requests(of: contact.id).first {
      request = known
    } else {
      request = try begin(contact, call, in: transaction)
    }
    guard request.status.isLive else { return request }
    if let heir = heir(of: request, call, agents) {
      request = try transaction.give(request, to: heir, contact: contact, at: time)
    }
    if call.ended != nil, before?.ended == nil, request.owner == nil {
      if call.connected != nil {
        let device = call.talkedWith.last ?? "a device"
        try transaction.resolve(
          request, contact: contact, resolution: "answered at \(device.prefix(80)), where no agent is known", at: time)
      } else if contact.from != nil || contact.customerNo != nil {
        try transaction.leaveToCallBack(request, contact: contact, at: time)
      } else {
        try transaction.resolve(
          request, contact: contact, resolution: "\(call.disposition ?? "ended"): no number to call back", at: time)
      }
    }
    return try transaction.serviceRequest(request.id)
  }

  /// The agent who shall own it from now on; nil if nothing changes.
  private func heir(of request: ServiceRequest, _ call: CallState, _ agents: [String: AgentID]) -> AgentID? {
    let talking = call.talkingNow.compactMap { agents[$0] }
    guard let last = talking.last else { return nil }
    guard let owner = request.owner else { return talking.first }
    if talking.contains(owner) { return nil }
    // It passes on only from one who has talked in this call: a request joined from before keeps its owner.
    return call.talkedWith.contains { agents[$0] == owner } ? last : nil
  }

  private func begin(
    _ contact: Contact, _ call: CallState, in transaction: WriteTransaction
  ) throws -> ServiceRequest {
    let classification = parameters.classify(callIn: call.queue)
    guard let category = parameters.categories[classification.category] else { throw IntakeFault.noCategories }
    if let from = contact.from,
      let left = try transaction.missedRequest(from: from, category: category.code, since: time - .seconds(86_400))
    {
      try transaction.join(left, by: contact, at: time)
      return try transaction.serviceRequest(left.id) ?? left
    }
    let request = ServiceRequest(
      id: ServiceRequestID(at: time), reference: nil, customerNo: contact.customerNo, start: call.created,
      summary: contact.summary, content: "", status: .open, severity: category.severity, urgency: category.urgency,
      category: category.code, queue: contact.queue ?? category.queue,
      nextDeadline: time + .seconds(category.respondWithinMinutes * 60), channel: contact.channel)
    try transaction.open(request, of: contact, classification: classification, at: time)
    return request
  }
}
