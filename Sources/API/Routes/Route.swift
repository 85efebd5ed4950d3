/// One operation: what it is called, who may call it, what it takes, what it answers, and the function that does it.
///
/// The description served at `/openapi.json` and the checks made before the function is called are both read from
/// here, so that neither can say what the other does not do.
public struct Route: Sendable {
  public enum Method: String, Sendable, Hashable, CaseIterable { case get, post, put, patch, delete }

  /// Unique, lower camel case: `takeServiceRequest`.
  public var operationID: String
  public var method: Method
  /// `/v1/agents/{agent}/events`.
  public var path: String
  public var summary: String
  public var tag: String
  public var access: Access
  public var parameters: [Parameter]
  public var body: Body?
  /// A file as the body instead of JSON: given to the handler as it comes.
  public var upload: Upload?
  public var answers: [Answer]
  /// An Idempotency-Key is demanded (400 without): each POST that creates or sends. Every POST takes one.
  public var needsIdempotencyKey: Bool
  /// An If-Match is demanded (428 without): where two people could undo each other.
  public var needsCondition: Bool
  /// RFC 9745: an instant in seconds since 1970 from which on clients should use something else.
  public var deprecatedSince: Int64?
  public var handle: @Sendable (Call) async throws -> Reply

  public init(
    _ operationID: String, _ method: Method, _ path: String, summary: String, tag: String, access: Access,
    parameters: [Parameter] = [], body: Body? = nil, upload: Upload? = nil, answers: [Answer],
    needsIdempotencyKey: Bool = false,
    needsCondition: Bool = false, deprecatedSince: Int64? = nil,
    handle: @escaping @Sendable (Call) async throws -> Reply
  ) {
    self.operationID = operationID
    self.method = method
    self.path = path
    self.summary = summary
    self.tag = tag
    self.access = access
    self.parameters = parameters
    self.body = body
    self.upload = upload
    self.answers = answers
    self.needsIdempotencyKey = needsIdempotencyKey
    self.needsCondition = needsCondition
    self.deprecatedSince = deprecatedSince
    self.handle = handle
  }

  public struct Parameter: Sendable, Hashable {
    public enum Place: String, Sendable, Hashable { case path, query, header }
    public var name: String
    public var place: Place
    public var schema: Schema
    public var required: Bool
    public var description: String?

    public static func path(_ name: String, _ schema: Schema, _ description: String? = nil) -> Parameter {
      Parameter(name: name, place: .path, schema: schema, required: true, description: description)
    }
    public static func query(_ name: String, _ schema: Schema, _ description: String? = nil) -> Parameter {
      Parameter(name: name, place: .query, schema: schema, required: false, description: description)
    }
    public static func header(_ name: String, _ schema: Schema, _ description: String? = nil) -> Parameter {
      Parameter(name: name, place: .header, schema: schema, required: false, description: description)
    }
    /// The two parameters of every list.
    public static let page: [Parameter] = [
      .query("page_size", .integer(minimum: 1, maximum: 1_000), "At most so many rows; 100 if not given"),
      .query("cursor", .string(minimum: 1, maximum: 1_024), "`next_cursor` of the page before"),
    ]
  }

  public struct Body: Sendable, Hashable {
    public var schema: Schema
    public var maximumBytes: Int
    public init(_ schema: Schema, maximumBytes: Int = 256 * 1_024) {
      self.schema = schema
      self.maximumBytes = maximumBytes
    }
  }

  public struct Upload: Sendable, Hashable {
    public var mediaTypes: [String]
    public var maximumBytes: Int
    public init(_ mediaTypes: [String], maximumBytes: Int) {
      self.mediaTypes = mediaTypes
      self.maximumBytes = maximumBytes
    }
  }

  public struct Answer: Sendable, Hashable {
    public enum Content: Sendable, Hashable {
      case empty
      case json(Schema)
      /// Anything else, by its media type.
      case other(String)
    }
    public var status: Int
    public var description: String
    public var content: Content

    public static func json(_ schema: Schema, _ description: String, status: Int = 200) -> Answer {
      Answer(status: status, description: description, content: .json(schema))
    }
    public static func empty(_ description: String, status: Int = 204) -> Answer {
      Answer(status: status, description: description, content: .empty)
    }
    public static func other(_ mediaType: String, _ description: String, status: Int = 200) -> Answer {
      Answer(status: status, description: description, content: .other(mediaType))
    }
  }
}

extension Route {
  /// Every error this operation can answer: those of its own convention and those the handler declares.
  var problemStatuses: [Int] {
    var statuses: Set<Int> = [400, 405, 414, 422, 429, 500, 503]
    if access != .open { statuses.formUnion([401, 403]) }
    // A path without parameters is always there.
    if parameters.contains(where: { $0.place == .path }) { statuses.insert(404) }
    if body != nil || upload != nil { statuses.formUnion([408, 413, 415]) }
    if method != .get { statuses.insert(409) }
    if method == .put || method == .patch { statuses.insert(412) }
    if needsCondition { statuses.formUnion([412, 428]) }
    if body != nil { statuses.insert(409) }
    return statuses.sorted()
  }
}
