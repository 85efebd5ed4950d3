import Channels

/// One session with an SMSC or gateway, from login to the last answer, without clock or socket.
///
/// - Parts leave in the order they were submitted, at most `window` unanswered. A part's own timer starts when it
///   leaves; when it runs out the part is *unknown*, its place is free, and a late answer is still reported.
/// - A peer that is full (0x58, 0x14, CMPP 8) pauses the whole link and halves the window; the refused parts go back to
///   their places before all later ones, so order is kept and nothing counts as failed.
/// - When the connection ends, what has left without answer is unknown and what waited was not sent: never the reverse.
/// - Inbound PDUs are offered as they come, also while the window is full, and answered only by `answered`.
/// - Keep-alives go both ways; a nack that names no request means the peer lost the framing: the session ends.
/// Source: SMPP 3.4 §2, §7.2; specs/sms.md §5.
struct LinkSession<Dialect: LinkDialect> {
  typealias Instant = ContinuousClock.Instant
  typealias Ticket = UInt64

  enum Action {
    case send(Dialect.PDU)
    case loggedIn
    /// All parts of a submission have their result, in order.
    case finished(Ticket, [PartResult])
    /// The answer to a part that was given up before.
    case late(Ticket, part: Int, PartAnswer)
    case queried(Ticket, DeliveryReport.State?)
    /// To be kept, then answered with `answered(handle:with:)`.
    case offer(Dialect.PDU, handle: UInt64)
    /// The connection is of no further use.
    case close(Fault?)
  }

  private enum State: Equatable {
    case connecting
    case loggingIn(since: Instant)
    case up
    /// No more is taken; what is in hand is finished, then the session is closed.
    case draining(since: Instant)
    case loggingOut(since: Instant)
    case over
  }

  private struct QueuedPart {
    var ticket: Ticket
    var index: Int
    var part: OutboundPart
    var order: UInt64
    var deadline: Instant
  }

  private enum Pending {
    case part(QueuedPart)
    case query(Ticket)
  }

  private struct Group {
    var results: [PartResult?]
    var open: Int
  }

  private(set) var dialect: Dialect
  private let settings: LinkSettings
  private var state = State.connecting
  private var nextSequence: UInt32 = 1
  private var nextOrder: UInt64 = 0
  private var nextHandle: UInt64 = 0
  private var window: Int
  private var queue = FIFO<QueuedPart>()
  /// Refused as too many, in the order they were first submitted; they go before `queue`.
  private var again: [QueuedPart] = []
  private var pending: [UInt32: Pending] = [:]
  /// Timers in order; entries of answered requests are passed over.
  private var timers = FIFO<(sequence: UInt32, order: UInt64, deadline: Instant)>()
  private var groups: [Ticket: Group] = [:]
  /// Given up but perhaps still answered: the last 10,000.
  private var late: [UInt32: (ticket: Ticket, index: Int)] = [:]
  private var lateOrder = FIFO<UInt32>()
  private var offered: [UInt64: Dialect.PDU] = [:]
  private var pausedUntil: Instant?
  private var pause: Duration
  private var lastReceived: Instant?
  private var keepaliveSince: Instant?

  init(dialect: Dialect, settings: LinkSettings) {
    self.dialect = dialect
    self.settings = settings
    window = settings.window
    pause = settings.throttlePause
  }

  // MARK: What may be asked of it

  var isUp: Bool { state == .up }
  var isOver: Bool { state == .over }
  var isThrottled: Bool { pausedUntil != nil }
  var unanswered: Int { pending.count }
  var waiting: Int { queue.count + again.count }

  // MARK: What happens to it

  mutating func connected(at now: Instant, wallClock: Timestamp) -> [Action] {
    state = .loggingIn(since: now)
    lastReceived = now
    return [.send(dialect.login(sequence: takeSequence(), at: wallClock))]
  }

