import Channels
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// A link over SMPP or CMPP: keeps its sessions connected, cuts texts into parts, puts the answers together.
final class WireLink<Dialect: LinkDialect>: SMSLink {
  struct Description: Sendable {
    var name: String
    var weight: Int
    var endpoint: LinkEndpoint
    var settings: LinkSettings
    var profile: TextProfile
    var reportsDelivery: Bool
    var answersQueries: Bool
    var idRule: MessageIDRule
    /// Used when the dispatch names no sender.
    var defaultSender: String
    /// Numbers of the home country are written without its code, as CMPP gateways want them.
    var nationalCode: String?
    /// One a session; a link with transmitter and receiver binds has one of each.
    var dialects: [Dialect]
  }

  private struct State {
    var connections: [Int: LinkConnection<Dialect>] = [:]
    var isUp: [Int: Bool] = [:]
    var since: Timestamp
    /// When the newest session began.
    var loggedInAt: Timestamp?
    var lastFault: Fault?
    var nextTicket: UInt64 = 1
    var nextReference = UInt16.random(in: 0...UInt16.max)
    /// Whose parts were given up, by ticket; the last 10,000.
    var doubtful: [UInt64: String] = [:]
    var doubtfulOrder = FIFO<UInt64>()
  }

  private let description: Description
  private let interpret: @Sendable (Dialect.PDU) -> (InboundReading, InboundNames)?
  private let wallClock: @Sendable () -> Timestamp
  private let logger: Logger
  private let state: Mutex<State>
  private let drainSignal = DrainSignal()
  /// Raised when it is known for the first time whether the peer can be reached.
  private let firstWord = DrainSignal()

  init(
    _ description: Description, wallClock: @escaping @Sendable () -> Timestamp, logger: Logger,
    interpret: @escaping @Sendable (Dialect.PDU) -> (InboundReading, InboundNames)?
  ) {
    self.description = description
    self.wallClock = wallClock
    self.logger = logger
    self.interpret = interpret
    state = Mutex(State(since: wallClock()))
  }

  var name: String { description.name }
  var weight: Int { description.weight }
  var reportsDelivery: Bool { description.reportsDelivery }
  var answersQueries: Bool { description.answersQueries }
  var idRule: MessageIDRule { description.idRule }

  var status: LinkStatus {
    state.withLock { state in
      let up = state.isUp.values.filter { $0 }.count
      let all = description.dialects.count
      let canSubmit = description.dialects.indices.contains {
        state.isUp[$0] == true && description.dialects[$0].submits
      }
      let throttled = state.connections.values.contains { $0.inbox.withLock { $0.isThrottled } }
      if up == all {
        return throttled
          ? LinkStatus(state: .degraded, since: state.since, text: "\(name): the peer is full")
          : LinkStatus(state: .up, since: state.since, text: nil)
      }
      let fault = state.lastFault.map { ": " + $0.text } ?? ""
      return LinkStatus(
        state: canSubmit ? .degraded : .down, since: state.since,
        text: "\(name): \(up) of \(all) sessions are up\(fault)")
    }
  }

  // MARK: Sessions

  func run(sink: @escaping @Sendable (LinkArrival) -> Void) async {
    await withDiscardingTaskGroup { group in
      for slot in description.dialects.indices { group.addTask { await self.serve(slot, sink) } }
    }
  }

  func beginDrain() {
    drainSignal.raise()
    for connection in state.withLock({ Array($0.connections.values) }) { connection.drain() }
  }

  private func serve(_ slot: Int, _ sink: @escaping @Sendable (LinkArrival) -> Void) async {
    var policy = ReconnectPolicy(description.settings)
    while !Task.isCancelled, !drainSignal.isRaised {
      let ending = Mutex<(fault: Fault?, loggedIn: Bool)>((nil, false))
      do {
        let connection = try await LinkConnection<Dialect>.connect(
          to: description.endpoint, dialect: description.dialects[slot], settings: description.settings,
          on: MultiThreadedEventLoopGroup.singleton, wallClock: wallClock
        ) { event, connection in
          switch event {
          case .loggedIn:
            ending.withLock { $0.loggedIn = true }
            // Here and not after `connect`: whoever sees the link up must find its session.
            self.state.withLock { $0.connections[slot] = connection }
            self.note(slot, isUp: true, fault: nil)
          case .ended(let fault):
            ending.withLock { $0.fault = fault }
            self.note(slot, isUp: false, fault: fault)
          case .late(let ticket, let part, let answer): self.late(ticket, part, answer, sink)
          case .offer(let pdu, let frame, let handle):
            self.offer(pdu, frame, sink) { connection.answer(handle: handle, with: $0) }
          }
        }
        state.withLock { $0.connections[slot] = connection }
        if drainSignal.isRaised { connection.drain() }
        await withTaskCancellationHandler {
          await connection.closed()
        } onCancel: {
          connection.close()
        }
        state.withLock { $0.connections[slot] = nil }
      } catch {
        ending.withLock { $0.fault = Fault(.connection, text: "\(error)") }
        note(slot, isUp: false, fault: Fault(.connection, text: "\(error)"))
      }
      guard !Task.isCancelled, !drainSignal.isRaised else { return }
      let (fault, loggedIn) = ending.withLock { $0 }
      if loggedIn { policy.succeeded() }
      let delay = policy.delay(refusedLogin: fault?.code == .authentication, chance: Double.random(in: 0...1))
      logger.warning(
        "SMS link is down; it will be connected again",
        metadata: [
          "link": "\(name)", "fault.code": "\(fault?.code.rawValue ?? "none")", "fault.text": "\(fault?.text ?? "")",
          "delay_ms": "\(delay.wholeMilliseconds)",
        ])
      await drainSignal.sleep(for: delay)
    }
  }

