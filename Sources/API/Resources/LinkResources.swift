import Channels
import ContactModel
import Store

/// The six links between contacts, requests, activities and opportunities.
extension RecordResources {
  var linkRoutes: [Route] { [listLinks, putLink, deleteLink] }

  private static let ends: [Route.Parameter] = [
    .path("id", .string(minimum: 1, maximum: 90), "Of a contact, request, activity or opportunity"),
    .path("other", .string(minimum: 1, maximum: 90), "The other end"),
  ]

  private var listLinks: Route {
    Route(
      "listLinks", .get, "/v1/links/{id}", summary: "Everything a thing is tied to", tag: "links",
      access: Self.readers, parameters: [Self.ends[0]],
      answers: [
        .json(
          .output(
            .required(
              "items",
              .array(
                .output(
                  .required("link", .word(LinkKind.allCases.map(\.rawValue))), .required("other_id", .string()))))),
          "At most 200 of each kind")
      ]
    ) { call in
      let id = call.text("id") ?? ""
      let links = try await database.look { connection in
        let scope = try Scope(call, connection)
        guard try scope.includes(subject: id) else { throw Problem(.notFound) }
        return try connection.links(of: id).filter { try scope.includes(subject: $0.other) }
      }
      return .json([
        "items": .array(links.map { ["link": .string($0.kind.rawValue), "other_id": .string($0.other)] })
      ])
    }
  }

  private func ends(_ call: Call) throws -> (kind: LinkKind, left: String, right: String) {
    guard let link = LinkKind.between(call.text("id") ?? "", call.text("other") ?? "") else { throw Problem(.notFound) }
    return link
  }

  private func requireSeen(_ link: (kind: LinkKind, left: String, right: String), _ scope: Scope) throws {
    guard try scope.includes(subject: link.left), try scope.includes(subject: link.right) else {
      throw Problem(.notFound)
    }
  }

  private var putLink: Route {
    Route(
      "putLink", .put, "/v1/links/{id}/{other}", summary: "Tie two things", tag: "links", access: Self.writers,
      parameters: Self.ends, answers: [.empty("They are tied")]
    ) { call in
      let link = try ends(call)
      return try await database.act(call) { transaction, actor in
        try requireSeen(link, Scope(call, transaction))
        do {
          if try transaction.link(link.kind, link.left, link.right) {
            try transaction.audit("link.put", "\(link.left) \(link.right)", by: actor, at: call.now)
          }
        } catch let error as DatabaseError where error.kind == .foreignKey {
          throw Problem(.notFound)
        }
        return .empty()
      }
    }
  }

  private var deleteLink: Route {
    Route(
      "deleteLink", .delete, "/v1/links/{id}/{other}", summary: "Untie two things", tag: "links", access: Self.writers,
      parameters: Self.ends, answers: [.empty("They are not tied")]
    ) { call in
      let link = try ends(call)
      return try await database.act(call) { transaction, actor in
        try requireSeen(link, Scope(call, transaction))
        do {
          guard try transaction.unlink(link.kind, link.left, link.right) else { throw Problem(.notFound) }
        } catch let error as DatabaseError where error.kind == .check {
          throw Problem(
            .conflict,
            LocalizedText(zh: "联系必须属于至少一个服务请求", en: "a contact belongs to at least one request"))
        }
        try transaction.audit("link.delete", "\(link.left) \(link.right)", by: actor, at: call.now)
        return .empty()
      }
    }
  }
}
