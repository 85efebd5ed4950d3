import Channels
import Synchronization

/// Takes what the links bring, offers it, and answers the wire only when it is kept.
///
/// A part of a long message is not answered until its message is whole and kept; so nothing but the peer needs to remember
/// it. A peer that waits for the answer before it sends the next part would wait for ever, therefore after `partHold`
/// the part is offered by itself (as unreadable, `part-waiting`: its octets are safe, and it is visible if nothing ever
/// follows) and answered. A message whose parts do not come within the time limit is offered without them, marked.
/// A receipt that knows no submission while submissions are under way waits a moment for their answers: it may be early.
final class InboundTaker: Sendable {
  struct Link: Sendable {
    var rule: MessageIDRule
    var condemningCodes: Set<String>
  }

  private struct PartToken: Sendable {
    var id: UInt64
    var frame: [UInt8]
    var receivedAt: Timestamp
    var names: InboundNames
    var short: ShortMessage
  }

  /// How a part in the reassembler stands with its peer.
  private enum Fate {
    case held(answer: @Sendable (LinkAnswer) -> Void, until: Duration)
    case offering
    /// Kept by itself, as this arrival.
    case durable(ArrivalID?)
  }

  private struct Waiting {
    var fate: Fate
    var token: PartToken
  }

  private struct Owed: Sendable {
    var answers: [@Sendable (LinkAnswer) -> Void] = []
    var kept: [ArrivalID] = []
  }

  private struct Parts {
    var reassembler: Reassembler<PartToken>
    /// Of every part in the reassembler.
    var waiting: [UInt64: Waiting] = [:]
    var nextID: UInt64 = 0
    /// Given out but not yet kept because the store was busy.
    var unoffered: [Reassembler<PartToken>.Whole] = []
    var isFinishing = false
  }

  private let channel: ContactChannel
  private let numbers: NumberPlan
  private let keywords: KeywordTable
  private let links: [String: Link]
  private let partHold: Duration
  /// Receipts for some parts of a message only: after this no more are expected.
  private let partialReportWait: Duration
  private let wallClock: @Sendable () -> Timestamp
  private let began = ContinuousClock.now
  private let parts: Mutex<Parts>
  private let sent = Mutex(SentTable())
  private let underWay = Mutex(0)
  private let lastArrival = Mutex<Timestamp?>(nil)

  init(
    channel: ContactChannel, configuration: SMSConfiguration, wallClock: @escaping @Sendable () -> Timestamp,
    partialReportWait: Duration = .seconds(3_600)
  ) {
    self.channel = channel
    numbers = configuration.numbers
    keywords = configuration.keywords
    links = Dictionary(
      configuration.links.map { ($0.name, Link(rule: $0.messageIDs, condemningCodes: $0.condemningCodes)) }
    ) { first, _ in first }
    partHold = configuration.partHold
    self.partialReportWait = partialReportWait
    self.wallClock = wallClock
    parts = Mutex(Parts(reassembler: Reassembler(timeLimit: configuration.partTimeLimit)))
  }

  var lastArrivalAt: Timestamp? { lastArrival.withLock { $0 } }
  func noteArrival(at time: Timestamp) { lastArrival.withLock { $0 = time } }
  private var elapsed: Duration { ContinuousClock.now - began }

  // MARK: What the submitting side tells

  func submissionBegan() { underWay.withLock { $0 += 1 } }
  func submissionEnded() { underWay.withLock { $0 -= 1 } }

  /// Answers the ids the store shall know the message by.
  func note(_ submission: LinkSubmission, of dispatch: Dispatch, link: String, recipient: Address) -> [String] {
    let rule = links[link]?.rule ?? MessageIDRule()
    return sent.withLock {
      $0.note(
        wireIdentity: dispatch.wireIdentity, link: link, rule: rule, ids: submission.ids,
        recipient: recipient.canonical, reference: submission.reference, inDoubt: submission.hasUnknown)
    }
  }

  /// A submission of an earlier run is asked about: its receipts are to be known.
  func expect(_ dispatch: Dispatch, on links: [(name: String, parts: Int)], recipient: Address) {
    let reference = Fingerprint.reference(of: dispatch.wireIdentity)
    sent.withLock {
      $0.expect(
        wireIdentity: dispatch.wireIdentity, links: links, recipient: recipient.canonical, reference: reference)
    }
  }

