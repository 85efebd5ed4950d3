import Channels
import ContactModel
import Outbound
import Store

/// Groups of customers and who is in them.
extension RecordResources {
  var groupRoutes: [Route] { [listGroups, putGroup, listMembers, putMember, deleteMember] }

  private static let code = Route.Parameter.path("code", .string(minimum: 1, maximum: 64))
  private static let groupSchema = Schema.named(
    "CustomerGroup",
    .output(
      .required("code", .string()), .required("group_type", .word(CustomerGroup.Kind.allCases.map(\.rawValue))),
      .required("name_zh", .string()), .required("name_en", .string()), .required("criterion", .nullable(.string()))))

  private func json(_ group: CustomerGroup) -> JSONValue {
    [
      "code": .text(group.code), "group_type": .string(group.kind.rawValue), "name_zh": .string(group.nameZh),
      "name_en": .string(group.nameEn), "criterion": .optional(group.criterion),
    ]
  }

  private var listGroups: Route {
    Route(
      "listCustomerGroups", .get, "/v1/customer-groups", summary: "Groups of customers", tag: "customer-groups",
      access: .anyRole, answers: [.json(.output(.required("items", .array(Self.groupSchema))), "By code")]
    ) { _ in
      let groups = try await database.look { try $0.groups() }
      return .json(["items": .array(groups.map(json))])
    }
  }

  private var putGroup: Route {
    Route(
      "putCustomerGroup", .put, "/v1/customer-groups/{code}", summary: "Add a group or rename it; its type stays",
      tag: "customer-groups", access: .roles(.marketing, .integration), parameters: [Self.code],
      body: .init(
        .input(
          .required("group_type", .word(CustomerGroup.Kind.allCases.map(\.rawValue))),
          .required("name_zh", .string(minimum: 1, maximum: 200)),
          .required("name_en", .string(minimum: 1, maximum: 200)),
          .optional("criterion", .nullable(.string(maximum: 4_000)), "Of concept and time groups"))),
      answers: [.json(Self.groupSchema, "As it is now")]
    ) { call in
      let code: Code = try call.path("code")
      guard let kind = call.body["group_type"]?.string.flatMap(CustomerGroup.Kind.init) else {
        throw Problem(.invalidInput)
      }
      let criterion = call.body["criterion"]?.string
      if kind != .entity, criterion == nil {
        throw Problem(.invalidInput, violations: [Violation(.body(pointer: "#/criterion"), .required)])
      }
      if kind != .entity, let criterion {
        do {
          _ = try Criterion(criterion)
        } catch let fault as CriterionFault {
          let words = fault.words(in: call.language == .chinese ? .zh : .en)
          throw Problem(.invalidInput, violations: [Violation(.body(pointer: "#/criterion"), .format, expected: words)])
        }
      }
      let group = CustomerGroup(
        code: code, kind: kind, nameZh: call.body["name_zh"]?.string ?? "", nameEn: call.body["name_en"]?.string ?? "",
        criterion: criterion)
      return try await database.act(call) { transaction, actor in
        if let known = try transaction.group(code), known.kind != kind { throw Problem.unknown("#/group_type") }
        try transaction.upsert(group, at: call.now)
        try transaction.audit("customer_group.put", code, after: json(group), by: actor, at: call.now)
        return .json(json(group))
      }
    }
  }

  private var listMembers: Route {
    Route(
      "listGroupMembers", .get, "/v1/customer-groups/{code}/customers", summary: "Members by number",
      tag: "customer-groups", access: .roles(.marketing, .supervisor, .integration, .auditor),
      parameters: [Self.code, .query("day", .string(minimum: 10, maximum: 10), "Of a time group: a UTC day")]
        + Route.Parameter.page,
      answers: [.json(.page(of: .output(.required("customer_no", .string()))), "A page")]
    ) { call in
      let code: Code = try call.path("code")
      let page = try Page(call, cursors)
      let last: CustomerNumber? = try page.last()
      let day = call.text("day")
      return try await database.look(call, purpose: "campaign") { connection in
        guard try connection.group(code) != nil else { throw Problem(.notFound) }
        let rows = try connection.members(
          of: code, on: day, scope: Scope(call, connection).limits, after: last, limit: page.limit)
        let reply = page.reply(rows, keys: { [.text($0)] }, json: { ["customer_no": .text($0)] })
        return (reply, seen: [Sight(customer: nil, subject: "customer-group/\(code)")])
      }
    }
  }

  private static let member: [Route.Parameter] = [code, .path("customer_no", .string(minimum: 1, maximum: 32))]

  private var putMember: Route {
    Route(
      "putGroupMember", .put, "/v1/customer-groups/{code}/customers/{customer_no}",
      summary: "Put a customer into an entity group, or into a time group for today", tag: "customer-groups",
      access: .roles(.marketing, .integration), parameters: Self.member, answers: [.empty("It is in")]
    ) { call in
      let code: Code = try call.path("code")
      let number: CustomerNumber = try call.path("customer_no")
      return try await database.act(call) { transaction, actor in
        guard let group = try transaction.group(code), let customer = try transaction.customer(number),
          try Scope(call, transaction).includes(customer)
        else {
          throw Problem(.notFound)
        }
        switch group.kind {
        case .entity: _ = try transaction.addMember(number, to: code, department: nil)
        case .time: _ = try transaction.addMember(number, to: code, on: String(call.now.description.prefix(10)))
        case .concept:
          throw Problem(
            .conflict, LocalizedText(zh: "概念群的成员由条件决定", en: "who is in a concept group follows from its criterion"))
        }
        try transaction.audit("customer_group.add", code, customer: number, by: actor, at: call.now)
        return .empty()
      }
    }
  }

  private var deleteMember: Route {
    Route(
      "removeGroupMember", .delete, "/v1/customer-groups/{code}/customers/{customer_no}",
      summary: "Take a customer out of an entity group", tag: "customer-groups",
      access: .roles(.marketing, .integration), parameters: Self.member, answers: [.empty("It is out")]
    ) { call in
      let code: Code = try call.path("code")
      let number: CustomerNumber = try call.path("customer_no")
      return try await database.act(call) { transaction, actor in
        guard let customer = try transaction.customer(number), try Scope(call, transaction).includes(customer),
          try transaction.removeMember(number, from: code)
        else { throw Problem(.notFound) }
        try transaction.audit("customer_group.remove", code, customer: number, by: actor, at: call.now)
        return .empty()
      }
    }
  }
}
