import Channels

/// One received fax with all that is known about it, and the arrival it becomes.
///
/// Evidence of who sent it, strongest first: the dialled number, the caller number of the exchange, the TSI the sender
/// set himself, the text (specs/fax.md §8). All of it is handed on as claims; a fax changes nothing by itself.
struct ReceivedFax: Sendable {
  var server: String
  var row: ReceivedRow
  var bytes: [UInt8]
  var notice: ReceiveNotice?
  var journal: JournalEntry?
  var order: CallIDOrder
  var plan: NumberPlan
  var lines: [String: FaxLine] = [:]
  var language = FaxConfiguration.Language.zh
  var receivedAt: Timestamp

  /// The same for the same fax however it is learnt of: server, file and the size it ended with.
  static func wireKey(server: String, row: ReceivedRow) -> String {
    // LIST writes the time as 2026/11/22 21.24.53, MDTM as 20261122212453.
    "\(server)/\(row.file)/\(row.bytes ?? 0)/\((row.receivedAt ?? "").filter(\.isNumber))"
  }

  /// When the server had the last of it; nil if it does not say in a form that can be read.
  static func time(_ row: ReceivedRow) -> Timestamp? {
    let digits = Array((row.receivedAt ?? "").filter(\.isNumber))
    guard digits.count == 14 else { return nil }
    let part = { (range: Range<Int>) in String(digits[range]) }
    return Timestamp(
      "\(part(0..<4))-\(part(4..<6))-\(part(6..<8))T\(part(8..<10)):\(part(10..<12)):\(part(12..<14))Z")
  }

  /// Whether the whole fax came in, as far as anyone has said: nil if neither hook nor journal spoke.
  var isComplete: Bool? {
    if let notice { return notice.error.isEmpty }
    if let journal { return journal.reason.isEmpty }
    return nil
  }

  var receiveError: String? {
    let said = [notice?.error, journal?.reason, row.error].compactMap { $0 }.first { !$0.isEmpty }
    return said.map { String($0.prefix(400)) }
  }

  /// The best of what file, hook, journal and queue say.
  func origin(_ reading: FaxReading) -> FaxOrigin {
    var origin = reading.origin ?? FaxOrigin()
    if let notice { origin.take(notice.callIDs, order: order) }
    origin.tsi = origin.tsi ?? row.tsi ?? journal?.station
    origin.caller = origin.caller ?? row.caller ?? journal?.caller
    origin.callerName = origin.callerName ?? row.callerName ?? journal?.callerName
    origin.did = origin.did ?? journal?.did
    return origin
  }

  struct Extras: Sendable {
    var previews: [InboundMessage.Attachment] = []
    var pdf: [UInt8]?
    var text: String?
    var rotations: [Int: PageImage.Rotation] = [:]
    var repeats: RecentFaxes.Repeat?
    /// The fax of the same sender that was cut off shortly before.
    var continues: String?
  }

  func arrival(on channel: ContactChannel, reading: FaxReading, extras: Extras) -> Arrival {
    let origin = origin(reading)
    var from = origin.caller.map(plan.faxAddress)
    // Without a caller number the sender's own word is better than nothing, and is marked as such.
    let fromTSI = from == nil
    if from == nil, let tsi = origin.tsi, plan.e164(tsi) != nil { from = plan.faxAddress(tsi) }
    let payload: Arrival.Payload
    if reading.readablePages == 0 {
      let fault = reading.faults.first ?? TIFFFault(.empty, "no pages")
      payload = .unreadable(.init(code: fault.code.rawValue, text: "\(row.file): \(fault.text)"))
    } else {
      payload = .message(message(on: channel, reading, origin, extras, fromTSI: fromTSI && from != nil))
    }
    return Arrival(
      channel: channel, wireKey: ReceivedFax.wireKey(server: server, row: row), from: from,
      to: origin.did.map(plan.faxAddress), receivedAt: receivedAt, payload: payload, raw: bytes)
  }

  /// A fax beyond the limit: it stays where it is, and somebody is told.
  func tooLarge(_ channel: ContactChannel, _ limit: Int) -> Arrival {
    let text = "\(row.file) on \(server) has \(row.bytes ?? 0) bytes, at most \(limit) are fetched; it stays in recvq"
    return Arrival(
      channel: channel, wireKey: ReceivedFax.wireKey(server: server, row: row), from: row.caller.map(plan.faxAddress),
      to: nil, receivedAt: receivedAt, payload: .unreadable(.init(code: "too-large", text: text)), raw: Array(text.utf8)
    )
  }

