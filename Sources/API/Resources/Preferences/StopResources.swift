import Channels
import ContactModel
import Customers
import Outbound
import Store

/// Stops that belong to an address, whoever holds it; the do-not-call register; the kill switch.
extension PreferenceResources {
  private static let address: [Schema.Member] = [
    .required("kind", .word(Address.Kind.allCases.map(\.rawValue))),
    .required("value", .string(minimum: 1, maximum: 320)),
    .optional("channel", .nullable(.string(minimum: 1, maximum: 32)), "Null: every channel that uses the address"),
    .required("evidence", evidence),
  ]

  private func address(_ body: JSONValue) throws -> Address {
    guard let kind = body["kind"]?.string.flatMap(Address.Kind.init),
      let address = AddressForm.address(kind, body["value"]?.string ?? "")
    else { throw Problem(.invalidInput, violations: [Violation(.body(pointer: "#/value"), .format)]) }
    return address
  }

  private func proof(_ call: Call, _ actor: Actor) -> ConsentEvidence {
    let given = call.body["evidence"]
    return ConsentEvidence(
      id: EvidenceID(at: call.now), kind: given?["kind"]?.string.flatMap(ConsentEvidence.Kind.init) ?? .api,
      reference: given?["reference"]?.string ?? call.requestID, hash: given?["hash"]?.string, capturedAt: call.now,
      capturedBy: actor.label, ip: call.remoteAddress)
  }

  var stopAddress: Route {
    Route(
      "stopAddress", .post, "/v1/address-stops",
      summary: "An address wants nothing more, whoever holds it", tag: "preferences",
      access: .roles(.agent, .supervisor, .integration),
      body: .init(
        .object(
          .init(
            members: Self.address + [
              .required("scope", .word(StopScope.allCases.map(\.rawValue)), "promo: advertising and what resembles it")
            ], closed: true))),
      answers: [.json(.output(.required("stopped", .boolean, "False: it was stopped already")), "It is stopped")],
      needsIdempotencyKey: true
    ) { call in
      let address = try address(call.body)
      let channel = call.body["channel"]?.string.map(OutboundChannel.init(rawValue:))
      let scope = call.body["scope"]?.string.flatMap(StopScope.init) ?? .promo
      return try await database.act(call) { transaction, actor in
        let id = StopID(at: call.now)
        let isNew = try transaction.stop(
          address, id: id, channel: channel, scope: scope, evidence: proof(call, actor), at: call.now)
        try transaction.audit("address.stop", id, after: address.json, by: actor, at: call.now)
        return .json(["stopped": .bool(isNew)])
      }
    }
  }

  var liftAddress: Route {
    Route(
      "liftAddressStops", .post, "/v1/address-stops/lift",
      summary: "Its holder wants to hear of us again: his own new word is needed as proof", tag: "preferences",
      access: .roles(.supervisor, .integration), body: .init(.object(.init(members: Self.address, closed: true))),
      answers: [.json(.output(.required("lifted", .integer())), "How many stops ended")], needsIdempotencyKey: true
    ) { call in
      let address = try address(call.body)
      let channel = call.body["channel"]?.string.map(OutboundChannel.init(rawValue:))
      return try await database.act(call) { transaction, actor in
        let count = try transaction.liftStops(
          on: address, channel: channel, evidence: proof(call, actor), at: call.now)
        try transaction.audit("address.lift_stops", "address", after: address.json, by: actor, at: call.now)
        return .json(["lifted": .count(count)])
      }
    }
  }

  var putRegister: Route {
    Route(
      "putRegister", .post, "/v1/do-not-call-register",
      summary: "Numbers on the public register, or taken off it; each load says both", tag: "preferences",
      access: .roles(.integration),
      body: .init(
        .input(
          .optional("listed", .array(.string(minimum: 1, maximum: 40), maximum: 500)),
          .optional("delisted", .array(.string(minimum: 1, maximum: 40), maximum: 500)))),
      answers: [
        .json(
          .output(
            .required("listed", .integer()), .required("delisted", .integer()),
            .required("refused", .array(.string()), "No telephone numbers")), "What became of them")
      ], needsIdempotencyKey: true
    ) { call in
      var refused: [String] = []
      func addresses(_ member: String) -> [Address] {
        (call.body[member]?.array ?? []).compactMap(\.string).compactMap { text in
          guard let address = AddressForm.address(.phone, text) else {
            refused.append(text)
            return nil
          }
          return address
        }
      }
      let (listed, delisted) = (addresses("listed"), addresses("delisted"))
      let unread = refused
      return try await database.act(call, lane: .bulk) { transaction, actor in
        let on = try transaction.setRegister(listed, isListed: true, at: call.now)
        let off = try transaction.setRegister(delisted, isListed: false, at: call.now)
        try transaction.audit(
          "register.put", "do-not-call", after: ["listed": .count(on), "delisted": .count(off)], by: actor, at: call.now
        )
        return .json([
          "listed": .count(on), "delisted": .count(off), "refused": .array(unread.map { .string($0) }),
        ])
      }
    }
  }

  private static let killSwitch = Schema.output(.required("on", .boolean))

  var getSwitch: Route {
    Route(
      "getKillSwitch", .get, "/v1/kill-switch", summary: "Whether all but critical proactive service is stopped",
      tag: "proactive-service", access: .anyRole, answers: [.json(Self.killSwitch, "As it is now")]
    ) { _ in
      .json(["on": .bool(try await database.look { try $0.killSwitch() })])
    }
  }

  var putSwitch: Route {
    Route(
      "putKillSwitch", .put, "/v1/kill-switch", summary: "Stop all proactive service but the critical, or let it go on",
      tag: "proactive-service", access: .roles(.supervisor, .marketing),
      body: .init(.input(.required("on", .boolean), .required("reason", .string(minimum: 1, maximum: 500)))),
      answers: [.json(Self.killSwitch, "As it is now")]
    ) { call in
      let isOn = call.body["on"]?.bool == true
      return try await database.act(call) { transaction, actor in
        // To stop is anybody's of marketing; to let go on takes a supervisor.
        if !isOn, try call.caller().roles.isDisjoint(with: [.supervisor, .admin]) { throw Problem(.forbidden) }
        try transaction.setKillSwitch(isOn, actor: actor, at: call.now)
        try transaction.audit(
          "kill_switch.put", "kill_switch", reason: call.body["reason"]?.string, after: ["on": .bool(isOn)], by: actor,
          at: call.now)
        return .json(["on": .bool(isOn)])
      }
    }
  }
}
