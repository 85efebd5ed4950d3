import Channels

/// What was sent lately and how receipts name it: brings a receipt back to its attempt, and parts back to one message.
///
/// Memory only, bounded, oldest first out: after a restart receipts still match in the store by the id of the first
/// part (`Receipt.peerID`) or of any part (`Receipt.partIDs`); what is lost is only the one state for several parts of
/// messages under way. A receipt is looked up by its ids as written and in the link's canonical form, each link for
/// itself. Source: specs/sms.md §5.4, §5.6.
struct SentTable {
  /// What a receipt turns out to be about.
  struct Match {
    /// Nil if nothing here knows it.
    var wireIdentity: String?
    /// By which the store knows it: of the first part, scoped to the link.
    var peerID: String?
    /// Of the whole message.
    var state: DeliveryReport.State
    /// How many parts have had their last word, of how many.
    var reported: Int
    var parts: Int
  }

  private struct Sent {
    var wireIdentity: String
    var peerID: String?
    var parts: Int
    var finals: [Int: DeliveryReport.State] = [:]
    var answers: [Int: PartAnswer] = [:]
    var keys: [String]
  }

  private let limit: Int
  private var messages: [UInt64: Sent] = [:]
  private var byID: [String: (message: UInt64, part: Int)] = [:]
  private var byReference: [String: UInt64] = [:]
  private var byIdentity: [String: UInt64] = [:]
  private var order = FIFO<UInt64>()
  /// Messages of several parts by the time the first part had its last word.
  private var partly = FIFO<(message: UInt64, since: Timestamp)>()
  private var next: UInt64 = 0

  init(limit: Int = 200_000) { self.limit = limit }

  static func scoped(_ link: String, _ id: String) -> String { link + "/" + id }

  /// `ids` as the peer gave them, nil for parts without; answers the id the store shall know the message by.
  mutating func note(
    wireIdentity: String, link: String, rule: MessageIDRule, ids: [String?], recipient: String, reference: UInt16?,
    inDoubt: Bool
  ) -> [String] {
    while messages.count >= limit, let oldest = order.popFirst() { forget(oldest) }
    let number = next
    next += 1
    let canonical = ids.map { $0.map { Self.scoped(link, rule.canonicalResponse($0)) } }
    var sent = Sent(
      wireIdentity: wireIdentity, peerID: canonical.first ?? nil, parts: max(1, ids.count), keys: [])
    for (part, id) in canonical.enumerated() {
      guard let id else { continue }
      sent.answers[part] = .accepted(id: id)
      byID[id] = (number, part)
      sent.keys.append(id)
    }
    if inDoubt, let reference {
      let key = Self.scoped(link, "\(recipient)#\(reference)")
      byReference[key] = number
      sent.keys.append(key)
    }
    byIdentity[wireIdentity] = number
    messages[number] = sent
    order.append(number)
    return canonical.compactMap { $0 }
  }

  /// Something of an earlier run that nobody answered: from now on its receipts are known by the reference it was sent
  /// with, on whichever of these links it left. Nothing if it is known already.
  mutating func expect(
    wireIdentity: String, links: [(name: String, parts: Int)], recipient: String, reference: UInt16
  ) {
    guard byIdentity[wireIdentity] == nil else { return }
    while messages.count >= limit, let oldest = order.popFirst() { forget(oldest) }
    for link in links {
      let number = next
      next += 1
      let key = Self.scoped(link.name, "\(recipient)#\(reference)")
      byReference[key] = number
      byIdentity[wireIdentity] = number
      messages[number] = Sent(wireIdentity: wireIdentity, peerID: nil, parts: max(1, link.parts), keys: [key])
      order.append(number)
    }
  }

  /// A part in doubt was answered after all.
  mutating func noteLate(_ answer: PartAnswer, part: Int, wireIdentity: String, link: String, rule: MessageIDRule) {
    guard let number = byIdentity[wireIdentity], var sent = messages[number] else { return }
    sent.answers[part] = answer
    if case .accepted(let id?) = answer {
      let key = Self.scoped(link, rule.canonicalResponse(id))
      sent.answers[part] = .accepted(id: key)
      byID[key] = (number, part)
      sent.keys.append(key)
      if part == 0 { sent.peerID = key }
    }
    messages[number] = sent
  }

  /// What is known of a dispatch in doubt: the answer to each part, nil where none came.
  func answers(about wireIdentity: String) -> [PartAnswer?]? {
    guard let number = byIdentity[wireIdentity], let sent = messages[number] else { return nil }
    return (0..<sent.parts).map { sent.answers[$0] }
  }

  mutating func match(
    _ reading: ReceiptReading, link: String, rule: MessageIDRule, recipient: String, reference: UInt16?,
    at now: Timestamp
  ) -> Match {
    let written = [reading.rawID, reading.otherID].compactMap { $0 }
    let forms =
      written + written.map { $0.lowercased() } + written.map { rule.canonicalReceipt($0) }
      + written.map { rule.canonicalResponse($0) }
    var found = forms.compactMap { byID[Self.scoped(link, $0)] }.first
    if found == nil, let reference, let number = byReference[Self.scoped(link, "\(recipient)#\(reference)")],
      var sent = messages[number]
    {
      // Which part it is nobody said: the first that no receipt has named. The same id again is the same part.
      let taken = Set(sent.keys.compactMap { byID[$0]?.message == number ? byID[$0]?.part : nil })
      let part = (0..<sent.parts).first { !taken.contains($0) && sent.finals[$0] == nil } ?? 0
      found = (number, part)
      if let id = reading.rawID.map({ Self.scoped(link, rule.canonicalReceipt($0)) }) {
        byID[id] = (number, part)
        sent.keys.append(id)
        messages[number] = sent
      }
    }
    guard let (number, part) = found, var sent = messages[number] else {
      return Match(
        wireIdentity: nil, peerID: reading.rawID.map { Self.scoped(link, rule.canonicalReceipt($0)) },
        state: reading.state, reported: reading.state == .pending ? 0 : 1, parts: 1)
    }
    // The first final word about a part holds: what comes after it repeats or contradicts.
    if reading.state != .pending, sent.finals[part] == nil {
      if sent.finals.isEmpty, sent.parts > 1 { partly.append((number, now)) }
      sent.finals[part] = reading.state
    }
    messages[number] = sent
    return Match(
      wireIdentity: sent.wireIdentity, peerID: sent.peerID,
      state: PartStates.whole(Array(sent.finals.values), parts: sent.parts), reported: sent.finals.count,
      parts: sent.parts)
  }

  /// Messages of which only some parts were reported since `limit`, and no more is to be expected.
  mutating func overdue(since limit: Timestamp) -> [Match] {
    var out: [Match] = []
    while let first = partly.first, first.since <= limit {
      partly.popFirst()
      guard let sent = messages[first.message] else { continue }
      let state = PartStates.whole(Array(sent.finals.values), parts: sent.parts)
      guard state == .pending else { continue }
      out.append(
        Match(
          wireIdentity: sent.wireIdentity, peerID: sent.peerID, state: .unknown, reported: sent.finals.count,
          parts: sent.parts))
    }
    return out
  }

  private mutating func forget(_ number: UInt64) {
    guard let sent = messages.removeValue(forKey: number) else { return }
    for key in sent.keys {
      if byID[key]?.message == number { byID[key] = nil }
      if byReference[key] == number { byReference[key] = nil }
    }
    if byIdentity[sent.wireIdentity] == number { byIdentity[sent.wireIdentity] = nil }
  }
}