  mutating func submit(_ parts: [OutboundPart], as ticket: Ticket, at now: Instant, into actions: inout [Action]) {
    guard state == .up, dialect.submits else {
      actions.append(.finished(ticket, parts.map { _ in .notSent(Fault(.connection, text: "the link is down")) }))
      return
    }
    guard waiting + parts.count <= settings.queueLimit else {
      let fault = Fault(.throttled, text: "\(waiting) short messages already wait for the link")
      actions.append(.finished(ticket, parts.map { _ in .notSent(fault) }))
      return
    }
    groups[ticket] = Group(results: Array(repeating: nil, count: parts.count), open: parts.count)
    let deadline = now + settings.queueTimeout
    for (index, part) in parts.enumerated() {
      queue.append(QueuedPart(ticket: ticket, index: index, part: part, order: nextOrder, deadline: deadline))
      nextOrder += 1
    }
    pump(at: now, into: &actions)
  }

  mutating func query(messageID: String, as ticket: Ticket, at now: Instant, into actions: inout [Action]) {
    let sequence = takeSequence()
    guard state == .up, let pdu = dialect.query(messageID: messageID, sequence: sequence) else {
      actions.append(.queried(ticket, nil))
      return
    }
    start(sequence, .query(ticket), at: now)
    actions.append(.send(pdu))
  }

  /// Nobody waits for the result any more: what has not left does not leave, what has left is unknown.
  mutating func cancel(_ ticket: Ticket, into actions: inout [Action]) {
    guard groups[ticket] != nil else { return }
    let fault = Fault(.cancelled, text: "the submission was cancelled")
    removeWaiting(where: { $0.ticket == ticket }, fault: fault, into: &actions)
    for (sequence, entry) in pending {
      guard case .part(let queued) = entry, queued.ticket == ticket else { continue }
      giveUp(sequence, queued, fault: fault, into: &actions)
    }
  }

  mutating func received(_ pdu: Dialect.PDU, at now: Instant, into actions: inout [Action]) {
    lastReceived = now
    switch dialect.classify(pdu) {
    case .loginAnswer(let fault):
      guard case .loggingIn = state else { return }
      if let fault {
        end(fault, into: &actions)
      } else {
        state = .up
        actions.append(.loggedIn)
      }
    case .submitAnswer(let sequence, let answer): settle(sequence, answer, at: now, into: &actions)
    case .queryAnswer(let sequence, let found):
      guard case .query(let ticket)? = pending[sequence] else { return }
      pending[sequence] = nil
      actions.append(.queried(ticket, found))
    case .keepalive: actions.append(.send(dialect.keepaliveAnswer(to: pdu)))
    case .keepaliveAnswer: keepaliveSince = nil
    case .logout:
      actions.append(.send(dialect.logoutAnswer(to: pdu)))
      // Answers to what has left may still come; the tick closes when they have, or when their time is up.
      if state == .up || state == .connecting { state = .draining(since: now) }
      let fault = Fault(.connection, text: "the peer ends the session")
      removeWaiting(where: { _ in true }, fault: fault, into: &actions)
      if pending.isEmpty, offered.isEmpty { end(fault, into: &actions) }
    case .logoutAnswer:
      if case .loggingOut = state, pending.isEmpty { end(nil, into: &actions) }
    case .inbound: offer(pdu, into: &actions)
    case .nack(let sequence, let answer):
      if case .query(let ticket)? = pending[sequence] {
        pending[sequence] = nil
        actions.append(.queried(ticket, nil))
      } else if pending[sequence] != nil {
        settle(sequence, answer, at: now, into: &actions)
      } else if sequence == 0 {
        end(Fault(.protocolViolation, text: "the peer does not understand us and names no request"), into: &actions)
      } else if case .loggingIn = state {
        end(Fault(.protocolViolation, text: "the peer does not understand the login"), into: &actions)
      }
    case .unknownRequest:
      if let refusal = dialect.refusal(of: pdu) { actions.append(.send(refusal)) }
    case .ignored: break
    }
    pump(at: now, into: &actions)
  }

  /// An offered PDU is decided.
  mutating func answered(handle: UInt64, with answer: LinkAnswer, into actions: inout [Action]) {
    guard let pdu = offered.removeValue(forKey: handle), state != .over else { return }
    actions.append(.send(dialect.answer(to: pdu, with: answer)))
  }

