import Channels
import ContactModel

/// An arrival as it is kept: the payload without the bytes that stand in body files.
public struct KeptArrival: Sendable {
  public var id: ArrivalID
  public var channel: ContactChannel
  public var wireKey: String?
  /// What the sender is told to quote; nil where the channel tells nothing.
  public var reference: String?
  public var from: Address?
  public var to: Address?
  public var receivedAt: Timestamp
  public var storedAt: Timestamp
  public var late: Bool
  public var payload: Payload
  public var raw: Raw
  public var attachments: [StoredAttachment]

  public enum Payload: Sendable, Hashable {
    case message(InboundMessage)
    case call(CallEvent)
    case presence(AgentPresence)
    case report(DeliveryReport)
    case unreadable(Arrival.Unreadable)

    /// Somebody's screen waits for it.
    public var isCall: Bool {
      switch self {
      case .call, .presence: return true
      case .message, .report, .unreadable: return false
      }
    }
    /// As the column says it.
    public var kind: String {
      switch self {
      case .message: return "message"
      case .call: return "call"
      case .presence: return "presence"
      case .report: return "report"
      case .unreadable: return "unreadable"
      }
    }
    public func json() throws -> String {
      switch self {
      case .message(let value): return try JSONText.encode(value)
      case .call(let value): return try JSONText.encode(value)
      case .presence(let value): return try JSONText.encode(value)
      case .report(let value): return try JSONText.encode(value)
      case .unreadable(let value): return try JSONText.encode(value)
      }
    }
    init(kind: String, json: String) throws {
      switch kind {
      case "message": self = .message(try JSONText.decode(InboundMessage.self, from: json))
      case "call": self = .call(try JSONText.decode(CallEvent.self, from: json))
      case "presence": self = .presence(try JSONText.decode(AgentPresence.self, from: json))
      case "report": self = .report(try JSONText.decode(DeliveryReport.self, from: json))
      case "unreadable": self = .unreadable(try JSONText.decode(Arrival.Unreadable.self, from: json))
      default: throw DatabaseError(.misuse, "payload_kind \(kind)")
      }
    }
  }

  /// Small raw bytes stand in the row; larger ones in a body file, which was fsynced before.
  public enum Raw: Sendable, Hashable {
    case inline([UInt8])
    case file(sha256: String, size: Int)
  }

  public init(
    id: ArrivalID, channel: ContactChannel, wireKey: String?, reference: String?, from: Address?, to: Address?,
    receivedAt: Timestamp, storedAt: Timestamp, late: Bool, payload: Payload, raw: Raw, attachments: [StoredAttachment]
  ) {
    self.id = id
    self.channel = channel
    self.wireKey = wireKey
    self.reference = reference
    self.from = from
    self.to = to
    self.receivedAt = receivedAt
    self.storedAt = storedAt
    self.late = late
    self.payload = payload
    self.raw = raw
    self.attachments = attachments
  }
}

/// A part of an arrival whose bytes stand in a body file.
public struct StoredAttachment: Sendable, Hashable, Codable {
  public var position: Int
  public var name: String?
  public var mediaType: String
  public var contentId: String?
  public var sha256: String
  public var size: Int
  public init(position: Int, name: String?, mediaType: String, contentId: String?, sha256: String, size: Int) {
    self.position = position
    self.name = name
    self.mediaType = mediaType
    self.contentId = contentId
    self.sha256 = sha256
    self.size = size
  }
}

extension WriteTransaction {
  /// Keeps an arrival and counts it, or recognises it by its wire key and counts that. `settled` if it is worked on in
  /// this same transaction. `payload` is its payload as JSON, where that was written before: it costs more than all the
  /// rest, and the writer is one thread.
  public func keep(_ arrival: KeptArrival, payload: String? = nil, settled: Timestamp? = nil) throws -> Acceptance {
    let raw: [SQLValue]
    switch arrival.raw {
    case .inline(let bytes): raw = [.blob(bytes), .null, SQLValue(bytes.count)]
    case .file(let sha256, let size): raw = [.null, .text(sha256), SQLValue(size)]
    }
    let inserted = try execute(
      """
      INSERT INTO arrival(arrival_id, channel_kind, channel, wire_key, reference, from_kind, from_canonical, from_raw,
        to_kind, to_canonical, to_raw, received_at, stored_at, late, payload_kind, payload, raw, raw_sha256, raw_size,
        state, settled_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
      ON CONFLICT (channel, wire_key) WHERE wire_key IS NOT NULL DO NOTHING
      """,
      [
        .id(arrival.id), .text(arrival.channel.kind.rawValue), .text(arrival.channel.name),
        SQLValue(arrival.wireKey), SQLValue(arrival.reference),
      ] + Address.columns(arrival.from) + Address.columns(arrival.to) + [
        SQLValue(arrival.receivedAt), SQLValue(arrival.storedAt), SQLValue(arrival.late), .text(arrival.payload.kind),
        .text(try payload ?? arrival.payload.json()),
      ] + raw + [.text(settled == nil ? "kept" : "routed"), SQLValue(settled)])
    if inserted == 0 {
      let first: ArrivalID = try query(
        "SELECT arrival_id FROM arrival WHERE channel = $1 AND wire_key = $2",
        [.text(arrival.channel.name), SQLValue(arrival.wireKey)])[0].parsed("arrival_id")
      try count(arrival.channel, at: arrival.storedAt, duplicate: 1)
      return .duplicate(of: first)
    }
    try add(arrival.attachments, of: arrival.id)
    try count(arrival.channel, at: arrival.storedAt, stored: 1, late: arrival.late ? 1 : 0)
    return .stored(arrival.id)
  }

