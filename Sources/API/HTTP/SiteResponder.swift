import Channels
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1

/// What Hummingbird gives per request; we need the connection.
public struct SiteContext: RequestContext {
  public var coreContext: CoreRequestContextStorage
  let channel: any Channel
  public init(source: ApplicationRequestContextSource) {
    coreContext = CoreRequestContextStorage(source: source)
    channel = source.channel
  }
}

/// Answers every request of one listener.
///
/// In this order, the first refusal wins: target too long; mount or operation, else 404 or 405; who is it (401); too
/// fast (429); may he (403); parameters (400, 404, 422); body: type (415), size (413), JSON (400), schema (422);
/// Idempotency-Key (400), If-Match (428). Then the handler; its JSON passes the caller's mask. Each refusal is a
/// problem (RFC 9457), each request leaves one line in the log and one observation in the metrics, with the path's
/// template and never the path: it may hold a number of a customer.
public struct SiteResponder: HTTPResponder {
  let site: Site
  let listener: String
  let isSecure: Bool
  let maximumTargetBytes: Int
  let logger: Logger

  public func respond(to request: Request, context: SiteContext) async throws -> Response {
    let start = ContinuousClock.now
    let now = site.clock()
    var exchange = Exchange(request, now: now, remote: context.channel.remoteAddress?.ipAddress)
    var response: Response
    do {
      response = try await answer(&exchange, request)
    } catch let problem as Problem {
      response = problemResponse(problem, exchange)
    } catch let error as HTTPParserError {
      // What follows on the wire cannot be understood: the server answers 400 and closes.
      throw error
    } catch {
      exchange.logger(logger).error("request failed", metadata: ["error": "\(redacted("\(error)"))"])
      response = problemResponse(Problem(.internal), exchange)
    }
    if request.method == .head { response = response.createHeadResponse() }
    response.headers[.requestID] = exchange.id.description
    log(exchange, status: response.status.code, took: .now - start)
    return response
  }

  private func answer(_ exchange: inout Exchange, _ request: Request) async throws -> Response {
    guard (request.head.path ?? "").utf8.count <= maximumTargetBytes else { throw Problem(.uriTooLong) }
    let method = request.method == .head ? "get" : request.method.rawValue.lowercased()
    switch site.table.match(Route.Method(rawValue: method), exchange.path) {
    case .found(let route, let path):
      return try await answer(&exchange, request, route, path)
    case .otherMethods(let methods):
      exchange.operation = "other"
      var allowed = methods.map { $0.rawValue.uppercased() }
      if methods.contains(.get) { allowed.append("HEAD") }
      throw Problem(.methodNotAllowed, headers: [HeaderField("Allow", allowed.joined(separator: ", "))])
    case .none:
      guard let mount = site.mounts.first(where: { $0.matches(exchange.path) }) else {
        exchange.operation = "other"
        throw Problem(.notFound)
      }
      exchange.operation = "mount:" + mount.prefix
      return try await answer(exchange, request, mount)
    }
  }

  // MARK: Operations