  func answers(about wireIdentity: String) -> [PartAnswer?]? { sent.withLock { $0.answers(about: wireIdentity) } }

  // MARK: What the links bring

  func take(_ arrival: LinkArrival, accept: ChannelAdapter.Accept) async {
    switch arrival.content {
    case .late(let wireIdentity, let part, let answer):
      let rule = links[arrival.link]?.rule ?? MessageIDRule()
      sent.withLock {
        $0.noteLate(answer, part: part, wireIdentity: wireIdentity, link: arrival.link, rule: rule)
      }
    case .reading(let reading):
      noteArrival(at: arrival.receivedAt)
      switch reading {
      case .unreadable(let reason):
        let acceptance = await accept(
          Arrival(
            channel: channel, wireKey: arrival.names.wireKey, from: nil, to: nil, receivedAt: arrival.receivedAt,
            payload: .unreadable(reason), raw: arrival.frame))
        arrival.answer(LinkAnswer(acceptance))
      case .receipt(let receipt, let short): await take(receipt, short, arrival, accept)
      case .message(let short):
        if let concatenation = short.concatenation, concatenation.total > 1 {
          await takePart(short, concatenation, arrival, accept)
        } else {
          let decoded = short.text
          let made = self.arrival(
            short, text: decoded.text, defects: decoded.defects, link: arrival.link, at: arrival.receivedAt,
            wireKey: arrival.names.wireKey, since: arrival.names.since, raw: arrival.frame,
            properties: Self.marks([short], on: arrival.link, [arrival.names]))
          arrival.answer(LinkAnswer(await accept(made)))
        }
      }
    }
  }

  private func take(
    _ receipt: ReceiptReading, _ short: ShortMessage, _ arrival: LinkArrival, _ accept: ChannelAdapter.Accept
  ) async {
    let link = links[arrival.link] ?? Link(rule: MessageIDRule(), condemningCodes: [])
    let recipient = numbers.address(short.from, international: short.fromIsInternational)
    func match() -> SentTable.Match {
      sent.withLock {
        $0.match(
          receipt, link: arrival.link, rule: link.rule, recipient: recipient.canonical,
          reference: arrival.names.reference,
          at: arrival.receivedAt)
      }
    }
    var found = match()
    // Early: the answer that names the id may be on its way, or after a start the inquiry that names the reference. Ten
    // looks within a second, then it goes as it is.
    let mayBeOfEarlierRun = arrival.names.reference != nil && elapsed < .seconds(10)
    var looks = 0
    while found.wireIdentity == nil, looks < 10, mayBeOfEarlierRun || underWay.withLock({ $0 > 0 }) {
      looks += 1
      do { try await Task.sleep(for: .milliseconds(100)) } catch { break }
      found = match()
    }
    let report = report(receipt, found, recipient: recipient, link: link)
    let key =
      arrival.names.wireKey
      ?? receipt.rawID.map { id in
        "\(arrival.link)/receipt/\(id)/\(recipient.canonical)/\(receipt.word ?? "")/\(receipt.text?.doneDate ?? "")"
      }
    let acceptance = await accept(
      Arrival(
        channel: channel, wireKey: key, from: recipient,
        to: numbers.address(short.to, international: short.toIsInternational), receivedAt: arrival.receivedAt,
        payload: .report(report), raw: arrival.frame))
    arrival.answer(LinkAnswer(acceptance))
  }

  private func report(
    _ receipt: ReceiptReading, _ found: SentTable.Match, recipient: Address, link: Link
  ) -> DeliveryReport {
    let codes = [receipt.word, receipt.errorCode].compactMap { $0?.uppercased() }
    let condemns = receipt.state != .delivered && codes.contains { link.condemningCodes.contains($0) }
    var fault: Fault?
    if receipt.state != .delivered, receipt.state != .pending || receipt.word != nil {
      var text = receipt.word ?? receipt.state.rawValue
      if found.parts > 1 { text += ", \(found.reported) of \(found.parts) parts have their last report" }
      let code: Fault.Code = condemns ? .unknownRecipient : receipt.state == .expired ? .expired : .peerFailure
      fault = Fault(code, peerCode: receipt.errorCode ?? receipt.word, text: text)
    }
    return DeliveryReport(
      wireIdentity: found.wireIdentity, peerID: found.peerID, recipient: recipient, state: found.state,
      fault: found.state == .delivered ? nil : fault, condemnsAddress: condemns, happenedAt: receipt.doneAt)
  }