  private func add(_ attachments: [StoredAttachment], of arrival: ArrivalID) throws {
    for part in attachments {
      try query(
        """
        INSERT INTO attachment(arrival_id, position, name, media_type, content_id, sha256, size)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (arrival_id, position) DO NOTHING
        """,
        [
          .id(arrival), SQLValue(part.position), SQLValue(part.name), .text(part.mediaType),
          SQLValue(part.contentId), .text(part.sha256), SQLValue(part.size),
        ])
    }
  }

  /// Counts an arrival that was refused on the wire and so is not kept.
  public func countRefusal(_ refusal: Refusal, on channel: ContactChannel, at time: Timestamp) throws {
    try count(channel, at: time, refused: 1)
    try query(
      """
      INSERT INTO refusal(channel, day, code, count) VALUES ($1, $2, $3, 1)
      ON CONFLICT (channel, day, code) DO UPDATE SET count = refusal.count + 1
      """,
      [.text(channel.name), .text(day(of: time)), .text(refusal.code.rawValue)])
  }

  private func count(
    _ channel: ContactChannel, at time: Timestamp, stored: Int = 0, duplicate: Int = 0, refused: Int = 0, late: Int = 0
  ) throws {
    try query(
      """
      INSERT INTO ledger(channel, day, channel_kind, received, stored, duplicate, refused, late)
      VALUES ($1, $2, $3, 1, $4, $5, $6, $7)
      ON CONFLICT (channel, day) DO UPDATE SET received = ledger.received + 1, stored = ledger.stored + excluded.stored,
        duplicate = ledger.duplicate + excluded.duplicate, refused = ledger.refused + excluded.refused,
        late = ledger.late + excluded.late
      """,
      [
        .text(channel.name), .text(day(of: time)), .text(channel.kind.rawValue), SQLValue(stored), SQLValue(duplicate),
        SQLValue(refused), SQLValue(late),
      ])
  }

  /// Sets an arrival aside that cannot be worked on, with its reason; counts the attempt if it already was.
  public func quarantine(_ arrival: ArrivalID, code: String, reason: String, at time: Timestamp) throws {
    let rows = try query(
      "UPDATE arrival SET state = 'quarantined' WHERE arrival_id = $1 AND state <> 'routed' RETURNING channel",
      [.id(arrival)])
    guard let row = rows.first else { return }
    try query(
      """
      INSERT INTO quarantine(arrival_id, code, reason, since) VALUES ($1, $2, $3, $4)
      ON CONFLICT (arrival_id) DO UPDATE SET code = excluded.code, reason = excluded.reason,
        attempts = quarantine.attempts + 1, released_at = NULL, released_by = NULL
      """,
      [.id(arrival), .text(code), .text(reason), SQLValue(time)])
    try append(
      EventRecord(
        at: time, type: .arrivalQuarantined, subject: arrival.description, channel: try row.text("channel"),
        actor: "liaison", body: try JSONText.encode(["code": code, "reason": reason])))
  }

  /// Puts a quarantined arrival back to work, with mended bytes if a person mended them; the original is kept.
  /// False if it is not in quarantine.
  public func release(
    _ arrival: ArrivalID, mended: [UInt8]?, payload: KeptArrival.Payload?, from: Address? = nil,
    attachments: [StoredAttachment] = [], by actor: String, at time: Timestamp
  ) throws -> Bool {
    let rows = try query(
      """
      UPDATE quarantine SET released_at = $2, released_by = $3
      WHERE arrival_id = $1 AND released_at IS NULL RETURNING arrival_id
      """,
      [.id(arrival), SQLValue(time), .text(actor)])
    guard !rows.isEmpty else { return false }
    try query("UPDATE arrival SET state = 'kept' WHERE arrival_id = $1", [.id(arrival)])
    if let mended { try query("UPDATE arrival SET mended = $2 WHERE arrival_id = $1", [.id(arrival), .blob(mended)]) }
    if let payload {
      try query(
        "UPDATE arrival SET payload_kind = $2, payload = $3 WHERE arrival_id = $1",
        [.id(arrival), .text(payload.kind), .text(try payload.json())])
      try add(attachments, of: arrival)
    }
    if let from {
      try query(
        """
        UPDATE arrival SET from_kind = $2, from_canonical = $3, from_raw = $4
        WHERE arrival_id = $1 AND from_canonical IS NULL
        """, [.id(arrival)] + Address.columns(from))
    }
    try append(
      EventRecord(at: time, type: .arrivalReprocessed, subject: arrival.description, actor: actor))
    return true
  }

