import Channels
import Crypto
import Logging

/// A checked request: what a handler is given.
public struct Call: Sendable {
  public var operationID: String
  /// Nil only for open operations.
  public var principal: Principal?
  /// Path, query and header parameters that were given, each of its schema's type.
  public var parameters: [String: JSONValue]
  /// Of its schema; `null` if the operation takes none.
  public var body: JSONValue
  /// Of operations that take a file.
  public var upload: UploadedFile?
  public var idempotency: IdempotencyKey?
  public var condition: EntityTag.Condition?
  /// The If-None-Match field, for a 304.
  public var ifNoneMatch: String?
  public var lastEventID: String?
  public var language: Language
  public var trace: TraceContext
  public var requestID: String
  public var remoteAddress: String?
  public var now: Timestamp
  public var mask: FieldMask
  public var logger: Logger

  public func text(_ parameter: String) -> String? { parameters[parameter]?.string }
  public func integer(_ parameter: String) -> Int64? { parameters[parameter]?.integer }
  public var pageSize: Int { Int(integer("page_size") ?? 100) }

  /// The principal of an operation that is not open.
  public func caller() throws -> Principal {
    guard let principal else { throw Problem(.unauthenticated) }
    return principal
  }
}

/// A file as it comes in. Read once, by one task.
public struct UploadedFile: Sendable {
  /// One of the operation's.
  public var mediaType: String
  /// Throws `too-large` beyond the operation's limit.
  public var pieces: AsyncThrowingStream<[UInt8], any Error>
}

/// What makes a repeated POST the same POST.
/// Source: draft-ietf-httpapi-idempotency-key-header-06 §2.
public struct IdempotencyKey: Hashable, Sendable {
  /// As the client gave it, without quotes; 1 to 255 visible ASCII characters. Unique within its principal.
  public var key: String
  /// SHA-256 of method, path and body: the same key with another fingerprint is a mistake of the client (422).
  public var fingerprint: [UInt8]

  init?(field: String, method: String, path: String, body: [UInt8]) {
    var key = Substring(field)
    if key.count >= 2, key.hasPrefix("\""), key.hasSuffix("\"") { key = key.dropFirst().dropLast() }
    guard (1...255).contains(key.utf8.count), key.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else { return nil }
    self.key = String(key)
    var hash = SHA256()
    hash.update(data: Array("\(method) \(path)\n".utf8))
    hash.update(data: body)
    fingerprint = Array(hash.finalize())
  }
}

/// What a handler answers. JSON passes the caller's mask before it is written.
public struct Reply: Sendable {
  public enum Content: Sendable {
    case none
    case json(JSONValue)
    /// JSON that has passed the caller's mask.
    case written([UInt8])
    /// Not masked: for what is no customer's (metrics, the description).
    case bytes([UInt8], mediaType: String)
    case events(EventFeed)
  }
  public var status: Int
  public var content: Content
  public var version: Int64?
  public var headers: [HeaderField]

  public init(status: Int = 200, content: Content, version: Int64? = nil, headers: [HeaderField] = []) {
    self.status = status
    self.content = content
    self.version = version
    self.headers = headers
  }
  /// `version` becomes the ETag.
  public static func json(
    _ value: JSONValue, status: Int = 200, version: Int64? = nil, headers: [HeaderField] = []
  ) -> Reply {
    Reply(status: status, content: .json(value), version: version, headers: headers)
  }
  public static func empty(_ status: Int = 204, version: Int64? = nil) -> Reply {
    Reply(status: status, content: .none, version: version)
  }
  public static func bytes(_ bytes: [UInt8], mediaType: String) -> Reply {
    Reply(content: .bytes(bytes, mediaType: mediaType))
  }
  public static func events(_ feed: EventFeed) -> Reply { Reply(content: .events(feed)) }
  /// A page: `items` and, while there are more, `next_cursor`.
  public static func page(_ items: [JSONValue], next: String?) -> Reply {
    .json(["items": .array(items), "next_cursor": .optional(next)])
  }
}

extension Schema {
  public static func page(of item: Schema) -> Schema {
    .output(
      .required("items", .array(item)),
      .required("next_cursor", .nullable(.string()), "Null on the last page"))
  }
}
