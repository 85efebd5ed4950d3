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
  private let settlements: Settlements

  /// What is handed over and not settled.
  private final class Hand: Sendable {
    private let attempts = Mutex<Set<AttemptID>>([])
    var count: Int { attempts.withLock { $0.count } }
    func holds(_ id: AttemptID) -> Bool { attempts.withLock { $0.contains(id) } }
    func take(_ ids: [AttemptID]) { attempts.withLock { $0.formUnion(ids) } }
    func leave(_ ids: [AttemptID]) { attempts.withLock { $0.subtract(ids) } }
  }
  private let hand: Hand

  private struct State {
    var pace: Pace
  }

  init(_ link: OutboundLink, _ house: DispatchHouse) {
    self.link = link
    self.house = house
    state = Mutex(State(pace: Pace(perSecond: link.adapter.capabilities.submissionsPerSecond)))
    let (hand, bell) = (Hand(), bell)
    self.hand = hand
    settlements = Settlements(link, house) { ids in
      // All places of a batch become free at once, so that as many are claimed together.
      hand.leave(ids)
      bell.ring()
    }
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
  func holds(_ id: AttemptID) -> Bool { hand.holds(id) }

  func stop() {
    bell.ring()
    doubtBell.ring()
  }

  private func carry() async {
    await withDiscardingTaskGroup { group in
      while !house.isDraining, !Task.isCancelled {
        do {
          let claimed = try await claim()
          for one in claimed.attempts { group.addTask { await self.carry(one) } }
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
      for one in claimed.attempts { group.addTask { await self.carry(one) } }
    }
    return asked + claimed.looked
  }

  // MARK: Claiming

  /// What was claimed: handed over, or only reserved.
  private enum Claim: Sendable {
    case handed(HandedOver)
    case reserved(AttemptID)
    var id: AttemptID {
      switch self {
      case .handed(let one): one.attempt.id
      case .reserved(let id): id
      }
    }
  }

  private struct Claimed {
    var looked = 0
    var attempts: [Claim] = []
    /// How long nothing is to be done unless the bell rings.
    var rest: Duration
  }

  private func claim() async throws -> Claimed {
    guard !link.isHeld() else { return Claimed(rest: house.options.idle) }
    let room = room()
    guard room.count > 0 else { return Claimed(rest: room.wait) }
    let (link, house) = (link, house)
    let (found, next) = try await house.database.read { connection in
      let due = try connection.dueJobs(in: link.lanes, at: house.clock(), limit: room.count)
      return (due, due.isEmpty ? try connection.nextDue(in: link.lanes) : nil)
    }
    guard let first = found.first else {
      return Claimed(
        rest: min(house.options.idle, next.map { max(.milliseconds(1), $0 - house.clock()) } ?? house.options.idle))
    }
    // One precedence at a time, so that bulk never shares a transaction lane with what somebody waits for.
    let due = found.filter { ($0.precedence == .bulk) == (first.precedence == .bulk) }
    let lane: Lane = first.precedence == .bulk ? .bulk : .live
    // While trouble is known, one at a time is let through, and each is asked for at its hand-over.
    let isAtOnce = house.breaker(of: link) { $0.isClosed }
    // In pieces, so that nobody else's write waits for all of them; the store commits together what waits together.
    let attempts = try await withThrowingTaskGroup(of: [Claim].self) { group in
      for start in stride(from: 0, to: due.count, by: Self.claimsAtOnce) {
        let piece = Array(due[start..<min(start + Self.claimsAtOnce, due.count)])
        group.addTask { try await self.claim(piece, lane, isAtOnce: isAtOnce) }
      }
      var all: [Claim] = []
      var failure: (any Error)?
      while let piece = await group.nextResult() {
        switch piece {
        case .success(let claimed): all += claimed
        case .failure(let error): failure = error
        }
      }
      // What was claimed must be carried; what was not is found again.
      if let failure, all.isEmpty { throw failure }
      return all
    }
    return Claimed(looked: due.count, attempts: attempts, rest: .zero)
  }

  /// Jobs claimed in one item of the writer's queue: a few milliseconds of work.
  private static let claimsAtOnce = 64

  private func claim(_ due: [DueJob], _ lane: Lane, isAtOnce: Bool) async throws -> [Claim] {
    let (link, house) = (link, house)
    let read = Dictionary(due.compactMap { one in one.job.map { (one.id, $0) } }) { first, _ in first }
    // Documents are read between claim and hand-over.
    let (simple, others) = due.reduce(into: ([ProactiveJobID](), [ProactiveJobID]())) { parts, one in
      if isAtOnce, one.job?.attachments.isEmpty ?? true { parts.0.append(one.id) } else { parts.1.append(one.id) }
    }
    let claimed = try await house.database.write(lane) { transaction -> [Claim] in
      let time = house.clock()
      let around = house.surroundings(at: time)
      let (simple, others) = house.isDraining ? ([], simple + others) : (simple, others)
      let handed = try transaction.together(simple, at: time) {
        try transaction.handOver($0, read: read, through: link, around, at: time)
      }
      for _ in handed { house.pass(.reserved) }
      let reserved = try others.flatMap { id in
        try transaction.together([id], at: time) {
          try $0.compactMap { try transaction.claim($0, through: link, around, at: time) }
        }
      }
      return handed.map { .handed($0) } + reserved.map { .reserved($0) }
    }
    if !claimed.isEmpty {
      hand.take(claimed.map(\.id))
      let now = house.clock()
      state.withLock { $0.pace.take(claimed.count, at: now) }
      for case .reserved in claimed { house.pass(.reserved) }
    }
    return claimed
  }

  /// How many may be claimed now; where none, how long to wait for it unless a place becomes free.
  private func room() -> (count: Int, wait: Duration) {
    let now = house.clock()
    let (isClosed, down) = house.breaker(of: link) { ($0.isClosed, $0.downUntil(at: now)) }
    // A sibling of the same channel is up: what waits here is his.
    if let down, house.surroundings(at: now).down[link.channel] == nil {
      return (0, min(house.options.idle, down - now))
    }
    let free = max(1, link.window) - hand.count
    guard free > 0 else { return (0, house.options.idle) }
    return state.withLock { state in
      // While down nothing is sent, only decided.
      if down != nil { return (free, .zero) }
      let count = state.pace.room(for: isClosed ? free : 1, at: now)
      return (count, count > 0 ? .zero : state.pace.wait(at: now))
    }
  }

  // MARK: One attempt

  /// One attempt to its settlement.
  private func carry(_ one: Claim) async {
    do {
      switch one {
      case .handed(let handed): try await submit(handed)
      case .reserved(let id):
        defer {
          hand.leave([id])
          bell.ring()
        }
        try await handOver(id)
      }
    } catch {
      // It stays as it is in the store; the dispatcher finds it there when nobody has it in hand.
      house.logger.error(
        "An attempt could not be brought to its end.", metadata: ["attempt.id": "\(one.id)", "error": "\(error)"])
    }
  }

  /// One that was only reserved.
  private func handOver(_ id: AttemptID) async throws {
    let (link, house) = (link, house)
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
    let submission = await submit(dispatch)
    if try await house.settle(dispatch.attempt, .submitted(submission), link) == .inDoubt { doubtBell.ring() }
    house.pass(.settled)
  }

  /// Its wire identity is durable: from here on only the answer counts.
  private func submit(_ handed: HandedOver) async throws {
    let submission = await submit(handed.dispatch)
    if try await settlements.settle(Answered(handed: handed, submission: submission)) == .inDoubt { doubtBell.ring() }
    house.pass(.settled)
  }

  private func submit(_ dispatch: Dispatch) async -> Submission {
    house.pass(.handing)
    let submission = await link.adapter.submit(dispatch)
    house.pass(.submitted)
    house.breaker(of: link) { $0.record(submission, at: house.clock()) }
    return submission
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
