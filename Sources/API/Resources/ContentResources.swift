import Channels
import ContactModel
import Store

/// What came with a contact: its attachments, and its text as a page to look at.
///
/// Everything here was written by a stranger: it is sent as a download or under a sandbox, never sniffed, never run in
/// the origin of the API. What a role does not see stays hidden here too: text is masked, and what is no text is not
/// given at all to a role from which files are hidden.
public struct ContentResources: Sendable {
  let database: Database
  let bodies: BodyStore

  public init(database: Database, bodies: BodyStore) {
    self.database = database
    self.bodies = bodies
  }

  public var routes: [Route] { [attachment, page] }

  private static let parameters: [Route.Parameter] = [.path("id", .id("contact"))]
  /// CSP level 3 §6.4: no script, no form, no frame, no origin.
  private static let sandbox = [
    HeaderField("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"),
    HeaderField("Cross-Origin-Resource-Policy", "same-origin"), HeaderField("Referrer-Policy", "no-referrer"),
  ]

  private func seen(_ call: Call, _ connection: any Connection) throws -> Contact {
    guard let contact = try connection.contact(call.path("id")), try Scope(call, connection).includes(contact) else {
      throw Problem(.notFound)
    }
    return contact
  }

  private var attachment: Route {
    Route(
      "getAttachment", .get, "/v1/contacts/{id}/attachments/{n}", summary: "An attachment, as a download",
      tag: "contacts", access: RecordResources.readers,
      parameters: Self.parameters + [.path("n", .integer(minimum: 0, maximum: 10_000), "Its `position`")],
      answers: [.other("*/*", "The bytes; text masked as the role demands")]
    ) { call in
      let found = try await database.look(call, purpose: "contact") { connection in
        let contact = try seen(call, connection)
        guard
          let part = try connection.attachments(of: contact.id).first(where: { $0.position == call.integer("n") ?? 0 })
        else { throw Problem(.notFound) }
        return (part, seen: [Sight(customer: contact.customerNo, subject: contact.id.description)])
      }
      let isText = found.mediaType.hasPrefix("text/")
      guard isText || !call.mask.hidden.contains(.file) else {
        throw Problem(
          .forbidden, LocalizedText(zh: "该角色看不到文件内容", en: "what is in files is hidden from this role"))
      }
      guard let digest = BodyDigest(found.sha256) else { throw Problem(.notFound) }
      var bytes = try await bodies.read(digest)
      if isText, !call.mask.hidden.isEmpty {
        // Another charset than UTF-8 could hide what is searched for: then it is given only to who may see files.
        if let text = String(validating: bytes, as: UTF8.self) {
          bytes = Array(call.mask.apply(to: text).utf8)
        } else if call.mask.hidden.contains(.file) {
          throw Problem(.forbidden)
        }
      }
      var reply = Reply.bytes(
        bytes, mediaType: isMediaType(found.mediaType) ? found.mediaType : "application/octet-stream")
      reply.headers = [contentDisposition(found.name ?? "attachment-\(found.position)")] + Self.sandbox
      return reply
    }
  }

  private var page: Route {
    Route(
      "getContactPage", .get, "/v1/contacts/{id}/body", summary: "What was written, as a page without anything active",
      tag: "contacts", access: RecordResources.readers, parameters: Self.parameters,
      answers: [.other("text/html", "The sanitised HTML, or the text where there is none or something is hidden in it")]
    ) { call in
      let (contact, message) = try await database.look(call, purpose: "contact") { connection in
        let contact = try seen(call, connection)
        var message: InboundMessage?
        if let arrival = try contact.arrival.flatMap({ try connection.arrival($0) })?.arrival,
          case .message(let found) = arrival.payload
        {
          message = found
        }
        return ((contact, message), seen: [Sight(customer: contact.customerNo, subject: contact.id.description)])
      }
      let text = message.map { $0.fullText ?? $0.text } ?? contact.content
      var inner = "<pre style=\"white-space:pre-wrap\">\(escaped(call.mask.apply(to: text)))</pre>"
      if let html = message?.html, call.mask.hides(nothingIn: html) { inner = html }
      let title = escaped(call.mask.apply(to: contact.summary))
      let document =
        "<!doctype html><html><head><meta charset=\"utf-8\"><title>\(title)</title></head><body>\(inner)</body></html>"
      var reply = Reply.bytes(Array(document.utf8), mediaType: "text/html; charset=utf-8")
      reply.headers = Self.sandbox
      return reply
    }
  }
}

extension FieldMask {
  /// True if neither the source nor the text between its tags holds anything to hide: a number may be cut in two by a
  /// tag, and an address may stand in an attribute.
  fileprivate func hides(nothingIn html: String) -> Bool {
    var text = ""
    var isTag = false
    for character in html {
      switch character {
      case "<": isTag = true
      case ">" where isTag: isTag = false
      default: if !isTag { text.append(character) }
      }
    }
    return apply(to: html) == html && apply(to: text) == text
  }
}

/// RFC 6266 §4.3 with RFC 8187 for what is not ASCII; the plain form without quotes, controls or separators of paths.
func contentDisposition(_ name: String) -> HeaderField {
  let leaf = name.split(whereSeparator: { $0 == "/" || $0 == "\\" }).last.map(String.init) ?? "attachment"
  let short = String(leaf.prefix(150))
  let plain = String(
    short.unicodeScalars.map {
      (0x20...0x7e).contains($0.value) && !"\"\\%;".unicodeScalars.contains($0) ? Character($0) : "_"
    })
  var coded = ""
  for byte in short.utf8 {
    let isPlain =
      (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte | 0x20) && byte < 0x80
      || [0x2d, 0x2e, 0x5f].contains(byte)
    coded += isPlain ? String(UnicodeScalar(byte)) : "%" + hexadecimal([byte]).uppercased()
  }
  return HeaderField("Content-Disposition", "attachment; filename=\"\(plain)\"; filename*=UTF-8''\(coded)")
}

/// A stranger's word: only the form `type/subtype` goes into a header.
private func isMediaType(_ text: String) -> Bool {
  let parts = text.split(separator: "/", omittingEmptySubsequences: false)
  return parts.count == 2
    && parts.allSatisfy { part in
      (1...100).contains(part.utf8.count)
        && part.utf8.allSatisfy { byte in
          (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte | 0x20) || [0x2b, 0x2d, 0x2e].contains(byte)
        }
    }
}

private func escaped(_ text: String) -> String {
  text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
    .replacing("\"", with: "&quot;")
}