  /// That a fax which is stored already was cut off, as the hook says after the fact: a note in the fax's own request.
  func lateWord(on channel: ContactChannel) -> Arrival {
    var origin = FaxOrigin()
    if let notice { origin.take(notice.callIDs, order: order) }
    origin.caller = origin.caller ?? row.caller ?? journal?.caller
    let error = receiveError ?? ""
    let key = ReceivedFax.wireKey(server: server, row: row)
    let words =
      language == .zh
      ? (subject: "传真接收中断（补充说明）", text: "先前收到的传真 \(row.file) 不完整：\(error)")
      : (subject: "Fax was cut off (late note)", text: "The fax \(row.file) received before is incomplete: \(error)")
    let message = InboundMessage(
      subject: words.subject, text: words.text,
      claims: origin.caller.map { [Claim(.phone, plan.faxAddress($0).canonical, source: .wire)] } ?? [],
      thread: .init(references: ["fax:\(channel.name)/\(key)"]),
      properties: [
        .init("fax.complete", "no"), .init("fax.error", error), .init("fax.file", row.file),
        .init("fax.server", server), .init("fax.about", key),
      ])
    return Arrival(
      channel: channel, wireKey: key + "/cut", from: origin.caller.map(plan.faxAddress), to: nil,
      receivedAt: receivedAt, payload: .message(message), raw: Array(words.text.utf8))
  }

  private func message(
    on channel: ContactChannel, _ reading: FaxReading, _ origin: FaxOrigin, _ extras: Extras, fromTSI: Bool
  ) -> InboundMessage {
    let partial = !reading.isWhole || isComplete == false
    var properties: [InboundMessage.Property] = []
    func note(_ key: String, _ value: String?) {
      if let value, !value.isEmpty { properties.append(.init(key, value)) }
    }
    note("fax.pages", String(reading.pages.count))
    note("fax.readable_pages", String(reading.readablePages))
    note("fax.complete", partial ? "no" : isComplete == nil ? "unknown" : "yes")
    note("fax.error", receiveError)
    note("fax.page_errors", reading.faults.map(\.text).joined(separator: "; "))
    note("fax.damaged_rows", reading.pages.map(\.damagedRows).reduce(0, +).nonZero)
    note("fax.tsi", origin.tsi)
    note("fax.caller", origin.caller)
    note("fax.caller_name", origin.callerName)
    note("fax.did", origin.did)
    note("fax.from_tsi", fromTSI ? "yes" : nil)
    note("fax.subaddress", reading.pages.first?.header.subaddress)
    note("fax.resolution", reading.pages.first?.header.resolutionName)
    note("fax.server", server)
    note("fax.file", row.file)
    note("fax.device", notice?.device ?? journal?.modem)
    note("fax.communication", notice?.communication ?? journal?.communication)
    note("fax.seconds", reading.pages.compactMap(\.header.receiveSeconds).reduce(0, +).nonZero)
    note("fax.page_hashes", reading.pages.compactMap(\.fingerprint?.exact).joined(separator: " "))
    if let repeats = extras.repeats {
      note("fax.repeats", repeats.wireKey)
      note("fax.repeated_pages", repeats.pages.map { String($0) }.joined(separator: " "))
    }
    note("fax.continues", extras.continues)
    let line = origin.did.flatMap { lines[plan.faxAddress($0).canonical] }
    note("fax.line_customer", line?.customerNo)
    for (page, rotation) in extras.rotations.sorted(by: { $0.key < $1.key }) where rotation != .none {
      note("fax.rotation.\(page)", String(rotation.rawValue))
    }
    if extras.text != nil { note("fax.text_source", "recognition") }

    var claims: [Claim] = []
    // A number given to one customer alone says more than any other.
    if let customer = line?.customerNo { claims.append(Claim(.customerNo, customer, source: .wire)) }
    if let caller = origin.caller { claims.append(Claim(.phone, plan.faxAddress(caller).canonical, source: .wire)) }
    if let name = origin.callerName { claims.append(Claim(.name, name, source: .device)) }
    if let tsi = origin.tsi {
      let canonical = plan.faxAddress(tsi).canonical
      if plan.e164(tsi) != nil {
        if !claims.contains(where: { $0.value == canonical }) {
          claims.append(Claim(.phone, canonical, source: .device))
        }
      } else {
        claims.append(Claim(.company, tsi, source: .device))
      }
    }
    for number in TextEvidence.customerNumbers(in: extras.text ?? "") {
      claims.append(Claim(.customerNo, number, source: .recognised))
    }
    var attachments = [InboundMessage.Attachment(name: row.file, mediaType: "image/tiff", bytes: bytes)]
    if let pdf = extras.pdf {
      let name = row.file.hasSuffix(".tif") ? String(row.file.dropLast(4)) : row.file
      attachments.append(.init(name: name + ".pdf", mediaType: "application/pdf", bytes: pdf))
    }
    attachments.append(contentsOf: extras.previews)
    // What repeats or continues an earlier fax is shown in the same request.
    func name(_ wireKey: String) -> String { "fax:\(channel.name)/\(wireKey)" }
    let thread = InboundMessage.Thread(
      references: [extras.repeats?.wireKey, extras.continues].compactMap { $0 }.map(name),
      ownID: name(ReceivedFax.wireKey(server: server, row: row)))
    return InboundMessage(
      subject: subject(reading, extras, isPartial: partial), text: extras.text ?? "", attachments: attachments,
      claims: claims, thread: thread,
      categoryCode: line?.category, properties: properties)
  }
}