  private func answer(
    _ exchange: inout Exchange, _ request: Request, _ route: Route, _ path: [String: String]
  ) async throws -> Response {
    exchange.operation = route.operationID
    exchange.route = route.path
    if route.access != .open {
      do {
        exchange.principal = try await site.authentication.principal(request.headers[.authorization], exchange.now)
      } catch {
        // Guessing at tokens is counted against the address it comes from.
        try limit(&exchange, client: "address:\(exchange.remote ?? "")")
        throw error
      }
      let client = exchange.principal.map { "principal:\($0.id)" } ?? "address:\(exchange.remote ?? "")"
      try limit(&exchange, client: client)
      guard let principal = exchange.principal else {
        throw Problem(.unauthenticated, headers: [HeaderField("WWW-Authenticate", #"Bearer realm="liaison""#)])
      }
      guard route.access.permits(principal) else { throw Problem(.forbidden) }
    }
    let parameters = try readParameters(of: route, path: path, query: request.uri.query) { name in
      HTTPField.Name(name).flatMap { request.headers[$0] }
    }
    let (bytes, body) = try await readBody(of: route, request)
    let upload = try upload(of: route, request)
    var idempotency: IdempotencyKey?
    let keyField = request.headers[.idempotencyKey]
    if route.needsIdempotencyKey, keyField == nil { throw Problem(.idempotencyKeyMissing) }
    if route.method == .post, let field = keyField {
      idempotency = IdempotencyKey(field: field, method: route.method.rawValue, path: exchange.path, body: bytes)
      guard idempotency != nil else {
        throw Problem(.malformedRequest, violations: [Violation(.header("Idempotency-Key"), .format)])
      }
    }
    let condition = EntityTag.condition(request.headers[.ifMatch])
    if route.needsCondition, condition == nil { throw Problem(.preconditionRequired) }
    let mask = site.masks.mask(for: exchange.principal)
    let reply = try await route.handle(
      Call(
        operationID: route.operationID, principal: exchange.principal, parameters: parameters, body: body,
        upload: upload,
        idempotency: idempotency, condition: condition, ifNoneMatch: request.headers[.ifNoneMatch],
        lastEventID: request.headers[.lastEventID], language: exchange.language, trace: exchange.trace,
        requestID: exchange.id.description, remoteAddress: exchange.remote, now: exchange.now, mask: mask,
        logger: exchange.logger(logger)))
    return response(reply, exchange, request, route, mask)
  }

  private func limit(_ exchange: inout Exchange, client: String) throws(Problem) {
    guard let limiter = site.limiter else { return }
    let verdict = limiter.take(client, at: exchange.now)
    exchange.limitHeaders = limiter.headers(verdict)
    guard verdict.allowed else {
      let seconds = (verdict.reset.wholeMicroseconds + 999_999) / 1_000_000
      throw Problem(.tooManyRequests, headers: [HeaderField("Retry-After", String(seconds))])
    }
  }

  private func readBody(of route: Route, _ request: Request) async throws -> ([UInt8], JSONValue) {
    guard let expected = route.body else { return ([], .null) }
    if let type = request.headers[.contentType]?.lowercased() {
      let media = type.split(separator: ";").first.map { $0.filter { !$0.isWhitespace } }
      guard media == "application/json" else { throw Problem(.unsupportedMediaType) }
    }
    let bytes = try await collect(request, upTo: expected.maximumBytes)
    let value: JSONValue
    do { value = try JSONReader.read(bytes) } catch { throw Problem(error) }
    let violations = expected.schema.violations(of: value)
    guard violations.isEmpty else { throw Problem(.invalidInput, violations: violations) }
    return (bytes, value)
  }

  private func upload(of route: Route, _ request: Request) throws(Problem) -> UploadedFile? {
    guard let expected = route.upload else { return nil }
    let type = request.headers[.contentType]?.lowercased().split(separator: ";").first
      .map { $0.filter { !$0.isWhitespace } }
    guard let type, expected.mediaTypes.contains(type) else { throw Problem(.unsupportedMediaType) }
    let tooLarge = Problem(.tooLarge)
    if let announced = request.headers[.contentLength].flatMap({ Int($0) }), announced > expected.maximumBytes {
      throw tooLarge
    }
    let reader = PieceReader(request.body, maximum: expected.maximumBytes, tooLarge: tooLarge)
    return UploadedFile(mediaType: type, pieces: AsyncThrowingStream { try await reader.next() })
  }

  private func collect(_ request: Request, upTo maximum: Int) async throws -> [UInt8] {
    let tooLarge = Problem(
      .tooLarge, LocalizedText(zh: "上限 \(maximum) 字节", en: "at most \(maximum) bytes"))
    if let announced = request.headers[.contentLength].flatMap({ Int($0) }), announced > maximum { throw tooLarge }
    var bytes: [UInt8] = []
    for try await buffer in request.body {
      guard bytes.count + buffer.readableBytes <= maximum else { throw tooLarge }
      bytes.append(contentsOf: buffer.readableBytesView)
    }
    return bytes
  }

  private func response(
    _ reply: Reply, _ exchange: Exchange, _ request: Request, _ route: Route, _ mask: FieldMask
  ) -> Response {
    var headers = HTTPFields()
    headers[.cacheControl] = "no-store"
    headers[.contentTypeOptions] = "nosniff"
    var status = reply.status
    for field in reply.headers + exchange.limitHeaders { headers.set(field) }
    if let since = route.deprecatedSince { headers.set(HeaderField("Deprecation", "@\(since)")) }
    if let version = reply.version {
      let tag = EntityTag(version: version)
      headers[.eTag] = tag.description
      if request.method == .get || request.method == .head, tag.isNamed(in: request.headers[.ifNoneMatch]) {
        return Response(status: .notModified, headers: headers)
      }
    }
    let body: ResponseBody
    switch reply.content {
    case .none:
      body = ResponseBody()
      if status == 200 { status = 204 }
    case .json(let value):
      headers[.contentType] = "application/json"
      body = ResponseBody(byteBuffer: ByteBuffer(bytes: mask.written(value)))
    case .written(let bytes):
      headers[.contentType] = "application/json"
      body = ResponseBody(byteBuffer: ByteBuffer(bytes: bytes))
    case .bytes(let bytes, let mediaType):
      headers[.contentType] = mediaType
      body = ResponseBody(byteBuffer: ByteBuffer(bytes: bytes))
    case .events(let feed):
      headers[.contentType] = ServerSentEvent.mediaType
      // nginx buffers otherwise, and events arrive in lumps.
      headers.set(HeaderField("X-Accel-Buffering", "no"))
      body = request.method == .head ? ResponseBody() : feed.body(of: request)
    }
    return Response(status: HTTPResponse.Status(code: status), headers: headers, body: body)
  }

  private func problemResponse(_ problem: Problem, _ exchange: Exchange) -> Response {
    var headers = HTTPFields()
    headers[.contentType] = "application/problem+json"
    headers[.contentLanguage] = exchange.language.rawValue
    headers[.cacheControl] = "no-store"
    headers[.contentTypeOptions] = "nosniff"
    for field in problem.headers + exchange.limitHeaders { headers.set(field) }
    let body = problem.json(exchange.language, instance: exchange.id.description)
    return Response(
      status: HTTPResponse.Status(code: problem.type.status), headers: headers,
      body: ResponseBody(byteBuffer: ByteBuffer(bytes: body.encoded)))
  }

  // MARK: Mounted functions

  private func answer(_ exchange: Exchange, _ request: Request, _ mount: Mount) async throws -> Response {
    let body = try await collect(request, upTo: mount.maximumBodyBytes)
    var fields = request.headers.map { HeaderField($0.name.rawName, $0.value) }
    if let authority = request.head.authority { fields.append(HeaderField("Host", authority)) }
    let answer = await mount.handle(
      MountedRequest(
        method: request.method.rawValue, path: exchange.path, query: request.uri.query, headers: fields, body: body,
        remoteAddress: exchange.remote, isSecure: isSecure, receivedAt: exchange.now,
        requestID: exchange.id.description))
    var headers = HTTPFields()
    headers[.contentTypeOptions] = "nosniff"
    for field in answer.headers { headers.set(field) }
    return Response(
      status: HTTPResponse.Status(code: (200...599).contains(answer.status) ? answer.status : 500), headers: headers,
      body: ResponseBody(byteBuffer: ByteBuffer(bytes: answer.body)))
  }

  // MARK: What is left behind

  private func log(_ exchange: Exchange, status: Int, took: Duration) {
    site.metrics?.observe(listener: listener, operation: exchange.operation, status: status, took: took)
    let level: Logger.Level =
      exchange.operation == "getLiveness" || exchange.operation == "getReadiness" ? .debug : .info
    guard logger.logLevel <= level else { return }
    var metadata: Logger.Metadata = [
      "request.id": "\(exchange.id)", "http.method": "\(exchange.method)", "http.operation": "\(exchange.operation)",
      "http.status": "\(status)", "duration.us": "\(took.wholeMicroseconds)", "trace.id": "\(exchange.trace.traceID)",
    ]
    if let route = exchange.route { metadata["http.route"] = "\(route)" }
    if let principal = exchange.principal { metadata["principal.id"] = "\(principal.id)" }
    if site.logsRemoteAddress, let remote = exchange.remote { metadata["client.address"] = "\(remote)" }
    logger.log(level: level, "request answered", metadata: metadata)
  }
}

/// Hands a body on piece by piece, and no more of it than is asked for.
private final class PieceReader: @unchecked Sendable {
  // Invariant: used by the one task that reads the file.
  private var iterator: RequestBody.AsyncIterator
  private let maximum: Int
  private let tooLarge: Problem
  private var count = 0
  init(_ body: RequestBody, maximum: Int, tooLarge: Problem) {
    iterator = body.makeAsyncIterator()
    self.maximum = maximum
    self.tooLarge = tooLarge
  }
  func next() async throws -> [UInt8]? {
    guard let buffer = try await iterator.next() else { return nil }
    count += buffer.readableBytes
    guard count <= maximum else { throw tooLarge }
    return Array(buffer.readableBytesView)
  }
}

/// An error's text may quote what a customer wrote.
private func redacted(_ text: String) -> String { FieldMask(hiding: Set(FieldMask.Kind.allCases)).apply(to: text) }

/// One request and what became known of it on the way.
private struct Exchange {
  let id: RequestID
  let now: Timestamp
  let method: String
  /// Without the query.
  let path: String
  let remote: String?
  let language: Language
  let trace: TraceContext
  var operation = "other"
  var route: String?
  var principal: Principal?
  var limitHeaders: [HeaderField] = []

  init(_ request: Request, now: Timestamp, remote: String?) {
    var generator = NamingGenerator()
    id = RequestID(at: now, using: &generator)
    self.now = now
    self.remote = remote
    method = request.method.rawValue
    path = request.uri.path
    language = Language(accepting: request.headers[.acceptLanguage])
    trace = TraceContext(traceparent: request.headers[.traceparent], tracestate: request.headers[.tracestate])
  }

  func logger(_ base: Logger) -> Logger {
    var logger = base
    logger[metadataKey: "request.id"] = .string(id.description)
    logger[metadataKey: "trace.id"] = .string(trace.traceID)
    return logger
  }
}

extension HTTPFields {
  /// A field whose name is no token is left out: it could only split the answer.
  fileprivate mutating func set(_ field: HeaderField) {
    guard let name = HTTPField.Name(field.name) else { return }
    if name == .setCookie {
      append(HTTPField(name: name, value: field.value))
    } else {
      self[name] = field.value
    }
  }
}

extension HTTPField.Name {
  // Constant tokens: they always parse.
  fileprivate static let requestID = HTTPField.Name("X-Request-Id")!
  fileprivate static let idempotencyKey = HTTPField.Name("Idempotency-Key")!
  fileprivate static let lastEventID = HTTPField.Name("Last-Event-ID")!
  fileprivate static let traceparent = HTTPField.Name("traceparent")!
  fileprivate static let tracestate = HTTPField.Name("tracestate")!
  fileprivate static let contentTypeOptions = HTTPField.Name("X-Content-Type-Options")!
}
