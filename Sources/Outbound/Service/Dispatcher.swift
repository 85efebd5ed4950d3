import Channels
import ContactModel
import Logging
import Store

/// Moves jobs from planned to settled, over every way out: the heart of "nothing is sent twice or against his word".
///
/// ```
/// plan ─▶ lane ─▶ claim (decided; caps reserved) ─▶ hand over (decided again; wire identity durable) ─▶ submit ─▶ settle
///          ▲ sort: which way out                                                  report, inquiry, a person's word ─┘
/// ```
/// Each link has a worker of its own; the clerk here sorts what may go by several channels, settles reports, and looks
/// after what nobody has in hand. Workers and clerk are woken by commits and look by themselves only now and then. One
/// dispatcher a store. Nothing rests on a cursor: after a crash `recover` plans again what was only reserved and puts
/// what may have left in doubt. Source: specs/outbound.md §3.
public final class Dispatcher: Sendable {
  public struct Options: Sendable {
    /// Jobs sorted in one transaction.
    public var batch = 50
    /// The longest anybody looks away when nothing wakes him.
    public var idle: Duration = .seconds(30)
    /// How long what is in hand may take to end once the daemon stops; then it is cut off and in doubt.
    public var drain: Duration = .seconds(8)
    /// What is open and in nobody's hand for so long was cut off by a fault of the store.
    public var cutOffAfter: Duration = .seconds(120)
    /// For tests that stop or kill the process just there.
    public var atHandOver: (@Sendable (HandOverPoint) -> Void)?
    public init() {}
  }

  private let house: DispatchHouse
  private let workers: [LinkWorker]
  private let bell = Bell()
  private let drainBell = Bell()

  /// `profile` answers the version in force; a change holds from the next decision on. `document` reads the bytes of
  /// what is sent along.
  public init(
    database: Database, links: [OutboundLink], zones: ZoneCatalog, profile: @escaping @Sendable () -> PurposeProfile,
    document: @escaping @Sendable (ProactiveJob.Attachment) async throws -> [UInt8] = { _ in
      throw DatabaseError(.unreadable, "no body store is configured")
    },
    clock: @escaping @Sendable () -> Timestamp, logger: Logger, options: Options = Options()
  ) {
    house = DispatchHouse(
      database: database, links: links, zones: zones, profile: profile, document: document, clock: clock,
      logger: logger,
      options: options)
    // Calls are handed over by the dialler: they need an agent.
    workers = links.filter { !$0.isDialled }.map { [house] in LinkWorker($0, house) }
  }

  /// Runs until `beginDrain` or cancellation. Then nothing new is claimed; what is in hand is submitted to its end and
  /// settled, at most for `drain`.
  public func run() async throws {
    let waking = house.database.observe { [self] values in wake(values) }
    defer { waking.cancel() }
    try await recover()
    await withTaskGroup(of: Void.self) { group in
      for worker in workers { group.addTask { await worker.run() } }
      group.addTask { await self.keepBooks() }
      group.addTask {
        while !self.house.isDraining, !Task.isCancelled { await self.drainBell.wait(atMost: .seconds(3_600)) }
        // Cancelled as soon as everybody has ended.
        try? await Task.sleep(for: self.house.options.drain)
      }
      for _ in 0..<workers.count + 1 { await group.next() }
      group.cancelAll()
    }
  }

  /// Nothing new is claimed from now on. Idempotent.
  public func beginDrain() {
    house.beginDrain()
    bell.ring()
    drainBell.ring()
    for worker in workers { worker.stop() }
  }

  /// After a start: what was reserved is planned again, what was handed over is in doubt. Idempotent.
  public func recover() async throws {
    while try await close(openAttempts: { try $0.openAttempts(limit: 100) }) > 0 {}
    let time = house.clock()
    // What was in doubt before is asked about anew: what the adapters had in memory is gone.
    try await house.database.write {
      _ = try $0.execute(
        "UPDATE attempt SET inquire_at = $1 WHERE state = 'in_doubt' AND inquire_at > $1", [SQLValue(time)])
    }
    try await adoptStrays()
  }

  /// One round of everything, and all it began brought to its end; answers how much was done.
  @discardableResult
  public func round() async throws -> Int {
    try await adoptStrays()
    var done = try await settleReports() + sort()
    for worker in workers { done += try await worker.round() }
    return done
  }