  // MARK: Parts

  private func takePart(
    _ short: ShortMessage, _ concatenation: Concatenation, _ arrival: LinkArrival, _ accept: ChannelAdapter.Accept
  ) async {
    let key = Reassembler<PartToken>.Key(
      link: arrival.link, from: numbers.address(short.from, international: short.fromIsInternational).canonical,
      to: numbers.address(short.to, international: short.toIsInternational).canonical, concatenation)
    let now = elapsed
    enum Next {
      case wait
      case answer(LinkAnswer)
      case offer(Reassembler<PartToken>.Whole, Owed)
    }
    let (next, givenUp) = parts.withLock { parts -> (Next, [Reassembler<PartToken>.Whole]) in
      // The daemon is stopping: the peer shall bring it again to the next one.
      guard !parts.isFinishing else { return (.answer(.busy), []) }
      let id = parts.nextID
      parts.nextID += 1
      let token = PartToken(
        id: id, frame: arrival.frame, receivedAt: arrival.receivedAt, names: arrival.names, short: short)
      let (outcome, givenUp) = parts.reassembler.add(
        .init(
          number: concatenation.number, octets: short.octets, coding: short.coding, tables: short.tables, token: token),
        to: key, at: now)
      switch outcome {
      case .waiting:
        parts.waiting[id] = Waiting(fate: .held(answer: arrival.answer, until: now + partHold), token: token)
        return (.wait, givenUp)
      case .duplicate(of: let first):
        guard let first else { return (.answer(.taken), givenUp) }
        if case .durable? = parts.waiting[first.id]?.fate { return (.answer(.taken), givenUp) }
        return (.answer(.busy), givenUp)
      case .complete(let whole):
        parts.waiting[id] = Waiting(fate: .held(answer: arrival.answer, until: now), token: token)
        return (.offer(whole, Self.release(whole, from: &parts)), givenUp)
      }
    }
    for whole in givenUp { await offerIncomplete(whole, accept) }
    switch next {
    case .wait: break
    case .answer(let answer): arrival.answer(answer)
    case .offer(let whole, let owed):
      let answer = await offer(whole, replacing: owed.kept, accept)
      if answer == .taken { parts.withLock { $0.reassembler.remember(whole, at: elapsed) } }
      for tell in owed.answers { tell(answer) }
    }
  }

  /// What is still owed for the parts of a message that leaves the reassembler: answers to the peer, and the arrivals of
  /// parts kept by themselves, which the message takes the place of.
  private static func release(_ whole: Reassembler<PartToken>.Whole, from parts: inout Parts) -> Owed {
    var owed = Owed()
    for part in whole.parts {
      switch parts.waiting.removeValue(forKey: part.token.id)?.fate {
      case .held(let answer, _)?: owed.answers.append(answer)
      case .durable(let id?)?: owed.kept.append(id)
      case .durable(nil)?, .offering?, nil: break
      }
    }
    return owed
  }

