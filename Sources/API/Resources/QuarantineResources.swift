import Channels
import ContactModel
import Foundation
import Store

/// What was set aside because nobody could read it: seen, taken out as bytes, mended, and put back to work.
extension OperatorResources {
  var quarantineRoutes: [Route] { [list, item, raw, reprocess] }

  private static let arrival = Route.Parameter.path("arrival", .id("arrival"))
  private static let itemSchema = Schema.named(
    "QuarantineItem",
    .output(
      .required("arrival_id", .id("arrival")), .required("channel", .string()), .required("code", .string()),
      .required("reason", .string()), .required("since", .time), .required("attempts", .integer(minimum: 1)),
      .required("raw_size", .integer(minimum: 0), "Bytes as received")))

  private var list: Route {
    Route(
      "listQuarantine", .get, "/v1/quarantine", summary: "What is in quarantine now, oldest first", tag: "operations",
      access: .roles(.supervisor, .auditor),
      parameters: [
        .query("page_size", .integer(minimum: 1, maximum: 1_000), "100 if not given"),
        .query("after", .id("arrival"), "The last of the page before"),
      ],
      answers: [.json(.output(.required("items", .array(Self.itemSchema))), "At most page_size")]
    ) { call in
      let after: ArrivalID? = try call.filter("after")
      let limit = call.pageSize
      let items = try await database.look { connection in
        let last = try after.flatMap { try connection.quarantineItem($0) }?.item
        return try connection.quarantine(after: last.map { ($0.since, $0.arrivalId) }, limit: limit)
      }
      return .json(["items": .array(try items.map(JSONValue.encoding))])
    }
  }

  private var item: Route {
    Route(
      "getQuarantined", .get, "/v1/quarantine/{arrival}", summary: "One arrival that was set aside, without its bytes",
      tag: "operations", access: .roles(.supervisor, .auditor), parameters: [Self.arrival],
      answers: [
        .json(
          .output(
            .required("item", Self.itemSchema), .required("state", .word(["kept", "routed", "quarantined"])),
            .required("released_at", .nullable(.time)), .required("channel", .string()),
            .required("from", .nullable(Address.schema)), .required("to", .nullable(Address.schema)),
            .required("received_at", .time), .required("stored_at", .time), .required("payload_kind", .string()),
            .required("raw_sha256", .nullable(.string())), .required("attachments", .integer())),
          "What is known of it")
      ]
    ) { call in
      let id: ArrivalID = try call.path("arrival")
      return try await database.look(call, purpose: "quarantine") { connection in
        guard let found = try connection.quarantineItem(id), let (arrival, state) = try connection.arrival(id) else {
          throw Problem(.notFound)
        }
        let sha256: String? = if case .file(let sha256, _) = arrival.raw { sha256 } else { nil }
        let value: JSONValue = [
          "item": try .encoding(found.item), "state": .string(state), "released_at": .optional(found.releasedAt),
          "channel": .string(arrival.channel.name), "from": arrival.from?.json ?? .null,
          "to": arrival.to?.json ?? .null, "received_at": .time(arrival.receivedAt),
          "stored_at": .time(arrival.storedAt), "payload_kind": .string(arrival.payload.kind),
          "raw_sha256": .optional(sha256),
          "attachments": .count(arrival.attachments.count),
        ]
        return (Reply.json(value), seen: [Sight(customer: nil, subject: id.description)])
      }
    }
  }

  private var raw: Route {
    Route(
      "getQuarantinedBytes", .get, "/v1/quarantine/{arrival}/raw", summary: "The bytes as received, to mend them",
      tag: "operations", access: .roles(), parameters: [Self.arrival],
      answers: [.other("application/octet-stream", "Every byte")]
    ) { call in
      let id: ArrivalID = try call.path("arrival")
      guard !call.mask.hidden.contains(.file) else { throw Problem(.forbidden) }
      let raw = try await database.look(call, purpose: "quarantine") { connection in
        guard try connection.quarantineItem(id) != nil, let (arrival, _) = try connection.arrival(id) else {
          throw Problem(.notFound)
        }
        return (arrival.raw, seen: [Sight(customer: nil, subject: id.description)])
      }
      switch raw {
      case .inline(let bytes): return .bytes(bytes, mediaType: "application/octet-stream")
      case .file(let sha256, _):
        guard let digest = BodyDigest(sha256) else { throw Problem(.notFound) }
        let bytes = try await bodies.read(digest)
        return .bytes(bytes, mediaType: "application/octet-stream")
      }
    }
  }

  private var reprocess: Route {
    Route(
      "reprocessQuarantined", .post, "/v1/quarantine/{arrival}/reprocess",
      summary: "Put it back to work, as it was or mended; the original bytes are kept", tag: "operations",
      access: .roles(), parameters: [Self.arrival],
      body: .init(
        .input(
          .optional("mended", .string(maximum: 40_000_000), "The mended bytes in base 64"),
          .optional("reason", .string(maximum: 500))), maximumBytes: 41_000_000),
      answers: [.json(.output(.required("arrival_id", .id("arrival"))), "Back in work", status: 202)]
    ) { call in
      let id: ArrivalID = try call.path("arrival")
      var mended: [UInt8]?
      if let text = call.body["mended"]?.string {
        guard let data = Data(base64Encoded: text) else {
          throw Problem(
            .invalidInput, violations: [Violation(.body(pointer: "#/mended"), .format, expected: "base64")])
        }
        mended = Array(data)
      }
      let actor = try Actor(call)
      let found = try await database.look(.live) { try $0.quarantineItem(id) }
      guard found != nil else { throw Problem(.notFound) }
      let bytes = mended
      let isReleased = try await translatingErrors { try await actions.reprocess(id, bytes, actor) }
      guard isReleased else {
        throw Problem(.conflict, LocalizedText(zh: "该项已不在隔离区", en: "it is not in quarantine any more"))
      }
      try await translatingErrors {
        try await database.write { transaction in
          try transaction.audit(
            bytes == nil ? "quarantine.reprocess" : "quarantine.mend", id, reason: call.body["reason"]?.string,
            by: actor, at: call.now)
        }
      }
      return .json(["arrival_id": .text(id)], status: 202)
    }
  }
}
