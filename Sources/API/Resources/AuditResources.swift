import Channels
import ContactModel
import Store

/// Who did what and who saw whom, for the auditor: listed, proved and taken out.
extension OperatorResources {
  var auditRoutes: [Route] { [listAudit, exportAudit, verifyAudit, whoSaw] }

  private static let entrySchema = Schema.named(
    "AuditEntry",
    .output(
      .required("seq", .integer(minimum: 1)), .required("at", .time), .required("actor", .string()),
      .required("role", .string()), .required("act", .string()), .required("subject", .string()),
      .required("customer_no", .nullable(.string())), .required("purpose", .nullable(.string())),
      .required("reason", .nullable(.string())), .required("before", .any), .required("after", .any),
      .required("previous_hash", .string()), .required("hash", .string())))

  private static let filters: [Route.Parameter] = [
    .query("after", .integer(minimum: 0), "The last seq seen"), .query("customer_no", .string(maximum: 32)),
    .query("actor", .string(maximum: 100)), .query("act", .string(maximum: 64)), .query("from", .time),
    .query("until", .time), .query("page_size", .integer(minimum: 1, maximum: 1_000), "100 if not given"),
  ]

  private func entries(_ call: Call, limit: Int) async throws -> [AuditEntry] {
    let customer: CustomerNumber? = try call.filter("customer_no")
    return try await database.look(.bulk) { connection in
      try connection.auditEntries(
        after: call.integer("after") ?? 0, customer: customer, actor: call.text("actor"), act: call.text("act"),
        from: call.time("from"), until: call.time("until"), scope: try Scope(call, connection).limits, limit: limit)
    }
  }

  private var listAudit: Route {
    Route(
      "listAudit", .get, "/v1/audit", summary: "The audit in order", tag: "audit", access: .roles(.auditor),
      parameters: Self.filters,
      answers: [
        .json(.output(.required("items", .array(Self.entrySchema)), .required("last_seq", .integer())), "Some rows")
      ]
    ) { call in
      let rows = try await entries(call, limit: call.pageSize)
      let actor = try Actor(call)
      try await database.record([Sight(customer: nil, subject: "audit")], by: actor, purpose: "audit", at: call.now)
      return .json([
        "items": .array(rows.map(\.json)), "last_seq": .integer(rows.last?.seq ?? call.integer("after") ?? 0),
      ])
    }
  }

  private var exportAudit: Route {
    Route(
      "exportAudit", .get, "/v1/audit/export", summary: "The audit as JSON lines, at most 10,000 rows at a time",
      tag: "audit", access: .roles(.auditor), parameters: Self.filters.filter { $0.name != "page_size" },
      answers: [.other("application/jsonl", "One row a line; ask again after the last seq")]
    ) { call in
      let rows = try await entries(call, limit: 10_000)
      let actor = try Actor(call)
      try await database.record([Sight(customer: nil, subject: "audit")], by: actor, purpose: "export", at: call.now)
      var out: [UInt8] = []
      for row in rows {
        out += call.mask.written(row.json)
        out.append(0x0a)
      }
      return .bytes(out, mediaType: "application/jsonl")
    }
  }

  private var verifyAudit: Route {
    Route(
      "verifyAudit", .get, "/v1/audit/verify", summary: "Walk the chain of hashes and say whether it is whole",
      tag: "audit", access: .roles(.auditor),
      answers: [
        .json(
          .output(
            .required("whole", .boolean), .required("rows", .integer()), .required("last_seq", .integer()),
            .required("last_hash", .string(), "Note it elsewhere: it proves later that nothing was cut off"),
            .required("broken_at", .nullable(.integer()), "The first row that does not follow")),
          "The verdict")
      ]
    ) { _ in
      var verdict = AuditVerdict.beginning
      while true {
        let before = verdict
        verdict = try await database.look(.bulk) { try $0.verifyAudit(from: before, limit: 5_000) }
        if verdict.lastSeq == before.lastSeq { break }
      }
      return .json([
        "whole": .bool(verdict.isWhole), "rows": .integer(verdict.rows), "last_seq": .integer(verdict.lastSeq),
        "last_hash": .string(verdict.lastHash), "broken_at": .optional(verdict.brokenAt),
      ])
    }
  }

  private var whoSaw: Route {
    Route(
      "whoSawCustomer", .get, "/v1/audit/customers/{customer_no}",
      summary: "Who saw or changed a customer between two instants", tag: "audit", access: .roles(.auditor),
      parameters: [
        CustomerResources.number, .query("from", .time), .query("until", .time),
        .query("after", .integer(minimum: 0)), .query("page_size", .integer(minimum: 1, maximum: 1_000)),
      ],
      answers: [
        .json(.output(.required("items", .array(Self.entrySchema)), .required("last_seq", .integer())), "In order")
      ]
    ) { call in
      let number: CustomerNumber = try call.path("customer_no")
      let limit = call.pageSize
      let rows = try await database.look { connection in
        if let customer = try connection.customer(number), try !Scope(call, connection).includes(customer) {
          throw Problem(.notFound)
        }
        return try connection.auditEntries(
          after: call.integer("after") ?? 0, customer: number, from: call.time("from"), until: call.time("until"),
          limit: limit)
      }
      let actor = try Actor(call)
      try await database.record([Sight(customer: number, subject: "audit")], by: actor, purpose: "audit", at: call.now)
      return .json([
        "items": .array(rows.map(\.json)), "last_seq": .integer(rows.last?.seq ?? call.integer("after") ?? 0),
      ])
    }
  }
}

extension AuditEntry {
  var json: JSONValue {
    func content(_ text: String?) -> JSONValue {
      // What was written is JSON of ours; anything else is shown as it stands.
      text.map { (try? JSONReader.read(Array($0.utf8))) ?? .string($0) } ?? .null
    }
    return [
      "seq": .integer(seq), "at": .time(at), "actor": .string(actor), "role": .string(role), "act": .string(act),
      "subject": .string(subject), "customer_no": .optional(customerNo), "purpose": .optional(purpose),
      "reason": .optional(reason), "before": content(before), "after": content(after),
      "previous_hash": .string(previousHash), "hash": .string(hash),
    ]
  }
}
