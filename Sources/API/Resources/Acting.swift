import Channels
import ContactModel
import Store

/// How operations act on the store: one transaction each, which holds the effect, its audit and the answer remembered
/// under the Idempotency-Key.
extension Database {
  /// Runs an act. The same Idempotency-Key with the same request is given the first answer again; with another one it
  /// is refused (422). Answers of acts that failed are not remembered: nothing was done.
  func act(
    _ call: Call, lane: Lane = .live, _ body: @escaping @Sendable (WriteTransaction, Actor) throws -> Reply
  ) async throws -> Reply {
    let actor = try Actor(call)
    return try await translatingErrors {
      try await self.write(lane) { transaction in
        guard let key = call.idempotency else { return try body(transaction, actor) }
        let digest = hexadecimal(key.fingerprint)
        if let known = try transaction.rememberedAnswer(client: actor.label, key: key.key) {
          guard known.digest == digest else { throw Problem(.idempotencyKeyReused) }
          let reply = try Reply(remembered: known)
          if case .json(let value) = reply.content {
            for sight in [Sight]().completed(by: value.customers, subject: call.operationID) {
              try transaction.audit(AuditEntry(sight, by: actor, purpose: "replay", at: call.now))
            }
          }
          return reply
        }
        let reply = try body(transaction, actor)
        let answer = RememberedAnswer(reply, route: call.operationID, digest: digest)
        try transaction.remember(answer, client: actor.label, key: key.key, at: call.now)
        return reply
      }
    }
  }

  /// Reads what concerns no customer.
  func look<T: Sendable>(
    _ lane: Lane = .live, _ body: @escaping @Sendable (any Connection) throws -> T
  ) async throws -> T {
    try await translatingErrors { try await self.read(lane, body) }
  }

  /// Reads customers, and answers only when it is on record who saw whom: those `body` names, and any other customer
  /// in the reply.
  ///
  /// The answer is written where it was read, through the caller's mask: one walk gives its bytes and whom it names.
  func look(
    _ call: Call, purpose: String, _ body: @escaping @Sendable (any Connection) throws -> (Reply, seen: [Sight])
  ) async throws -> Reply {
    let actor = try Actor(call)
    return try await translatingErrors {
      try await self.readOnRecord { connection in
        var (reply, seen) = try body(connection)
        if case .json(let value) = reply.content {
          var writer = MaskedWriter(call.mask)
          writer.write(value)
          reply.content = .written(writer.bytes)
          seen = seen.completed(by: writer.customers, subject: call.operationID)
        }
        return (reply, seen.map { AuditEntry($0, by: actor, purpose: purpose, at: call.now) })
      }
    }
  }

  /// The same for what is no JSON.
  func look<T: Sendable>(
    _ call: Call, purpose: String, _ body: @escaping @Sendable (any Connection) throws -> (T, seen: [Sight])
  ) async throws -> T {
    let actor = try Actor(call)
    return try await translatingErrors {
      try await self.readOnRecord { connection in
        let (value, seen) = try body(connection)
        return (value, seen.map { AuditEntry($0, by: actor, purpose: purpose, at: call.now) })
      }
    }
  }

  func record(_ seen: [Sight], by actor: Actor, purpose: String, at time: Timestamp) async throws {
    guard !seen.isEmpty else { return }
    try await translatingErrors {
      try await self.record(seen.map { AuditEntry($0, by: actor, purpose: purpose, at: time) })
    }
  }
}

extension Actor {
  /// The principal as the one who acts.
  init(_ call: Call) throws {
    let principal = try call.caller()
    self.init(
      label: principal.id, agent: principal.agent.flatMap(AgentID.init),
      role: principal.roles.map(\.rawValue).sorted().joined(separator: "+"), trace: call.trace.traceparent)
  }
}

extension WriteTransaction {
  /// Accounts for an act of a person or program.
  func audit(
    _ act: String, _ subject: some CustomStringConvertible, customer: CustomerNumber? = nil, reason: String? = nil,
    before: JSONValue? = nil, after: JSONValue? = nil, by actor: Actor, at time: Timestamp
  ) throws {
    try audit(
      AuditEntry(
        at: time, actor: actor.label, role: actor.role, act: act, subject: subject.description, customerNo: customer,
        reason: reason, before: before?.text, after: after?.text))
  }
}

