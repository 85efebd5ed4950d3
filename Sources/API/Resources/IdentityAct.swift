import Channels
import ContactModel
import Desk
import Store

/// An agent says who a contact is from: confirms the rule's tie, corrects it, or takes it back.
///
/// The decision is appended with its author and its inverse; the rule's own stays as it was. Source: specs/identity.md
/// §1.6.
extension DeskResources {
  var identify: Route {
    Route(
      "identifyContact", .post, "/v1/contacts/{id}/customer",
      summary: "Confirm, correct or take back who a contact is from", tag: "contacts",
      access: .roles(.agent, .supervisor), parameters: [.path("id", .id("contact"))],
      body: .init(
        .input(
          .required("customer_no", .nullable(.string(minimum: 1, maximum: 32)), "Null: nobody known"),
          .optional("reason", .string(maximum: 500), "For the record"))),
      answers: [.json(Contact.schema, "The contact as it is now")], needsCondition: true
    ) { call in
      let id: ContactID = try call.path("id")
      let number: CustomerNumber? = try call.member("customer_no")
      let reason = call.body["reason"]?.string
      return try await database.act(call) { transaction, actor in
        guard let before = try transaction.contact(id) else { throw Problem(.notFound) }
        let scope = try Scope(call, transaction)
        guard try scope.includes(before) else { throw Problem(.notFound) }
        if let request = try transaction.requests(of: id).first { try scope.requireWork(on: request) }
        try call.condition.require(before.version)
        if let number {
          try scope.require(number, at: "#/customer_no")
        }
        let earlier = try transaction.identityDecision(before.identity.decision)
        let decision = IdentityDecision(
          decisionId: DecisionID(at: call.now), at: call.now, act: .tie, contactId: id,
          zone: number == nil ? .unsatisfied : .satisfied, customerNo: number, scoreBits: earlier?.scoreBits ?? 0,
          hi: earlier?.hi ?? 0, lo: earlier?.lo ?? 0, priorBits: earlier?.priorBits ?? 0,
          weightVersion: earlier?.weightVersion ?? "none", normVersion: earlier?.normVersion ?? "none",
          candidates: earlier?.candidates ?? [], terms: earlier?.terms ?? [], missing: earlier?.missing ?? [],
          decidedBy: .user, user: actor.person, role: actor.role,
          reason: reason ?? Self.sentence(from: before.customerNo, to: number), inverse: before.customerNo)
        let after = try transaction.confirm(decision, of: id, actor: actor, at: call.now).settled(version: \.version)
        try transaction.audit(
          "contact.identify", id, customer: number ?? before.customerNo, reason: decision.reason, before: before.json,
          after: after.json, by: actor, at: call.now)
        return .json(after.json, version: Int64(after.version))
      }
    }
  }

  private static func sentence(from old: CustomerNumber?, to new: CustomerNumber?) -> String {
    switch (old, new) {
    case (_, nil): "taken back"
    case (let old?, let new?) where old == new: "confirmed"
    case (.some, .some): "corrected"
    case (nil, .some): "attached"
    }
  }
}

extension Actor {
  /// Who is named as the person in a decision: the agent, or whoever the token stands for.
  var person: AgentID? {
    if let agent { return agent }
    let allowed = label.map { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) ? $0 : "-" }
    return AgentID(String(allowed.prefix(64)))
  }
}
