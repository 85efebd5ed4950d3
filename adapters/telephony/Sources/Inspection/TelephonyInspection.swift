import Channels

/// What recordings of manager connections come to: one JSON object per call, for `liaison inspect telephony`.
///
/// Several recordings are successive connections to the same server. Times are milliseconds since the first one
/// began where a timing file says so, else since its first `Timestamp`; without either they are left out.
public struct TelephonyInspection {
  private var interpreter: AsteriskInterpreter
  private var order: [String] = []
  private var calls: [String: CallState] = [:]
  private var queueAtAnswer: [String: String] = [:]
  private var origin: Timestamp?
  /// Agents' presence as told, in order.
  public private(set) var presence: [AgentPresence] = []
  /// Every call event, in order.
  public private(set) var events: [CallEvent] = []
  public private(set) var messages = 0
  public private(set) var oversize = 0

  public init(server: String = "recording", settings: AsteriskInterpreter.Settings = .init()) {
    interpreter = AsteriskInterpreter(server: server, settings: settings)
  }

  /// One line of a timing file: `4466 S 512`, when so many bytes went which way.
  private struct Piece {
    var milliseconds: Int64
    var length: Int
  }

  /// Takes the next connection's bytes, and the text of its timing file if there is one.
  public mutating func add(_ bytes: [UInt8], timing: String? = nil, piece: Int? = nil) {
    var pieces = timing.map(read) ?? []
    let start = timing == nil ? nil : self.start(of: bytes, pieces)
    if origin == nil { origin = start ?? firstTime(in: bytes) }
    if pieces.isEmpty { pieces = [Piece(milliseconds: 0, length: bytes.count)] }
    var decoder = AMIDecoder()
    var offset = 0
    bytes.withUnsafeBytes { all in
      for (index, part) in pieces.enumerated() where offset < all.count {
        let end = index == pieces.count - 1 ? all.count : min(all.count, offset + part.length)
        let arrived = start.map { $0 + .milliseconds(part.milliseconds) }
        while offset < end {
          let next = piece.map { min(end, offset + $0) } ?? end
          var updates: [TelephonyUpdate] = []
          decoder.feed(UnsafeRawBufferPointer(rebasing: all[offset..<next])) { message in
            updates += interpreter.interpret(message, arrived: arrived)
          }
          for update in updates { take(update) }
          offset = next
        }
      }
    }
    messages += decoder.messages
    oversize += decoder.oversize
  }

  /// The objects, in the order in which the calls began. Call it once, when all is added.
  public mutating func lines() -> [String] {
    for update in interpreter.finish() { take(update) }
    return order.compactMap { calls[$0] }.filter { $0.disposition != "merged" }
      .sorted {
        ($0.created, order.firstIndex(of: $0.callID) ?? 0) < ($1.created, order.firstIndex(of: $1.callID) ?? 0)
      }
      .map(line)
  }

  /// The calls as last told, in the order in which they were first told.
  public var states: [CallState] { order.compactMap { calls[$0] } }
  public var liveLegs: Int { interpreter.book.legCount }

  private mutating func take(_ update: TelephonyUpdate) {
    switch update {
    case .presence(let change): presence.append(change)
    case .call(let event):
      events.append(event)
      let name = event.call.callID
      if calls.updateValue(event.call, forKey: name) == nil { order.append(name) }
      if event.call.connected != nil, queueAtAnswer[name] == nil, let queue = event.call.queue {
        queueAtAnswer[name] = queue
      }
    }
  }

  // MARK: Time

  private func read(_ timing: String) -> [Piece] {
    timing.split(whereSeparator: \.isNewline).compactMap { line in
      let fields = line.split(separator: " ")
      guard fields.count == 3, fields[1] == "S", let time = Double(fields[0]), let length = Int(fields[2]),
        time.magnitude < 1e12, length > 0
      else { return nil }
      return Piece(milliseconds: Int64(time), length: length)
    }
  }

  /// When a connection began: its first `Timestamp` less the time at which that had arrived.
  private func start(of bytes: [UInt8], _ pieces: [Piece]) -> Timestamp? {
    var decoder = AMIDecoder()
    var offset = 0
    var found: Timestamp?
    for piece in pieces where offset < bytes.count {
      let end = min(bytes.count, offset + piece.length)
      decoder.feed(bytes[offset..<end]) { message in
        if found == nil, let micros = message.first("Timestamp")?.microseconds {
          found = Timestamp(microseconds: micros) - .milliseconds(piece.milliseconds)
        }
      }
      if found != nil { return found }
      offset = end
    }
    return pieces.isEmpty ? nil : Timestamp(microseconds: 0)
  }