  /// Offers a message made of parts; a busy store is asked five times before the peer is told to come again.
  private func offer(
    _ whole: Reassembler<PartToken>.Whole, replacing kept: [ArrivalID], _ accept: ChannelAdapter.Accept
  ) async -> LinkAnswer {
    guard let first = whole.parts.first else { return .refused }
    let text = whole.text
    var properties = [InboundMessage.Property("sms.parts", String(whole.key.total))]
    properties += Self.marks(whole.parts.map(\.token.short), on: whole.key.link, whole.parts.map(\.token.names))
    if !whole.missing.isEmpty {
      properties.append(.init("sms.missing_parts", whole.missing.map(String.init).joined(separator: ",")))
    }
    if !kept.isEmpty {
      properties.append(.init("arrival.replaces", kept.map(\.description).joined(separator: ",")))
    }
    let made = arrival(
      first.token.short, text: text.text, defects: text.defects, link: whole.key.link,
      at: whole.parts.map(\.token.receivedAt).max() ?? first.token.receivedAt,
      // Without a part it is not what the peer will offer again under the same key.
      wireKey: whole.missing.isEmpty ? first.token.names.wireKey : nil,
      // Late only if the last part was: a sender who writes for a while is not late.
      since: whole.parts.compactMap(\.token.names.since).max(), raw: whole.parts.flatMap(\.token.frame),
      properties: properties)
    for _ in 0..<5 {
      switch await accept(made) {
      case .stored, .duplicate: return .taken
      case .refused: return .refused
      case .busy(let retryAfter):
        do { try await Task.sleep(for: min(retryAfter, .seconds(2))) } catch { return .busy }
      }
    }
    return .busy
  }

  private func offerIncomplete(_ whole: Reassembler<PartToken>.Whole, _ accept: ChannelAdapter.Accept) async {
    let owed = parts.withLock { Self.release(whole, from: &$0) }
    let answer = await offer(whole, replacing: owed.kept, accept)
    if answer == .busy { parts.withLock { $0.unoffered.append(whole) } }
    // Kept or not, the octets of parts still held are only safe if the message is.
    for tell in owed.answers { tell(answer) }
  }

  /// What time brings about; to be called several times a second.
  func tick(accept: ChannelAdapter.Accept) async {
    let now = elapsed
    let (expired, waiting) = parts.withLock { parts -> ([Reassembler<PartToken>.Whole], [UInt64]) in
      var expired = parts.unoffered
      parts.unoffered = []
      expired += parts.reassembler.expire(at: now)
      let waiting = parts.waiting.compactMap { id, entry -> UInt64? in
        if case .held(_, let until) = entry.fate, until <= now { return id }
        return nil
      }
      return (expired, waiting)
    }
    for whole in expired { await offerIncomplete(whole, accept) }
    for id in waiting { await keepPart(id, accept) }
    let overdue = sent.withLock { $0.overdue(since: wallClock() - partialReportWait) }
    for match in overdue { await offerPartialReport(match, accept) }
  }

  private func keepPart(_ id: UInt64, _ accept: ChannelAdapter.Accept) async {
    let taken = parts.withLock { parts -> (answer: @Sendable (LinkAnswer) -> Void, token: PartToken)? in
      guard let entry = parts.waiting[id], case .held(let answer, _) = entry.fate else { return nil }
      parts.waiting[id]?.fate = .offering
      return (answer, entry.token)
    }
    guard let (answer, token) = taken else { return }
    let concatenation = token.short.concatenation
    let reason = Arrival.Unreadable(
      code: "part-waiting",
      text:
        "part \(concatenation?.number ?? 0) of \(concatenation?.total ?? 0) of a long message; kept while the rest is "
        + "awaited, and part of the message when it is offered")
    let acceptance = await accept(
      Arrival(
        channel: channel, wireKey: token.names.wireKey.map { $0 + "/part" },
        from: numbers.address(token.short.from, international: token.short.fromIsInternational),
        to: numbers.address(token.short.to, international: token.short.toIsInternational),
        receivedAt: token.receivedAt, payload: .unreadable(reason), raw: token.frame))
    let isBusy = LinkAnswer(acceptance) == .busy
    var kept: ArrivalID?
    if case .stored(let id) = acceptance { kept = id } else if case .duplicate(let id) = acceptance { kept = id }
    let arrivalID = kept
    let stillWaits = parts.withLock { parts -> Bool in
      guard parts.waiting[id] != nil else { return false }
      parts.waiting[id]?.fate = isBusy ? .held(answer: answer, until: elapsed + .seconds(1)) : .durable(arrivalID)
      return true
    }
    if !(isBusy && stillWaits) { answer(LinkAnswer(acceptance)) }
  }

