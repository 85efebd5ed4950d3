import Channels
import ContactModel
import Customers
import Outbound
import Store

/// Times at which a customer is left alone.
extension PreferenceResources {
  private static let quiet = Schema.output(
    .required("id", .id("quiet")), .required("channel", .nullable(.string())), .required("from", .nullable(.string())),
    .required("to", .nullable(.string())), .required("days", .nullable(.array(.integer()))),
    .required("from_at", .nullable(.time)), .required("to_at", .nullable(.time)))

  private func json(_ record: QuietRecord) -> JSONValue {
    func clock(_ minutes: Int) -> JSONValue {
      func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
      return .string("\(two(minutes / 60)):\(two(minutes % 60))")
    }
    var object = JSONObject([
      .init(name: "id", value: .text(record.id)),
      .init(name: "channel", value: .optional(record.quiet.channel?.rawValue)),
    ])
    switch record.quiet.time {
    case .daily(let window):
      object["from"] = clock(window.from)
      object["to"] = clock(window.to)
      object["days"] = .array(window.days.map { .count($0) })
      object["from_at"] = .null
      object["to_at"] = .null
    case .range(let from, let to):
      for name in ["from", "to", "days"] { object[name] = .null }
      object["from_at"] = .time(from)
      object["to_at"] = .time(to)
    }
    return .object(object)
  }

  private func quietsJSON(_ number: CustomerNumber, _ connection: any Connection) throws -> JSONValue {
    ["items": .array(try connection.quiets(of: number).map(json))]
  }

  var listQuiet: Route {
    Route(
      "listDoNotDisturb", .get, "\(Self.base)/do-not-disturb", summary: "When a customer wants to be left alone",
      tag: Self.tag, access: Self.readers, parameters: [Self.number],
      answers: [.json(.output(.required("items", .array(Self.quiet))), "In force")]
    ) { call in
      try await database.look(call, purpose: "preferences") { connection in
        let number = try known(call, connection)
        return (
          Reply.json(try quietsJSON(number, connection)), seen: [Sight(customer: number, subject: number.description)]
        )
      }
    }
  }

  var addQuiet: Route {
    Route(
      "addDoNotDisturb", .post, "\(Self.base)/do-not-disturb",
      summary:
        "Hours of the day on his own wall clock (`from`, `to`, `days`), or a stretch of time (`from_at`, `to_at`)",
      tag: Self.tag, access: Self.writers, parameters: [Self.number],
      body: .init(
        .input(
          .optional("channel", .nullable(.string(minimum: 1, maximum: 32)), "Null: every channel"),
          .optional("from", .string(minimum: 5, maximum: 5), "22:00"),
          .optional("to", .string(minimum: 5, maximum: 5), "07:30"),
          .optional("days", .array(.integer(minimum: 1, maximum: 7), maximum: 7), "1 is Monday; all if not given"),
          .optional("from_at", .time), .optional("to_at", .time), .required("evidence", Self.evidence))),
      answers: [.json(.output(.required("items", .array(Self.quiet))), "In force now", status: 201)],
      needsIdempotencyKey: true
    ) { call in
      func minutes(_ name: String) -> Int? {
        let parts = (call.body[name]?.string ?? "").split(separator: ":").map { Int($0) }
        guard parts.count == 2, let hour = parts[0], let minute = parts[1], (0..<60).contains(minute),
          (0...24).contains(hour)
        else { return nil }
        return hour * 60 + minute
      }
      let time: DoNotDisturb.Time
      if let from = minutes("from"), let to = minutes("to"), call.body["from_at"] == nil,
        let window = DailyWindow(
          from: from, to: to, days: call.body["days"]?.array?.compactMap { $0.integer.map { Int($0) } } ?? Array(1...7))
      {
        time = .daily(window)
      } else if call.body["from"] == nil, let from = call.body["from_at"]?.string.flatMap({ Timestamp($0) }),
        let to = call.body["to_at"]?.string.flatMap({ Timestamp($0) }), from < to
      {
        time = .range(from: from, to: to)
      } else {
        throw Problem(
          .invalidInput,
          violations: [Violation(.body(pointer: "#/from"), .format, expected: "from, to | from_at < to_at")])
      }
      let channel = call.body["channel"]?.string.map(OutboundChannel.init(rawValue:))
      return try await database.act(call) { transaction, actor in
        let number = try known(call, transaction)
        let record = QuietRecord(id: QuietID(at: call.now), quiet: DoNotDisturb(channel: channel, time: time))
        try transaction.record(record, of: number, evidence: Self.evidence(call, actor), at: call.now)
        try transaction.audit(
          "do_not_disturb.add", record.id, customer: number, after: json(record), by: actor, at: call.now)
        return .json(try quietsJSON(number, transaction), status: 201)
      }
    }
  }

  var liftQuiet: Route {
    Route(
      "liftDoNotDisturb", .delete, "\(Self.base)/do-not-disturb/{id}", summary: "A quiet time ends", tag: Self.tag,
      access: Self.writers, parameters: [Self.number, .path("id", .id("quiet"))], answers: [.empty("It has ended")]
    ) { call in
      let id: QuietID = try call.path("id")
      return try await database.act(call) { transaction, actor in
        let number = try known(call, transaction)
        guard try transaction.quiets(of: number).contains(where: { $0.id == id }),
          try transaction.liftQuiet(id, at: call.now)
        else { throw Problem(.notFound) }
        try transaction.audit("do_not_disturb.lift", id, customer: number, by: actor, at: call.now)
        return .empty()
      }
    }
  }
}