  /// To be called several times a second.
  mutating func tick(at now: Instant, into actions: inout [Action]) {
    while let timer = timers.first {
      if let entry = pending[timer.sequence], order(of: entry) == timer.order || order(of: entry) == nil {
        guard timer.deadline <= now else { break }
        switch entry {
        case .part(let queued):
          let fault = Fault(.timeout, text: "no answer within \(settings.responseTimeout)")
          giveUp(timer.sequence, queued, fault: fault, into: &actions)
        case .query(let ticket):
          pending[timer.sequence] = nil
          actions.append(.queried(ticket, nil))
        }
      }
      timers.popFirst()
    }
    let isFull = pausedUntil != nil
    removeOverdue(
      at: now,
      fault: Fault(isFull ? .throttled : .timeout, text: isFull ? "the peer is full" : "the window stayed full"),
      into: &actions)
    switch state {
    case .loggingIn(let since):
      if now - since >= settings.loginTimeout { end(Fault(.timeout, text: "no answer to the login"), into: &actions) }
    case .up:
      keepAlive(at: now, into: &actions)
    case .draining(let since):
      let overdue = now - since >= settings.drainTimeout
      if overdue || (pending.isEmpty && waiting == 0 && offered.isEmpty) {
        state = .loggingOut(since: now)
        actions.append(.send(dialect.logout(sequence: takeSequence())))
      }
    case .loggingOut(let since):
      if now - since >= .seconds(2) { end(nil, into: &actions) }
    case .connecting, .over: break
    }
    pump(at: now, into: &actions)
  }

  /// Takes nothing new; ends by itself when all in hand is done.
  mutating func drain(at now: Instant, into actions: inout [Action]) {
    switch state {
    case .up: state = .draining(since: now)
    case .connecting, .loggingIn: end(nil, into: &actions)
    case .draining, .loggingOut, .over: break
    }
    tick(at: now, into: &actions)
  }

  /// The connection is gone: what has left is unknown, what waited was not sent.
  mutating func disconnected(_ fault: Fault, into actions: inout [Action]) {
    state = .over
    removeWaiting(where: { _ in true }, fault: fault, into: &actions)
    let left = pending
    pending = [:]
    for (_, entry) in left.sorted(by: { (order(of: $0.value) ?? 0) < (order(of: $1.value) ?? 0) }) {
      switch entry {
      case .part(let queued): finish(queued, .unknown(fault), into: &actions)
      case .query(let ticket): actions.append(.queried(ticket, nil))
      }
    }
    offered = [:]
  }

  // MARK: Parts

  private func order(of entry: Pending) -> UInt64? {
    if case .part(let queued) = entry { return queued.order }
    return nil
  }

  private mutating func takeSequence() -> UInt32 {
    let sequence = nextSequence
    nextSequence = nextSequence == 0x7fff_ffff ? 1 : nextSequence + 1
    return sequence
  }

  private mutating func start(_ sequence: UInt32, _ entry: Pending, at now: Instant) {
    pending[sequence] = entry
    timers.append((sequence, order(of: entry) ?? 0, now + settings.responseTimeout))
  }

  private mutating func pump(at now: Instant, into actions: inout [Action]) {
    guard waiting > 0 else { return }
    switch state {
    case .up, .draining: break
    case .connecting, .loggingIn, .loggingOut, .over: return
    }
    if let until = pausedUntil {
      guard now >= until else { return }
      pausedUntil = nil
    }
    while pending.count < window, let queued = takeNext() {
      var sequence = takeSequence()
      // After a wrap a number may still be waited for.
      while pending[sequence] != nil { sequence = takeSequence() }
      late[sequence] = nil
      start(sequence, .part(queued), at: now)
      actions.append(.send(dialect.submit(queued.part, sequence: sequence)))
    }
  }

  private mutating func takeNext() -> QueuedPart? {
    again.isEmpty ? queue.popFirst() : again.removeFirst()
  }