  private func offerPartialReport(_ match: SentTable.Match, _ accept: ChannelAdapter.Accept) async {
    let report = DeliveryReport(
      wireIdentity: match.wireIdentity, peerID: match.peerID, recipient: nil, state: match.state,
      fault: Fault(.timeout, text: "only \(match.reported) of \(match.parts) parts were reported"))
    // Not kept: it is lost, and the attempt stays pending as it was. Nothing on the wire waits for it.
    _ = await accept(
      Arrival(
        channel: channel, wireKey: nil, from: nil, to: nil, receivedAt: wallClock(), payload: .report(report), raw: []))
  }

  /// Before the links drain: parts that only the peer remembers are left to it.
  func beginDrain() {
    let answers = parts.withLock { parts -> [@Sendable (LinkAnswer) -> Void] in
      parts.isFinishing = true
      var answers: [@Sendable (LinkAnswer) -> Void] = []
      for (id, entry) in parts.waiting {
        guard case .held(let answer, _) = entry.fate else { continue }
        answers.append(answer)
        parts.waiting[id] = nil
      }
      return answers
    }
    for answer in answers { answer(.busy) }
  }

  /// After the links have ended: messages of which a part was kept by itself surface without the rest.
  func finish(accept: ChannelAdapter.Accept) async {
    let (left, durable) = parts.withLock { parts -> ([Reassembler<PartToken>.Whole], [UInt64: ArrivalID]) in
      var durable: [UInt64: ArrivalID] = [:]
      for (id, entry) in parts.waiting { if case .durable(let arrival?) = entry.fate { durable[id] = arrival } }
      let left =
        parts.unoffered
        + parts.reassembler.drain().compactMap { whole in
          var whole = whole
          // What the peer will bring again is not shown twice.
          whole.keepParts { durable[$0.token.id] != nil }
          return whole.parts.isEmpty ? nil : whole
        }
      return (left, durable)
    }
    for whole in left { _ = await offer(whole, replacing: whole.parts.compactMap { durable[$0.token.id] }, accept) }
  }

  // MARK: A message

  /// By what the same message is known again, where the peer gives it no id; and whether it may be a repeat itself.
  private static func marks(
    _ shorts: [ShortMessage], on link: String, _ names: [InboundNames]
  ) -> [InboundMessage.Property] {
    guard names.allSatisfy({ $0.wireKey == nil }) else { return [] }
    let print = InboundMessage.Property("message.fingerprint", Fingerprint.of(shorts, on: link))
    return names.contains(where: \.mayRepeat) ? [print, .init("message.may_repeat", "true")] : [print]
  }

  private func arrival(
    _ short: ShortMessage, text: String, defects: Int, link: String, at time: Timestamp, wireKey: String?,
    since: Timestamp?, raw: [UInt8], properties extra: [InboundMessage.Property]
  ) -> Arrival {
    let from = numbers.address(short.from, international: short.fromIsInternational)
    var message = InboundMessage(text: text, properties: [InboundMessage.Property("sms.link", link)] + extra)
    if from.kind == .phone { message.claims = [Claim(.phone, from.canonical, source: .wire)] }
    message.properties.append(.init("sms.coding", short.coding.rawValue))
    if defects > 0 { message.properties.append(.init("sms.undecodable", String(defects))) }
    if let port = short.header?.destinationPort { message.properties.append(.init("sms.port", String(port))) }
    if short.coding == .binary {
      message.attachments = [.init(name: nil, mediaType: "application/octet-stream", bytes: short.octets)]
    }
    SMSKeywords.mark(&message, keywords)
    return Arrival(
      channel: channel, wireKey: wireKey, from: from,
      to: numbers.address(short.to, international: short.toIsInternational), receivedAt: time,
      waitingSince: since, payload: .message(message), raw: raw)
  }
}

/// How a keyword is told to Intake.
enum SMSKeywords {
  /// `address.stop` = `promo` or `address.stop_lift` = `promo`, with the word found in `address.stop_word`; a command sets
  /// the category.
  static func mark(_ message: inout InboundMessage, _ keywords: KeywordTable) {
    guard let (meaning, word) = keywords.meaning(of: message.text) else { return }
    switch meaning {
    case .optOut: message.properties += [.init("address.stop", "promo"), .init("address.stop_word", word)]
    case .optIn: message.properties += [.init("address.stop_lift", "promo"), .init("address.stop_word", word)]
    case .command(let category): message.categoryCode = category
    }
  }
}