  private func note(_ slot: Int, isUp: Bool, fault: Fault?) {
    state.withLock { state in
      if state.isUp[slot] != isUp { state.since = wallClock() }
      state.isUp[slot] = isUp
      if let fault { state.lastFault = fault }
      if isUp {
        state.lastFault = nil
        state.loggedInAt = wallClock()
      }
    }
    firstWord.raise()
    if isUp { logger.info("SMS link is up", metadata: ["link": "\(name)", "session": "\(slot)"]) }
  }

  private func offer(
    _ pdu: Dialect.PDU, _ frame: [UInt8], _ sink: @Sendable (LinkArrival) -> Void,
    answer: @escaping @Sendable (LinkAnswer) -> Void
  ) {
    guard let (reading, given) = interpret(pdu) else {
      answer(.refused)
      return
    }
    let (now, window) = (wallClock(), description.settings.repeatWindow)
    var names = given
    names.mayRepeat =
      names.wireKey == nil && state.withLock { $0.loggedInAt.map { now - $0 <= window } ?? false }
    sink(
      LinkArrival(
        link: name, content: .reading(reading), frame: frame, receivedAt: now, names: names, answer: answer))
  }

  private func late(_ ticket: UInt64, _ part: Int, _ answer: PartAnswer, _ sink: @Sendable (LinkArrival) -> Void) {
    guard let wireIdentity = state.withLock({ $0.doubtful[ticket] }) else { return }
    sink(
      LinkArrival(
        link: name, content: .late(wireIdentity: wireIdentity, part: part, answer), frame: [],
        receivedAt: wallClock(), answer: { _ in }))
  }

  // MARK: Submission

  func submit(_ dispatch: Dispatch, to: Address, from: Address?) async -> LinkSubmission {
    let now = wallClock()
    var validFor: Duration?
    if let expires = dispatch.expires {
      guard expires > now else { return LinkSubmission(.rejected(Fault(.expired, text: "nobody wants it any more"))) }
      validFor = expires - now
    }
    let (ticket, reference) = state.withLock { state in
      defer {
        state.nextTicket += 1
        state.nextReference &+= 1
      }
      return (state.nextTicket, state.nextReference)
    }
    let parts: [OutboundPart]
    let charged: Int
    // The same after a restart, by which a receipt is known whose submission was never answered.
    let known = Fingerprint.reference(of: dispatch.wireIdentity)
    switch cut(dispatch, to: to, from: from, validFor: validFor, reference: reference, known: known) {
    case .failure(let fault): return LinkSubmission(.rejected(fault))
    case .success(let made): (parts, charged) = made
    }
    // Just after the start: a moment for the login, so that what was waiting is not put off for nothing.
    if !firstWord.isRaised { await firstWord.sleep(for: .seconds(2)) }
    guard let connection = pick() else {
      let text = state.withLock { $0.lastFault?.text } ?? "the link is down"
      return LinkSubmission(
        .deferred(Fault(.connection, text: "\(name): \(text)"), retryAfter: description.settings.reconnectDelay))
    }
    let results = await connection.submit(parts, as: ticket)
    if results.contains(where: { if case .unknown = $0 { true } else { false } }) {
      state.withLock { state in
        state.doubtful[ticket] = dispatch.wireIdentity
        state.doubtfulOrder.append(ticket)
        if state.doubtfulOrder.count > 10_000, let oldest = state.doubtfulOrder.popFirst() {
          state.doubtful[oldest] = nil
        }
      }
    }
    return PartResults(results, expected: parts.count).combined(
      link: name, charged: charged, reference: known, at: wallClock(),
      throttlePause: description.settings.throttlePause)
  }

  func query(messageID: String) async -> DeliveryReport.State? {
    guard let connection = pick() else { return nil }
    let ticket = state.withLock { state in
      state.nextTicket += 1
      return state.nextTicket
    }
    return await connection.query(messageID: messageID, as: ticket)
  }

