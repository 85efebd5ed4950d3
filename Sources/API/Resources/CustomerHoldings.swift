import Channels
import ContactModel
import Customers
import Store

/// What hangs on a customer: accounts, relations to other customers, and the timeline of contacts.
extension CustomerResources {
  var holdingRoutes: [Route] { [listAccounts, putAccount, endAccount, listRelations, putRelation, timeline] }

  private static let accountSchema = Schema.named(
    "CustomerAccount",
    .output(
      .required("account_no", .string()), .required("business_system", .string()),
      .required("department", .nullable(.string())), .required("from_at", .time), .required("to_at", .nullable(.time))))

  private func accountsJSON(_ number: CustomerNumber, _ connection: any Connection) throws -> JSONValue {
    let accounts = try connection.accounts(of: number)
    return [
      "items": .array(
        accounts.map {
          [
            "account_no": .string($0.accountNo), "business_system": .string($0.businessSystem),
            "department": .optional($0.department), "from_at": .time($0.from), "to_at": .optional($0.to),
          ]
        })
    ]
  }

  private var listAccounts: Route {
    Route(
      "listAccounts", .get, "/v1/customers/{customer_no}/accounts", summary: "Accounts, past ones too",
      tag: "customers", access: Self.readers, parameters: [Self.number] + Self.purpose,
      answers: [.json(.output(.required("items", .array(Self.accountSchema))), "At most 1,000")]
    ) { call in
      try await database.look(call, purpose: call.text("purpose") ?? "customer") { connection in
        let number = try known(call, connection).customerNo
        return (Reply.json(try accountsJSON(number, connection)), seen: sight(call, number))
      }
    }
  }

  private var putAccount: Route {
    Route(
      "putAccount", .put, "/v1/customers/{customer_no}/accounts/{account_no}", summary: "A customer has an account",
      tag: "customers", access: Self.writers,
      parameters: [Self.number, .path("account_no", .string(minimum: 1, maximum: 64))],
      body: .init(.input(.required("business_system", .string(minimum: 1, maximum: 64)))),
      answers: [.json(.output(.required("items", .array(Self.accountSchema))), "All his accounts")]
    ) { call in
      guard let account = NormalForm.number(call.text("account_no") ?? "") else { throw Problem(.notFound) }
      return try await database.act(call) { transaction, actor in
        let number = try known(call, transaction).customerNo
        try transaction.addAccount(
          account, of: number, system: call.body["business_system"]?.string ?? "", at: call.now)
        try transaction.audit(
          "account.put", number, customer: number, after: ["account_no": .string(account)], by: actor, at: call.now)
        return .json(try accountsJSON(number, transaction))
      }
    }
  }

  private var endAccount: Route {
    Route(
      "endAccount", .delete, "/v1/customers/{customer_no}/accounts/{account_no}",
      summary: "A customer has an account no longer; that he had it stays known", tag: "customers",
      access: Self.writers, parameters: [Self.number, .path("account_no", .string(minimum: 1, maximum: 64))],
      answers: [.empty("Ended")]
    ) { call in
      guard let account = NormalForm.number(call.text("account_no") ?? "") else { throw Problem(.notFound) }
      return try await database.act(call) { transaction, actor in
        let number = try known(call, transaction).customerNo
        guard try transaction.endAccount(account, of: number, at: call.now) else { throw Problem(.notFound) }
        try transaction.audit(
          "account.end", number, customer: number, before: ["account_no": .string(account)], by: actor, at: call.now)
        return .empty()
      }
    }
  }

  private static let relationSchema = Schema.named(
    "CustomerRelation",
    .output(
      .required("customer_no", .string()), .required("customer_no_r", .string()), .required("relation", .string()),
      .required("from_at", .time), .required("to_at", .nullable(.time))))

  private func json(_ relation: CustomerRelation) -> JSONValue {
    [
      "customer_no": .text(relation.customerNo), "customer_no_r": .text(relation.other),
      "relation": .text(relation.relation), "from_at": .time(relation.from), "to_at": .optional(relation.to),
    ]
  }

  private var listRelations: Route {
    Route(
      "listRelations", .get, "/v1/customers/{customer_no}/relations", summary: "How a customer stands to others",
      tag: "customers", access: Self.readers, parameters: [Self.number] + Self.purpose,
      answers: [.json(.output(.required("items", .array(Self.relationSchema))), "At most 1,000")]
    ) { call in
      try await database.look(call, purpose: call.text("purpose") ?? "customer") { connection in
        let number = try known(call, connection).customerNo
        let items = try connection.relations(of: number).map(json)
        return (Reply.json(["items": .array(items)]), seen: sight(call, number))
      }
    }
  }

  private var putRelation: Route {
    Route(
      "putRelation", .put, "/v1/customers/{customer_no}/relations/{other}",
      summary: "How a customer stands to another, or that it ended", tag: "customers", access: Self.writers,
      parameters: [Self.number, .path("other", .string(minimum: 1, maximum: 32))],
      body: .init(
        .input(
          .required("relation", .string(minimum: 1, maximum: 64), "group_member, parent, contact_person, …"),
          .optional("from_at", .time), .optional("to_at", .nullable(.time)))),
      answers: [.json(Self.relationSchema, "The relation")]
    ) { call in
      let other: CustomerNumber = try call.path("other")
      guard let relation: Code = try call.member("relation") else { throw Problem(.invalidInput) }
      return try await database.act(call) { transaction, actor in
        let number = try known(call, transaction).customerNo
        guard let another = try transaction.customer(other), try Scope(call, transaction).includes(another) else {
          throw Problem(.notFound)
        }
        guard other != number else { throw Problem(.conflict) }
        let value = CustomerRelation(
          customerNo: number, other: other, relation: relation,
          from: call.body["from_at"]?.string.flatMap { Timestamp($0) } ?? call.now,
          to: call.body["to_at"]?.string.flatMap { Timestamp($0) })
        try transaction.upsert(value)
        try transaction.audit("relation.put", number, customer: number, after: json(value), by: actor, at: call.now)
        return .json(json(value))
      }
    }
  }

  private var timeline: Route {
    Route(
      "getTimeline", .get, "/v1/customers/{customer_no}/timeline",
      summary: "A customer's contacts over all channels, newest first, each with its requests", tag: "customers",
      access: Self.readers, parameters: [Self.number] + Self.purpose + Route.Parameter.page,
      answers: [
        .json(
          .page(
            of: .output(
              .required("contact", Contact.schema), .required("request_ids", .array(.id("request"))))), "A page")
      ]
    ) { call in
      let page = try Page(call, cursors)
      var last: (received: Timestamp, id: ContactID)?
      if page.after.count == 2, let time = page.after[0].integer,
        let id = page.after[1].string.flatMap({ ContactID($0) })
      {
        last = (Timestamp(microseconds: time), id)
      }
      let after = last
      return try await database.look(call, purpose: call.text("purpose") ?? "customer") { connection in
        let number = try known(call, connection).customerNo
        var filter = ContactFilter()
        filter.customerNo = number
        filter.scope = try Scope(call, connection).limits
        let contacts = try connection.contacts(matching: filter, after: after, limit: page.limit)
        let requests = try connection.requestIDs(of: contacts.map(\.id))
        let reply = page.reply(
          contacts, keys: { [.integer($0.times.received.microseconds), .text($0.id)] },
          json: { ["contact": $0.json, "request_ids": .array((requests[$0.id] ?? []).map { .text($0) })] })
        return (reply, seen: sight(call, number))
      }
    }
  }
}