  /// What was kept as settled could not be worked on after all.
  public func unsettle(_ arrival: ArrivalID) throws {
    try execute("UPDATE arrival SET state = 'kept', settled_at = NULL WHERE arrival_id = $1", [.id(arrival)])
  }

  /// Marks an arrival as worked on. False if somebody else already did: then nothing else may be written for it.
  package func settleArrival(_ arrival: ArrivalID, at time: Timestamp) throws -> Bool {
    try execute(
      "UPDATE arrival SET state = 'routed', settled_at = $2 WHERE arrival_id = $1 AND state <> 'routed'",
      [.id(arrival), SQLValue(time)]) > 0
  }
}

extension Connection {
  /// Arrivals kept and not yet worked on, oldest first, after `last`.
  public func arrivalsInWork(after last: ArrivalID?, limit: Int) throws -> [KeptArrival] {
    try query(
      """
      SELECT * FROM arrival WHERE state <> 'routed' AND state = 'kept' AND arrival_id > $1
      ORDER BY arrival_id LIMIT $2
      """, [.text(last?.description ?? ""), SQLValue(limit)]
    ).map { try KeptArrival(row: $0, attachments: []) }
  }

  /// Whether an arrival of this wire key is durable.
  public func isKept(_ wireKey: String, on channel: ContactChannel) throws -> Bool {
    try first(
      "SELECT 1 AS found FROM arrival WHERE channel = $1 AND wire_key = $2", [.text(channel.name), .text(wireKey)]
    ) != nil
  }

  public func arrival(_ id: ArrivalID) throws -> (arrival: KeptArrival, state: String)? {
    guard let row = try query("SELECT * FROM arrival WHERE arrival_id = $1", [.id(id)]).first else { return nil }
    let parts = try query("SELECT * FROM attachment WHERE arrival_id = $1 ORDER BY position", [.id(id)])
      .map(StoredAttachment.init(row:))
    return (try KeptArrival(row: row, attachments: parts), try row.text("state"))
  }

  /// What the arrival told its sender to quote; nil if unknown.
  public func arrival(reference: String) throws -> ArrivalID? {
    try query("SELECT arrival_id FROM arrival WHERE reference = $1", [.text(reference)]).first?.parsed("arrival_id")
  }
}

extension KeptArrival {
  init(row: Row, attachments: [StoredAttachment]) throws {
    let raw: Raw
    if let sha256 = try row.textOrNil("raw_sha256") {
      raw = .file(sha256: sha256, size: try row.count("raw_size"))
    } else {
      raw = .inline(try row.blob("raw"))
    }
    self.init(
      id: try row.parsed("arrival_id"),
      channel: try row.channel,
      wireKey: try row.textOrNil("wire_key"), reference: try row.textOrNil("reference"),
      from: try row.addressOrNil("from"), to: try row.addressOrNil("to"), receivedAt: try row.time("received_at"),
      storedAt: try row.time("stored_at"), late: try row.bool("late"),
      payload: try Payload(kind: try row.text("payload_kind"), json: try row.text("payload")), raw: raw,
      attachments: attachments)
  }
}

extension StoredAttachment {
  init(row: Row) throws {
    self.init(
      position: try row.count("position"), name: try row.textOrNil("name"), mediaType: try row.text("media_type"),
      contentId: try row.textOrNil("content_id"), sha256: try row.text("sha256"), size: try row.count("size"))
  }
}

/// The UTC day of an instant, `2026-11-24`: the ledger's unit.
func day(of time: Timestamp) -> String { String(time.description.prefix(10)) }

extension WriteTransaction {
  /// Marks a delivery report as taken in and tells whoever settles attempts; `body` is the report as JSON.
  public func passReport(_ kept: KeptArrival, body: String, at time: Timestamp) throws {
    guard try settleArrival(kept.id, at: time) else { return }
    try append(
      EventRecord(
        at: time, type: .reportArrived, subject: kept.id.description, channel: kept.channel.name, actor: "liaison",
        body: body))
  }
}