  private mutating func settle(_ sequence: UInt32, _ answer: PartAnswer, at now: Instant, into actions: inout [Action])
  {
    guard case .part(let queued)? = pending[sequence] else {
      if let known = late.removeValue(forKey: sequence) {
        actions.append(.late(known.ticket, part: known.index, answer))
      }
      return
    }
    pending[sequence] = nil
    switch answer {
    case .accepted(let id):
      // The peer takes again: a little more at a time, as long as it does.
      if window < settings.window { window += 1 }
      pause = settings.throttlePause
      finish(queued, .accepted(id: id), into: &actions)
    case .refused(.throttle, _):
      if pausedUntil == nil {
        window = max(1, window / 2)
        pausedUntil = now + pause
        pause = min(pause * 2, settings.throttlePauseMaximum)
      }
      let place = again.firstIndex { $0.order > queued.order } ?? again.count
      again.insert(queued, at: place)
    case .refused(.reconnect(let code), let fault):
      finish(queued, .notSent(Fault(code, peerCode: fault.peerCode, text: fault.text)), into: &actions)
      end(fault, into: &actions)
    case .refused(let verdict, let fault): finish(queued, .refused(verdict, fault), into: &actions)
    }
  }

  private mutating func giveUp(
    _ sequence: UInt32, _ queued: QueuedPart, fault: Fault, into actions: inout [Action]
  ) {
    pending[sequence] = nil
    late[sequence] = (queued.ticket, queued.index)
    lateOrder.append(sequence)
    if lateOrder.count > 10_000, let oldest = lateOrder.popFirst() { late[oldest] = nil }
    finish(queued, .unknown(fault), into: &actions)
  }

  private mutating func removeOverdue(at now: Instant, fault: Fault, into actions: inout [Action]) {
    // Deadlines grow along the queue, so its head tells.
    guard queue.first.map({ $0.deadline <= now }) == true || again.contains(where: { $0.deadline <= now }) else {
      return
    }
    removeWaiting(where: { $0.deadline <= now }, fault: fault, into: &actions)
  }

  private mutating func removeWaiting(
    where matches: (QueuedPart) -> Bool, fault: Fault, into actions: inout [Action]
  ) {
    guard waiting > 0 else { return }
    let all = again + queue.drained()
    again = []
    for queued in all {
      if matches(queued) { finish(queued, .notSent(fault), into: &actions) } else { queue.append(queued) }
    }
  }

  private mutating func finish(_ queued: QueuedPart, _ result: PartResult, into actions: inout [Action]) {
    guard var group = groups.removeValue(forKey: queued.ticket) else { return }
    if group.results[queued.index] == nil {
      group.results[queued.index] = result
      group.open -= 1
    }
    if group.open == 0 {
      actions.append(.finished(queued.ticket, group.results.compactMap { $0 }))
    } else {
      groups[queued.ticket] = group
    }
  }

  // MARK: The session

  private mutating func offer(_ pdu: Dialect.PDU, into actions: inout [Action]) {
    switch state {
    case .up where offered.count < settings.inboundLimit:
      let handle = nextHandle
      nextHandle += 1
      offered[handle] = pdu
      actions.append(.offer(pdu, handle: handle))
    case .up, .draining, .loggingOut:
      actions.append(.send(dialect.answer(to: pdu, with: .busy)))
    case .connecting, .loggingIn, .over: break
    }
  }

  private mutating func keepAlive(at now: Instant, into actions: inout [Action]) {
    if let since = keepaliveSince {
      if now - since >= settings.keepaliveTimeout {
        end(Fault(.timeout, text: "the peer does not answer whether it lives"), into: &actions)
      }
    } else if let last = lastReceived, now - last >= settings.keepaliveInterval {
      keepaliveSince = now
      actions.append(.send(dialect.keepalive(sequence: takeSequence())))
    }
  }

  private mutating func end(_ fault: Fault?, into actions: inout [Action]) {
    guard state != .over else { return }
    disconnected(fault ?? Fault(.connection, text: "the session has ended"), into: &actions)
    actions.append(.close(fault))
  }
}