  /// The session with the least in hand among those that are up and may submit.
  private func pick() -> LinkConnection<Dialect>? {
    state.withLock { state in
      var best: (connection: LinkConnection<Dialect>, load: Int)?
      for (slot, connection) in state.connections where description.dialects[slot].submits {
        let (isUp, load) = connection.inbox.withLock { ($0.isUp, $0.load) }
        if isUp, best.map({ load < $0.load }) ?? true { best = (connection, load) }
      }
      return best?.connection
    }
  }

  private func cut(
    _ dispatch: Dispatch, to: Address, from: Address?, validFor: Duration?, reference: UInt16, known: UInt16
  ) -> Result<([OutboundPart], charged: Int), Fault> {
    let profile = description.profile
    let options = dispatch.content.options
    let (sent, counted) = profile.compose(dispatch.content.text, optOutLine: options["sms.opt_out_line"] == "true")
    let cut: Segmentation
    do throws(Segmentation.Failure) {
      cut = try Segmentation(
        text: sent, counted: counted, codings: profile.codings, languages: profile.languages, method: profile.method,
        reference: reference, maximumParts: profile.maximumParts)
    } catch {
      switch error {
      case .tooManyParts(let count):
        return .failure(Fault(.tooLarge, text: "\(count) parts, but the link allows \(profile.maximumParts)"))
      case .notEncodable: return .failure(Fault(.contentRefused, text: "no coding of the link has all characters"))
      }
    }
    let (digits, international) = destination(to)
    let parts = cut.parts.map { part in
      let inHeader = profile.method == .udh8 || profile.method == .udh16
      let elements = (inHeader ? part.concatenation?.header().elements ?? [] : []) + cut.tables.elements
      let header = elements.isEmpty ? nil : UserDataHeader(elements: elements).encoded
      return OutboundPart(
        from: from?.canonical ?? description.defaultSender, to: digits, toIsInternational: international,
        octets: (header ?? []) + part.octets, hasHeader: header != nil, coding: cut.coding,
        concatenation: part.concatenation, method: profile.method, wantsReport: description.reportsDelivery,
        messageClass: options["sms.class"].flatMap { UInt8($0) }.flatMap { $0 <= 3 ? $0 : nil },
        priority: options["sms.priority"].flatMap { UInt8($0) }.map { min($0, 3) } ?? 0, validFor: validFor,
        reference: known)
    }
    return .success((parts, cut.chargedParts))
  }

  private func destination(_ to: Address) -> (digits: String, international: Bool) {
    guard to.canonical.hasPrefix("+") else { return (to.canonical, false) }
    let digits = String(to.canonical.dropFirst())
    if let code = description.nationalCode, digits.hasPrefix(code) {
      return (String(digits.dropFirst(code.count)), false)
    }
    return (digits, true)
  }
}

/// The one outcome of a message from those of its parts.
///
/// Accepted only if every part is. Surely not sent only if no part left or every answer was a refusal: part of a message
/// at the customer's and the rest not is in doubt, so that it is not sent again from the start.
struct PartResults {
  private let results: [PartResult]

  init(_ results: [PartResult], expected: Int) {
    let missing = max(0, expected - results.count)
    self.results = results + Array(repeating: .unknown(Fault(.internalError, text: "no result")), count: missing)
  }

  func combined(
    link: String, charged: Int, reference: UInt16, at now: Timestamp, throttlePause: Duration
  ) -> LinkSubmission {
    var ids: [String?] = []
    var accepted = 0
    var unknown: Fault?
    var rejected: Fault?
    var deferred: Fault?
    for result in results {
      var id: String?
      switch result {
      case .accepted(let given):
        accepted += 1
        id = given
      case .unknown(let fault): unknown = unknown ?? fault
      case .refused(.reject, let fault): rejected = rejected ?? fault
      case .refused(_, let fault), .notSent(let fault): deferred = deferred ?? fault
      }
      ids.append(id)
    }
    if accepted == results.count {
      return LinkSubmission(
        .accepted(Receipt(peerID: nil, at: now, parts: charged)), ids: ids, reference: reference)
    }
    if let unknown { return LinkSubmission(.inDoubt(unknown), ids: ids, reference: reference, hasUnknown: true) }
    let fault = rejected ?? deferred ?? Fault(.internalError, text: "no part at all")
    if accepted > 0 {
      let text = "\(accepted) of \(results.count) parts were taken, then: \(fault.text)"
      return LinkSubmission(
        .inDoubt(Fault(fault.code, peerCode: fault.peerCode, text: text)), ids: ids, reference: reference)
    }
    if let rejected { return LinkSubmission(.rejected(rejected), ids: ids) }
    return LinkSubmission(.deferred(fault, retryAfter: fault.code == .throttled ? throttlePause : nil), ids: ids)
  }
}