extension ReceivedFax {
  /// What a list shows of a fax, which has no subject of its own: its pages, and everything about it that is not as it
  /// should be.
  private func subject(_ reading: FaxReading, _ extras: Extras, isPartial: Bool) -> String {
    let (pages, readable) = (reading.pages.count, reading.readablePages)
    var words: [String] = []
    switch language {
    case .zh:
      words.append("传真，\(pages)页")
      if readable < pages { words.append("其中\(readable)页可读") }
      if isPartial { words.append("不完整") }
      if extras.repeats != nil { words.append("与先前的传真重复") }
      if extras.continues != nil { words.append("可能接续先前中断的传真") }
      return words.joined(separator: "，")
    case .en:
      words.append("Fax, \(pages) \(pages == 1 ? "page" : "pages")")
      if readable < pages { words.append("\(readable) readable") }
      if isPartial { words.append("incomplete") }
      if extras.repeats != nil { words.append("repeats an earlier fax") }
      if extras.continues != nil { words.append("may continue a fax that was cut off") }
      return words.joined(separator: ", ")
    }
  }
}

extension Int {
  fileprivate var nonZero: String? { self == 0 ? nil : String(self) }
}

/// Faxes of the last day, to recognise what a sender repeats after a call that ended without confirmation, and what he
/// sends on after one that broke.
///
/// A repeat is shown with what it repeats, never dropped: only a person can tell a second letter from the same one. In
/// memory and bounded; after a restart it fills again from the receive queue.
struct RecentFaxes: Sendable {
  struct Repeat: Hashable, Sendable {
    var wireKey: String
    /// Pages of the new fax that were in the earlier one.
    var pages: [Int]
  }
  private struct Entry: Sendable {
    var wireKey: String
    var sender: String
    var at: Timestamp
    var pages: [PageFingerprint]
    var isCut: Bool
  }
  static let span = Duration.seconds(86_400)
  /// A sender repeats within minutes; his machine does so by itself.
  static let continuation = Duration.seconds(900)
  static let limit = 500
  private var entries: [Entry] = []

  /// Notes this fax and says which earlier one of the same sender it repeats or, if it repeats none, which one that was
  /// cut off a little before it continues; the latest first.
  mutating func note(
    _ wireKey: String, sender: String?, at: Timestamp, pages: [PageFingerprint], isCut: Bool = false
  ) -> (repeats: Repeat?, continues: String?) {
    guard let sender, !sender.isEmpty else { return (nil, nil) }
    entries.removeAll { $0.at < at - RecentFaxes.span }
    defer {
      if !entries.contains(where: { $0.wireKey == wireKey }) {
        entries.append(Entry(wireKey: wireKey, sender: sender, at: at, pages: pages, isCut: isCut))
        if entries.count > RecentFaxes.limit { entries.removeFirst() }
      }
    }
    let earlier = entries.reversed().filter { $0.sender == sender && $0.wireKey != wireKey && $0.at <= at }
    for entry in earlier {
      let repeated = pages.indices.filter { index in entry.pages.contains { $0.shows(pages[index]) } }
      if !repeated.isEmpty { return (Repeat(wireKey: entry.wireKey, pages: repeated.map { $0 + 1 }), nil) }
    }
    return (nil, earlier.first { $0.isCut && $0.at >= at - RecentFaxes.continuation }?.wireKey)
  }
}