  /// What bears on a decision now, beside the store.
  func surroundings(at time: Timestamp) -> Surroundings { house.surroundings(at: time) }

  /// Called on the writer's thread after each commit.
  private func wake(_ values: [any Sendable]) {
    for value in values {
      switch value {
      case let jobs as JobsWaiting:
        let served = workers.filter { $0.link.lanes.contains(jobs.lane) }
        for worker in served { worker.bell.ring() }
        if served.isEmpty { bell.ring() }
      case let event as EventRecord where event.type == .reportArrived: bell.ring()
      default: break
      }
    }
  }

  // MARK: The clerk

  private func keepBooks() async {
    var inspected = house.clock()
    while !house.isDraining, !Task.isCancelled {
      do {
        if try await settleReports() + sort() > 0 { continue }
        try await adoptStrays()
        if house.clock() - inspected > .seconds(10) {
          inspected = house.clock()
          try await closeCutOff()
        }
        let next = try await house.database.read { try $0.nextDue(in: [""]) }
        let idle = house.options.idle
        await bell.wait(atMost: min(idle, next.map { max(.milliseconds(1), $0 - house.clock()) } ?? idle))
      } catch {
        // Nothing was lost: the next round reads everything anew.
        house.logger.error("The dispatcher's books could not be kept now.", metadata: ["error": "\(error)"])
        await bell.wait(atMost: .seconds(1))
      }
    }
  }

  func settleReports() async throws -> Int {
    let isThere = try await house.database.read { connection in
      try !connection.events(after: connection.reportPosition(), type: .reportArrived, limit: 1).isEmpty
    }
    guard isThere else { return 0 }
    return try await house.database.write { [house] transaction in
      let time = house.clock()
      return try transaction.settleReports(house.surroundings(at: time), limit: 100, at: time)
    }
  }

  /// Which way out each job that has a choice is to take.
  private func sort() async throws -> Int {
    let due = try await house.database.read { [house] connection in
      try connection.dueJobs(in: [""], at: house.clock(), limit: house.options.batch)
    }
    guard let first = due.first else { return 0 }
    try await house.database.write(first.precedence == .bulk ? .bulk : .live) { [house] transaction in
      let time = house.clock()
      let around = house.surroundings(at: time)
      try transaction.together(due.map(\.id), at: time) { try transaction.sort($0, around, at: time) }
    }
    return due.count
  }

  /// What waits at a way out that is not there any more is sorted anew.
  private func adoptStrays() async throws {
    let served = house.surroundings(at: house.clock()).lanes.union([""])
    let strays = try await house.database.read { try $0.lanes().filter { !served.contains($0) } }
    for lane in strays {
      while try await house.database.write(.bulk, { try $0.unsort(lane: lane, limit: 500) }) == 500 {}
    }
  }

  /// Attempts that a failing store left open while the daemon went on, and doubts whose channel is configured no more.
  private func closeCutOff() async throws {
    let before = house.clock() - house.options.cutOffAfter
    let dialled = Set(house.links.filter(\.isDialled).map(\.name))
    try await close { [workers] connection in
      try connection.openAttempts(limit: 100).filter { attempt in
        !dialled.contains(attempt.channel.name) && (attempt.handedAt ?? attempt.reservedAt) < before
          && !workers.contains { $0.holds(attempt.id) }
      }
    }
    let names = Set(house.links.map(\.name))
    let lost = try await house.database.read { [house] connection in
      try connection.doubtsBeyondMemory(at: house.clock(), limit: 50).filter { !names.contains($0.channel.name) }
    }
    for doubt in lost { try await house.settle(doubt.id, .horizonPassed, nil) }
  }

  @discardableResult
  private func close(
    openAttempts: @escaping @Sendable (any Connection) throws -> [AttemptRecord]
  ) async throws -> Int {
    let open = try await house.database.read(.live, openAttempts)
    guard !open.isEmpty else { return 0 }
    try await house.database.write { [house] transaction in
      let time = house.clock()
      for attempt in open {
        let link = house.links.first { $0.name == attempt.channel.name }
        try transaction.settle(attempt.id, .restarted, link: link, house.surroundings(at: time), at: time)
      }
    }
    return open.count
  }
}
