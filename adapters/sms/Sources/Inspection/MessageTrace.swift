import Channels

/// Follows messages through a recording: their parts, how each was answered, what receipts said.
///
/// A receipt finds its part by the id as written, then in one case, then without leading zeros, then as the other base
/// of the same number (told in `matched_by`: a recording is not a link, so here a guess does no harm).
struct MessageTrace {
  private struct Sent {
    var side: Recording.Side
    var sequence: UInt32
    var short: ShortMessage
    var destinations: [String]
    var status: String?
    var accepted: Bool?
    var messageID: String?
  }

  private struct Receipt {
    var reading: ReceiptReading
    var recipient: String
  }

  private struct Message {
    var mobileOriginated: Bool
    var link: String
    var short: ShortMessage
    var destinations: [String]
    /// Indices into `sent`, in order of parts.
    var parts: [Int]
    var text: String
    var defects: Int
    var total: Int
    var missing: [Int]
    var order: Int
  }

  private let options: Inspection.Options
  private var sent: [Sent] = []
  private var receipts: [Receipt] = []
  private var open: [String: Int] = [:]
  private var reassemblers: [Recording.Side: Reassembler<Int>]
  private var messages: [Message] = []
  private var clock: Duration = .zero

  init(options: Inspection.Options) {
    self.options = options
    reassemblers = [
      .client: Reassembler(timeLimit: options.timeLimit), .server: Reassembler(timeLimit: options.timeLimit),
    ]
  }

  mutating func note(_ pdu: SMPPPDU, from side: Recording.Side, at time: Double?) {
    advance(to: time)
    switch pdu.command {
    case .submitSM, .deliverSM, .dataSM, .submitMulti:
      guard let read = pdu.inbound(on: options.profile, receipts: ReceiptReader()) else { return }
      switch read {
      case .unreadable: return
      case .receipt(let reading, let short) where side == .server && pdu.command != .submitSM:
        receipts.append(Receipt(reading: reading, recipient: short.from))
      case .receipt(_, let short), .message(let short):
        var destinations = [short.to]
        if case .multi(_, let all) = pdu.body {
          destinations = all.map { destination in
            switch destination {
            case .address(let address): address.digits
            case .list(let name): name
            }
          }
        }
        add(Sent(side: side, sequence: pdu.sequence, short: short, destinations: destinations))
      }
    case .submitSM.response, .deliverSM.response, .dataSM.response, .submitMulti.response, .genericNack:
      var id: String?
      if case .messageID(let text) = pdu.body, !text.isEmpty { id = text }
      answer(
        pdu.sequence, from: side, accepted: pdu.status == .ok && pdu.command != .genericNack,
        status: pdu.command == .genericNack ? "generic_nack " + pdu.status.name : pdu.status.name, messageID: id)
    default: break
    }
  }

  mutating func note(_ pdu: CMPPPDU, from side: Recording.Side, at time: Double?) {
    advance(to: time)
    switch pdu.body {
    case .submit, .deliver:
      guard let read = pdu.inbound(receipts: ReceiptReader()) else { return }
      switch read {
      case .unreadable: return
      case .receipt(let reading, let short): receipts.append(Receipt(reading: reading, recipient: short.from))
      case .message(let short):
        var destinations = [short.to]
        if case .submit(let submit) = pdu.body { destinations = submit.destinations }
        var entry = Sent(side: side, sequence: pdu.sequence, short: short, destinations: destinations)
        if case .deliver(let deliver) = pdu.body { entry.messageID = [UInt8](messageID: deliver.messageID).hex }
        add(entry)
      }
    case .result(let id, let result):
      answer(
        pdu.sequence, from: side, accepted: result == 0, status: CMPPResult.name(result),
        messageID: [UInt8](messageID: id).hex)
    default: break
    }
  }

  /// What is unanswered now will stay so.
  mutating func connectionEnded(_ side: Recording.Side) { open = [:] }

  private mutating func advance(to time: Double?) {
    guard let time, time >= 0, time < 1e9 else { return }
    clock = max(clock, .milliseconds(Int64(time * 1_000)))
    for side in [Recording.Side.client, .server] {
      for whole in reassemblers[side]?.expire(at: clock) ?? [] { finish(whole) }
    }
  }

  private mutating func add(_ entry: Sent) {
    sent.append(entry)
    let index = sent.count - 1
    open["\(entry.side.rawValue)\(entry.sequence)"] = index
    guard let concatenation = entry.short.concatenation, concatenation.total > 1 else {
      let decoded = entry.short.text
      messages.append(
        Message(
          mobileOriginated: entry.side == .server, link: entry.side.rawValue, short: entry.short,
          destinations: entry.destinations, parts: [index], text: decoded.text, defects: decoded.defects, total: 1,
          missing: [], order: index))
      return
    }
    let key = Reassembler<Int>.Key(
      link: entry.side.rawValue, from: options.numbers.address(entry.short.from).canonical,
      to: options.numbers.address(entry.short.to).canonical, concatenation)
    let part = Reassembler<Int>.Part(
      number: concatenation.number, octets: entry.short.octets, coding: entry.short.coding,
      tables: entry.short.tables, token: index)
    guard let (outcome, givenUp) = reassemblers[entry.side]?.add(part, to: key, at: clock) else { return }
    for whole in givenUp { finish(whole) }
    if case .complete(let whole) = outcome {
      reassemblers[entry.side]?.remember(whole, at: clock)
      finish(whole)
    }
  }

