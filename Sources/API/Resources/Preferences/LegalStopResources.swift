import Channels
import ContactModel
import Customers
import Outbound
import Store

/// What the law or the bank forbids to send a customer, whatever he allowed.
extension PreferenceResources {
  private static let legal = Schema.output(
    .required("id", .id("stop")), .required("purpose", .nullable(.string()), "Null: every purpose"),
    .required("from_at", .time), .required("to_at", .nullable(.time)), .required("reason", .string()),
    .required("recorded_by", .string()), .required("lifted_by", .nullable(.string())))

  private func legalJSON(_ number: CustomerNumber, _ connection: any Connection) throws -> JSONValue {
    [
      "items": .array(
        try connection.legalStopRecords(of: number).map {
          [
            "id": .text($0.id), "purpose": .optional($0.purpose?.rawValue), "from_at": .time($0.from),
            "to_at": .optional($0.to), "reason": .string($0.reason), "recorded_by": .string($0.recordedBy),
            "lifted_by": .optional($0.liftedBy),
          ]
        })
    ]
  }

  var listLegal: Route {
    Route(
      "listLegalStops", .get, "\(Self.base)/legal-stops",
      summary: "What a court, a regulator or the bank's lawyers stopped, past stops too", tag: Self.tag,
      access: Self.readers, parameters: [Self.number],
      answers: [.json(.output(.required("items", .array(Self.legal))), "In order")]
    ) { call in
      try await database.look(call, purpose: "preferences") { connection in
        let number = try known(call, connection)
        return (
          Reply.json(try legalJSON(number, connection)), seen: [Sight(customer: number, subject: number.description)]
        )
      }
    }
  }

  var addLegal: Route {
    Route(
      "addLegalStop", .post, "\(Self.base)/legal-stops", summary: "Stop proactive service to a customer by law",
      tag: Self.tag, access: Self.keepers, parameters: [Self.number],
      body: .init(
        .input(
          .optional("purpose", .nullable(.string(minimum: 1, maximum: 64)), "Null: every purpose"),
          .optional("to_at", .nullable(.time)), .required("reason", .string(minimum: 1, maximum: 500)))),
      answers: [.json(.output(.required("items", .array(Self.legal))), "All of them", status: 201)],
      needsIdempotencyKey: true
    ) { call in
      let purpose = call.body["purpose"]?.string.map(Purpose.init(rawValue:))
      if let purpose, profile().purposes[purpose] == nil { throw Problem.unknown("#/purpose") }
      let end = call.body["to_at"]?.string.flatMap { Timestamp($0) }
      if let end, end <= call.now { throw Problem.unknown("#/to_at", "> now") }
      return try await database.act(call) { transaction, actor in
        let number = try known(call, transaction)
        let id = StopID(at: call.now)
        try transaction.stopLegally(
          number, id: id, purpose: purpose, until: end, reason: call.body["reason"]?.string ?? "", actor: actor,
          at: call.now)
        try transaction.audit(
          "legal_stop.add", id, customer: number, reason: call.body["reason"]?.string, after: call.body, by: actor,
          at: call.now)
        return .json(try legalJSON(number, transaction), status: 201)
      }
    }
  }

  var liftLegal: Route {
    Route(
      "liftLegalStop", .delete, "\(Self.base)/legal-stops/{id}", summary: "A legal stop ends", tag: Self.tag,
      access: Self.keepers, parameters: [Self.number, .path("id", .id("stop"))], answers: [.empty("It has ended")]
    ) { call in
      let id: StopID = try call.path("id")
      return try await database.act(call) { transaction, actor in
        let number = try known(call, transaction)
        guard try transaction.liftLegalStop(id, of: number, actor: actor, at: call.now) else {
          throw Problem(.notFound)
        }
        try transaction.audit("legal_stop.lift", id, customer: number, by: actor, at: call.now)
        return .empty()
      }
    }
  }
}
