import Channels
import ContactModel
import Customers
import Outbound
import Store

/// What is known of a customer that decides how he may be addressed, and who lives with whom.
extension PreferenceResources {
  private static let flags: [Schema.Member] = [
    .required("deceased", .boolean), .required("minor", .boolean),
    .required("guardian", .nullable(.string(maximum: 32)), "A customer number"),
    .required("manager_only", .boolean, "Only his customer manager may contact him"),
    .required("no_profiling", .boolean, "Nothing is learned of his behaviour"),
    .required("household", .nullable(.string(maximum: 64)), "One campaign reaches one of a household"),
  ]
  private static let flagsSchema = Schema.named("CustomerFlags", .object(.init(members: flags, closed: false)))

  private func json(_ flags: CustomerFlags) -> JSONValue {
    [
      "deceased": .bool(flags.deceased), "minor": .bool(flags.minor), "guardian": .optional(flags.guardian),
      "manager_only": .bool(flags.managerOnly), "no_profiling": .bool(flags.noProfiling),
      "household": .optional(flags.household),
    ]
  }

  var getFlags: Route {
    Route(
      "getCustomerFlags", .get, "\(Self.base)/flags", summary: "Flags that bear on every contact with a customer",
      tag: Self.tag, access: Self.readers, parameters: [Self.number], answers: [.json(Self.flagsSchema, "The flags")]
    ) { call in
      try await database.look(call, purpose: "preferences") { connection in
        let number = try known(call, connection)
        return (
          Reply.json(json(try connection.flags(of: number))),
          seen: [Sight(customer: number, subject: number.description)]
        )
      }
    }
  }

  var putFlags: Route {
    Route(
      "putCustomerFlags", .put, "\(Self.base)/flags", summary: "Set a customer's flags", tag: Self.tag,
      access: Self.keepers, parameters: [Self.number], body: .init(.object(.init(members: Self.flags, closed: true))),
      answers: [.json(Self.flagsSchema, "As they are now")]
    ) { call in
      var flags = CustomerFlags()
      flags.deceased = call.body["deceased"]?.bool ?? false
      flags.minor = call.body["minor"]?.bool ?? false
      flags.guardian = try call.member("guardian")
      flags.managerOnly = call.body["manager_only"]?.bool ?? false
      flags.noProfiling = call.body["no_profiling"]?.bool ?? false
      flags.household = call.body["household"]?.string
      let wanted = flags
      return try await database.act(call) { transaction, actor in
        let number = try known(call, transaction)
        if let guardian = wanted.guardian, try guardian == number || transaction.customer(guardian) == nil {
          throw Problem.unknown("#/guardian")
        }
        let before = try transaction.flags(of: number)
        try transaction.set(wanted, of: number, actor: actor, at: call.now)
        try transaction.audit(
          "customer_flags.put", number, customer: number, before: json(before), after: json(wanted), by: actor,
          at: call.now)
        return .json(json(wanted))
      }
    }
  }

  var household: Route {
    Route(
      "listHousehold", .get, "/v1/households/{household}/customers", summary: "Who lives in a household",
      tag: Self.tag, access: Self.readers, parameters: [.path("household", .string(minimum: 1, maximum: 64))],
      answers: [
        .json(.output(.required("items", .array(.output(.required("customer_no", .string()))))), "At most 1,000")
      ]
    ) { call in
      let name = call.text("household") ?? ""
      return try await database.look(call, purpose: "preferences") { connection in
        let scope = try Scope(call, connection)
        let numbers = try connection.household(name, limit: 1_000).filter { number in
          try connection.customer(number).map(scope.includes) ?? false
        }
        return (
          Reply.json(["items": .array(numbers.map { ["customer_no": .text($0)] })]),
          seen: numbers.map { Sight(customer: $0, subject: "household") }
        )
      }
    }
  }
}