  private mutating func finish(_ whole: Reassembler<Int>.Whole) {
    guard let first = whole.parts.first else { return }
    let text = whole.text
    let entry = sent[first.token]
    messages.append(
      Message(
        mobileOriginated: entry.side == .server, link: entry.side.rawValue, short: entry.short,
        destinations: entry.destinations, parts: whole.parts.map(\.token), text: text.text, defects: text.defects,
        total: whole.key.total, missing: whole.missing, order: whole.parts.map(\.token).min() ?? 0))
  }

  private mutating func answer(
    _ sequence: UInt32, from side: Recording.Side, accepted: Bool, status: String, messageID: String?
  ) {
    let asked: Recording.Side = side == .server ? .client : .server
    guard let index = open.removeValue(forKey: "\(asked.rawValue)\(sequence)") else { return }
    sent[index].accepted = accepted
    sent[index].status = status
    if let messageID, asked == .client { sent[index].messageID = messageID }
  }

  /// One object a message, in order of their first parts.
  mutating func finish() -> [[(String, JSONText)]] {
    for side in [Recording.Side.client, .server] {
      for whole in reassemblers[side]?.drain() ?? [] { finish(whole) }
    }
    return messages.sorted { $0.order < $1.order }.map { describe($0) }
  }

  private func describe(_ message: Message) -> [(String, JSONText)] {
    let parts = message.parts.map { sent[$0] }
    let from = options.numbers.address(message.short.from, international: message.short.fromIsInternational)
    var out: [(String, JSONText)] = [
      ("record", .string("message")), ("kind", .string(message.mobileOriginated ? "MO" : "MT")),
      ("from", .string(message.short.from)), ("from_canonical", .string(from.canonical)),
      (
        "to",
        message.destinations.count == 1
          ? .string(message.destinations[0]) : .array(message.destinations.map { .string($0) })
      ),
      (
        "to_canonical",
        message.destinations.count == 1
          ? .string(options.numbers.address(message.destinations[0]).canonical)
          : .array(message.destinations.map { .string(options.numbers.address($0).canonical) })
      ),
      ("coding", .string(message.short.coding.rawValue)), ("text", .string(message.text)),
      ("parts", .int(message.total)), ("received_parts", .int(message.parts.count)),
      ("complete", .bool(message.missing.isEmpty)),
      ("sequence_numbers", .array(parts.map { .int(Int($0.sequence)) })),
    ]
    if !message.missing.isEmpty { out.append(("missing", .array(message.missing.map { .int($0) }))) }
    if message.defects > 0 { out.append(("undecodable", .int(message.defects))) }
    if message.mobileOriginated {
      if let (meaning, word) = options.keywords.meaning(of: message.text) {
        out.append(("keyword", .string(word)))
        switch meaning {
        case .optOut: out.append(("meaning", .string("opt_out")))
        case .optIn: out.append(("meaning", .string("opt_in")))
        case .command(let category): out.append(("meaning", .string(category)))
        }
      }
      return out
    }
    let submission: String
    if parts.contains(where: { $0.accepted == nil }) {
      submission = "in_doubt"
    } else if parts.allSatisfy({ $0.accepted == true }) {
      submission = "accepted"
    } else {
      submission = parts.contains { $0.accepted == true } ? "in_doubt" : "refused"
    }
    out.append(("submission", .string(submission)))
    out.append(("statuses", .array(parts.map { $0.status.map { .string($0) } ?? .null })))
    out.append(("message_ids", .array(parts.map { $0.messageID.map { .string($0) } ?? .null })))
    out.append(contentsOf: receipts(for: message, parts))
    return out
  }

  private func receipts(for message: Message, _ parts: [Sent]) -> [(String, JSONText)] {
    var found: [JSONText] = []
    var finals: [Int: DeliveryReport.State] = [:]
    for receipt in receipts {
      for (index, part) in parts.enumerated() {
        guard let id = part.messageID else { continue }
        let candidates = [receipt.reading.rawID, receipt.reading.otherID].compactMap { $0 }
        guard let how = candidates.lazy.compactMap({ Self.match(id, $0) }).first else { continue }
        found.append(
          .object([
            ("part", .int(part.short.concatenation?.number ?? 1)),
            ("id", receipt.reading.rawID.map { .string($0) } ?? .null), ("matched_by", .string(how)),
            ("recipient", .string(receipt.recipient)), ("state", .string(receipt.reading.state.rawValue)),
            ("stat", receipt.reading.word.map { .string($0) } ?? .null),
          ]))
        // The first final word holds; what comes after it is repetition or contradiction.
        if receipt.reading.state != .pending, finals[index] == nil { finals[index] = receipt.reading.state }
      }
    }
    guard !found.isEmpty else { return [] }
    return [
      ("receipts", .array(found)),
      ("state", .string(PartStates.whole(Array(finals.values), parts: parts.count).rawValue)),
    ]
  }

  private static func match(_ id: String, _ receipt: String) -> String? {
    if id == receipt { return "text" }
    if id.lowercased() == receipt.lowercased() { return "case" }
    let plain = MessageIDRule()
    if plain.canonicalResponse(id) == plain.canonicalReceipt(receipt) { return "zeros" }
    if MessageIDRule(responses: .hexadecimal, receipts: .decimal).pair(id, receipt) { return "hex_decimal" }
    if MessageIDRule(responses: .decimal, receipts: .hexadecimal).pair(id, receipt) { return "decimal_hex" }
    return nil
  }
}

extension MessageIDRule {
  /// Whether both name the same message under this rule.
  func pair(_ response: String, _ receipt: String) -> Bool { canonicalResponse(response) == canonicalReceipt(receipt) }
}