extension ActOutcome {
  /// The value, or the problem that stands in its place: 404, 409, or 412 with the tag of what stands now.
  func settled(version: (Value) -> Int) throws -> Value {
    switch self {
    case .done(let value): return value
    case .notFound: throw Problem(.notFound)
    case .conflict(let value):
      throw Problem(
        .preconditionFailed, headers: [HeaderField("ETag", EntityTag(version: Int64(version(value))).description)])
    case .refused(let sentence):
      throw Problem(.conflict, LocalizedText(zh: "当前状态不允许：\(sentence)", en: sentence))
    }
  }
}

extension EntityTag.Condition? {
  /// Throws 412 when a condition was given and does not hold.
  func require(_ version: Int) throws {
    try self?.require(Int64(version))
  }
}

/// The store's errors as what the client should do about them.
func translatingErrors<T>(_ body: () async throws -> T) async throws -> T {
  do {
    return try await body()
  } catch let error as DatabaseError {
    switch error.kind {
    case .busy, .serialization, .timeout, .connection, .full, .locked, .closed:
      throw Problem(.unavailable, headers: [HeaderField("Retry-After", "1")])
    case .unique: throw Problem(.conflict)
    case .foreignKey:
      throw Problem(.conflict, LocalizedText(zh: "引用的对象不存在", en: "something referred to does not exist"))
    case .check, .readOnly, .unreadable, .notADatabase, .corrupt, .tooNew, .migrationChanged, .misuse, .other:
      throw error
    }
  }
}

extension RememberedAnswer {
  init(_ reply: Reply, route: String, digest: String) {
    var headers = JSONObject(reply.headers.map { .init(name: $0.name, value: .string($0.value)) })
    headers["version"] = reply.version.map(JSONValue.integer)
    let body: [UInt8] = if case .json(let value) = reply.content { value.encoded } else { [] }
    self.init(
      route: route, digest: digest, status: reply.status, headers: JSONValue.object(headers).text, body: body)
  }
}

extension Reply {
  init(remembered answer: RememberedAnswer) throws {
    let headers = try JSONReader.read(Array(answer.headers.utf8)).object ?? JSONObject()
    self.init(
      status: answer.status, content: answer.body.isEmpty ? .none : .json(try JSONReader.read(answer.body)),
      version: headers["version"]?.integer,
      headers: headers.members.compactMap { member in
        member.name == "version" ? nil : member.value.string.map { HeaderField(member.name, $0) }
      } + [HeaderField("Idempotency-Replayed", "true")])
  }
}

extension JSONValue {
  /// One line of JSON.
  var text: String { String(decoding: encoded, as: UTF8.self) }

  /// What the store's own form of a value says.
  static func encoding(_ value: some Encodable) throws -> JSONValue {
    try JSONReader.read(Array(JSONText.encode(value).utf8))
  }
  static func optional(_ value: (some LosslessStringConvertible)?) -> JSONValue {
    value.map { .string($0.description) } ?? .null
  }
  static func text(_ value: some LosslessStringConvertible) -> JSONValue { .string(value.description) }
  static func count(_ value: Int) -> JSONValue { .integer(Int64(value)) }
}

extension Problem {
  /// A member of the body that is well formed and names nothing, or contradicts a fact.
  static func unknown(_ pointer: String, _ what: String? = nil) -> Problem {
    Problem(.invalidInput, violations: [Violation(.body(pointer: pointer), .conflict, expected: what)])
  }
}

extension Call {
  /// A path parameter as one of our identifiers; what cannot be one names nothing: 404.
  func path<Value: LosslessStringConvertible>(_ name: String) throws -> Value {
    guard let value = text(name).flatMap({ Value($0) }) else { throw Problem(.notFound) }
    return value
  }
  /// A member of the body as a code or identifier; nil if it is absent or null, 422 if it cannot be one.
  func member<Value: LosslessStringConvertible>(_ name: String) throws -> Value? {
    guard let text = body[name]?.string else { return nil }
    guard let value = Value(text) else {
      throw Problem(.invalidInput, violations: [Violation(.body(pointer: "#/\(name)"), .format)])
    }
    return value
  }
  /// A query parameter as a code or identifier; nil if it is absent, 422 if it cannot be one.
  func filter<Value: LosslessStringConvertible>(_ name: String) throws -> Value? {
    guard let text = text(name) else { return nil }
    guard let value = Value(text) else {
      throw Problem(.invalidInput, violations: [Violation(.parameter(name), .format)])
    }
    return value
  }
  func time(_ name: String) -> Timestamp? { text(name).flatMap { Timestamp($0) } }
}

func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
  let digits = Array("0123456789abcdef".utf8)
  return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}
