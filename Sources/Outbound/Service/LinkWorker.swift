import Channels
import ContactModel
import Logging
import Store
import Synchronization

/// One way out at work: claims what it has room for, hands it over, settles it, and asks about what is in doubt.
///
/// Its own loop, window, pace and breaker, so that a slow or dead peer holds up no other. Nothing is claimed that cannot
/// be handed over at once, so that what is reserved is never more than the window. While its breaker is open it still
/// decides, so that what may go another way does.
final class LinkWorker: Sendable {
  let link: OutboundLink
  /// Rung when there may be something to do: new jobs in its lanes, a place in the window, the drain.
  let bell = Bell()
  private let doubtBell = Bell()
  private let house: DispatchHouse
  private let state: Mutex<State>

  private struct State {
    var inHand: Set<AttemptID> = []
    var pace: Pace
  }

  init(_ link: OutboundLink, _ house: DispatchHouse) {
    self.link = link
    self.house = house
    state = Mutex(State(pace: Pace(perSecond: link.adapter.capabilities.submissionsPerSecond)))
  }

  /// Works until the house drains; returns when what was in hand is settled. Cancelled, what is in hand is given up as
  /// in doubt.
  func run() async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await self.clearDoubts() }
      await carry()
      group.cancelAll()
    }
  }

  /// Whether this worker has the attempt in hand: then nobody else may call it cut off.
  func holds(_ id: AttemptID) -> Bool { state.withLock { $0.inHand.contains(id) } }

  func stop() {
    bell.ring()
    doubtBell.ring()
  }

  private func carry() async {
    await withDiscardingTaskGroup { group in
      while !house.isDraining, !Task.isCancelled {
        do {
          let claimed = try await claim()
          for id in claimed.attempts { group.addTask { await self.handOver(id) } }
          if claimed.looked == 0 { await bell.wait(atMost: claimed.rest) }
        } catch {
          house.logger.error(
            "Jobs could not be claimed now.", metadata: ["channel": "\(link.name)", "error": "\(error)"])
          await bell.wait(atMost: .seconds(1))
        }
      }
    }
  }

  /// One look at the lanes, and everything claimed handed over and settled; doubts that are due are asked about. Answers
  /// how much was done. What `run` does again and again.
  func round() async throws -> Int {
    let asked = try await inquire().count
    let claimed = try await claim()
    await withDiscardingTaskGroup { group in
      for id in claimed.attempts { group.addTask { await self.handOver(id) } }
    }
    return asked + claimed.looked
  }

  // MARK: Claiming

  private struct Claimed {
    var looked = 0
    var attempts: [AttemptID] = []
    /// How long nothing is to be done unless the bell rings.
    var rest: Duration
  }

  private func claim() async throws -> Claimed {
    let room = room()
    guard room.count > 0 else { return Claimed(rest: room.wait) }
    let (link, house) = (link, house)
    let (due, next) = try await house.database.read { connection in
      let due = try connection.dueJobs(in: link.lanes, at: house.clock(), limit: room.count)
      return (due.map { ($0.id, $0.precedence) }, due.isEmpty ? try connection.nextDue(in: link.lanes) : nil)
    }
    guard let first = due.first else {
      return Claimed(
        rest: min(house.options.idle, next.map { max(.milliseconds(1), $0 - house.clock()) } ?? house.options.idle))
    }
    // One precedence at a time, so that bulk never shares a transaction lane with what somebody waits for.
    let ids = due.filter { ($0.1 == .bulk) == (first.1 == .bulk) }.map(\.0)
    let attempts = try await house.database.write(first.1 == .bulk ? .bulk : .live) { transaction in
      let time = house.clock()
      let around = house.surroundings(at: time)
      return try ids.compactMap { id in
        // A job that cannot be read must not hold up the others.
        do {
          return try transaction.savepoint { try transaction.claim(id, through: link, around, at: time) }
        } catch let error as DatabaseError where error.isOfOneItem {
          try transaction.hold(id, because: error.kind.rawValue, until: time + .seconds(300))
          return nil
        }
      }
    }
    if !attempts.isEmpty {
      let now = house.clock()
      state.withLock { state in
        state.inHand.formUnion(attempts)
        state.pace.take(attempts.count, at: now)
      }
      house.pass(.reserved)
    }
    return Claimed(looked: ids.count, attempts: attempts, rest: .zero)
  }

  /// How many may be claimed now; where none, how long to wait for it unless a place becomes free.
  private func room() -> (count: Int, wait: Duration) {
    let now = house.clock()
    let (isClosed, down) = house.breaker(of: link) { ($0.isClosed, $0.downUntil(at: now)) }
    // A sibling of the same channel is up: what waits here is his.
    if let down, house.surroundings(at: now).down[link.channel] == nil {
      return (0, min(house.options.idle, down - now))
    }
    return state.withLock { state in
      let free = max(1, link.window) - state.inHand.count
      guard free > 0 else { return (0, house.options.idle) }
      // While down nothing is sent, only decided.
      if down != nil { return (free, .zero) }
      let count = state.pace.room(for: isClosed ? free : 1, at: now)
      return (count, count > 0 ? .zero : state.pace.wait(at: now))
    }
  }

  // MARK: One attempt

  /// One attempt from reserved to settled.
  private func handOver(_ id: AttemptID) async {
    defer {
      _ = state.withLock { $0.inHand.remove(id) }
      bell.ring()
    }
    let (link, house) = (link, house)
    do {
      let isAdmitted = house.breaker(of: link) { $0.admit(at: house.clock()) }
      guard isAdmitted, !house.isDraining, !Task.isCancelled else {
        try await house.settle(id, .released, link)
        return
      }
      let parts = try await documents(of: id)
      let dispatch = try await house.database.write { transaction in
        let time = house.clock()
        return try transaction.beginHandOver(
          id, through: link, with: parts, house.surroundings(at: time, admitted: link), at: time)
      }
      guard let dispatch else { return }
      house.pass(.handing)
      let submission = await link.adapter.submit(dispatch)
      house.pass(.submitted)
      house.breaker(of: link) { $0.record(submission, at: house.clock()) }
      if try await house.settle(id, .submitted(submission), link) == .inDoubt { doubtBell.ring() }
      house.pass(.settled)
    } catch {
      // It stays as it is in the store; the dispatcher finds it there when nobody has it in hand.
      house.logger.error(
        "An attempt could not be brought to its end.", metadata: ["attempt.id": "\(id)", "error": "\(error)"])
    }
  }

  /// The bytes of what is sent along, read before anything is written down.
  private func documents(of id: AttemptID) async throws -> [InboundMessage.Attachment] {
    let wanted = try await house.database.read { connection in
      try connection.attempt(id).flatMap { try connection.proactiveJob($0.job) }?.attachments ?? []
    }
    var parts: [InboundMessage.Attachment] = []
    for part in wanted {
      parts.append(.init(name: part.name, mediaType: part.mediaType, bytes: try await house.document(part)))
    }
    return parts
  }

  // MARK: Doubt

  private func clearDoubts() async {
    while !house.isDraining, !Task.isCancelled {
      do {
        let (count, rest) = try await inquire()
        if count == 0 { await doubtBell.wait(atMost: rest) }
      } catch is CancellationError {
        return
      } catch {
        house.logger.error(
          "Doubts could not be cleared now.", metadata: ["channel": "\(link.name)", "error": "\(error)"])
        await doubtBell.wait(atMost: .seconds(5))
      }
    }
  }

  /// Asks the peer about what is in doubt and due, one after the other; gives up what he can no longer know.
  private func inquire() async throws -> (count: Int, rest: Duration) {
    let (due, next) = try await house.database.read { [link, house] in
      try $0.doubts(on: link.name, at: house.clock(), limit: 20)
    }
    for doubt in due {
      try Task.checkCancellation()
      let job = try await house.database.read { try $0.proactiveJob(doubt.job) }
      var answer: Attempt.Evidence = .inquired(.inDoubt(Fault(.unsupported, text: "the peer answers no inquiry")))
      if link.adapter.capabilities.answersInquiry, let job, let name = doubt.machine.wireIdentity {
        let content = job.contents[doubt.outboundChannel.rawValue] ?? Dispatch.Content(text: "")
        answer = .inquired(
          await link.adapter.inquire(
            about: Dispatch(
              key: job.id.description, attempt: doubt.id, wireIdentity: name, to: doubt.to, from: link.from,
              content: content, expires: job.notAfter)))
      }
      if case .inquired(.inDoubt) = answer, let end = doubt.finalAt, end <= house.clock() { answer = .horizonPassed }
      try await house.settle(doubt.id, answer, link)
    }
    return (due.count, min(.seconds(60), next.map { max(.milliseconds(10), $0 - house.clock()) } ?? .seconds(60)))
  }
}