  private func firstTime(in bytes: [UInt8]) -> Timestamp? {
    var decoder = AMIDecoder()
    var found: Timestamp?
    decoder.feed(bytes) { message in
      if found == nil { found = message.first("Timestamp")?.microseconds.map(Timestamp.init(microseconds:)) }
    }
    return found
  }

  private func milliseconds(_ time: Timestamp) -> Int64? {
    origin.map { (time - $0).wholeMicroseconds / 1_000 }
  }

  // MARK: JSON

  private func line(_ call: CallState) -> String {
    var json = JSONLine()
    json.add("call_id", call.callID)
    json.add("server", call.server)
    json.add("direction", call.direction.rawValue)
    if call.direction == .outbound {
      json.add("customer", call.caller?.raw)
    } else {
      json.add("caller", call.caller?.raw)
      json.add("caller_name", call.callerName)
      json.add("did", call.dialled?.raw)
    }
    json.add("customer_no", call.customerNo)
    json.add("queue", queueAtAnswer[call.callID] ?? call.queue)
    json.add("offers", inRounds(call.offers).map { "[\(quoted($0.device)),\($0.outcome.map(quoted) ?? "null")]" })
    var agents: [String] = []
    for leg in call.legs where leg.state == .talking || leg.state == .conference || leg.state == .held {
      if !agents.contains(leg.device) { agents.append(leg.device) }
    }
    json.add("agents", agents.map(quoted))
    json.add(
      "transfers",
      call.transfers.map { "{\"type\":\(quoted($0.type)),\"by\":\(quoted($0.by)),\"to\":\(quoted($0.to))}" })
    json.add(
      "consultations",
      call.consultations.map {
        "{\"by\":\(quoted($0.by)),\"to\":\(quoted($0.to)),\"device\":\(quoted($0.device))}"
      })
    json.add("holds", call.holds.map { "{\"by\":\(quoted($0.by)),\"s\":\(seconds($0.from, $0.to))}" })
    if !call.recordings.isEmpty { json.add("recordings", number: Int64(call.recordings.count)) }
    json.add("disposition", call.disposition)
    json.add("ended_by", call.endedBy)
    if let job = call.job { json.add("job", job) }
    if let reason = call.jobReason { json.add("originate_reason", reason) }
    if call.isFromSnapshot { json.add("known_from", "snapshot") }
    if let connected = call.connected, let ended = call.ended {
      json.add("talk_s", number: ((ended - connected).wholeMilliseconds + 500) / 1_000)
    }
    if origin != nil {
      var times = JSONLine()
      let known: [(String, Timestamp?)] = [
        ("created", call.created), ("queued", call.queued), ("connected", call.connected), ("ended", call.ended),
      ]
      for (name, time) in known { if let time, let value = milliseconds(time) { times.add(name, number: value) } }
      json.add("times_ms", raw: times.text)
    }
    return json.text
  }

  /// Offers in the order they were made; those made at once (ring all) by device, since their order means nothing.
  private func inRounds(_ offers: [CallState.Offer]) -> [CallState.Offer] {
    var rounds: [[CallState.Offer]] = []
    for offer in offers {
      if let first = rounds.last?.first, offer.at - first.at < .milliseconds(50),
        !rounds[rounds.count - 1].contains(where: { $0.device == offer.device })
      {
        rounds[rounds.count - 1].append(offer)
      } else {
        rounds.append([offer])
      }
    }
    return rounds.flatMap { $0.sorted { $0.device < $1.device } }
  }

  /// Seconds to one decimal, without a needless zero.
  private func seconds(_ from: Timestamp, _ to: Timestamp?) -> String {
    guard let to else { return "null" }
    let tenths = max(0, (to - from).wholeMilliseconds + 50) / 100
    return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
  }
}

/// One JSON object on one line, its members in the order added.
struct JSONLine {
  private var members: [String] = []
  var text: String { "{" + members.joined(separator: ",") + "}" }

  mutating func add(_ name: String, _ value: String?) { add(name, raw: value.map(quoted) ?? "null") }
  mutating func add(_ name: String, _ values: [String]) { add(name, raw: "[" + values.joined(separator: ",") + "]") }
  mutating func add(_ name: String, number: Int64) { add(name, raw: String(number)) }
  mutating func add(_ name: String, raw: String) { members.append(quoted(name) + ":" + raw) }
}

/// A JSON string (RFC 8259 §7).
func quoted(_ text: String) -> String {
  var out = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"": out += "\\\""
    case "\\": out += "\\\\"
    case "\n": out += "\\n"
    case "\r": out += "\\r"
    case "\t": out += "\\t"
    case _ where scalar.value < 0x20:
      let hex = String(scalar.value, radix: 16)
      out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
    default: out.unicodeScalars.append(scalar)
    }
  }
  return out + "\""
}
