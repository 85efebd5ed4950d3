import Channels
import ContactModel
import Logging
import Store
import Synchronization

/// Moves jobs from planned to settled: claims what is due, decides again at the hand-over, submits, settles, inquires.
///
/// One dispatcher a store. What is under way is bounded per link; nothing rests on a cursor, so after a crash or pause
/// nothing is skipped or repeated: `recover` puts what was reserved back and what may have left in doubt.
/// Source: specs/outbound.md §3.
public final class Dispatcher: Sendable {
  public struct Options: Sendable {
    /// Jobs claimed in one transaction.
    public var claimBatch = 50
    /// Attempts under way over all links.
    public var inFlight = 64
    /// The longest the dispatcher looks away when nothing is due and nothing wakes it.
    public var idle: Duration = .seconds(1)
    public init() {}
  }

  private let database: Database
  private let links: [OutboundChannel: OutboundLink]
  private let zones: ZoneCatalog
  private let profile: @Sendable () -> PurposeProfile
  private let clock: @Sendable () -> Timestamp
  private let logger: Logger
  private let options: Options
  private let breakers: Mutex<[OutboundChannel: CircuitBreaker]>

  /// `profile` answers the version in force; a change holds from the next decision on.
  public init(
    database: Database, links: [OutboundLink], zones: ZoneCatalog, profile: @escaping @Sendable () -> PurposeProfile,
    clock: @escaping @Sendable () -> Timestamp, logger: Logger, options: Options = Options()
  ) {
    self.database = database
    self.links = Dictionary(links.map { ($0.channel, $0) }, uniquingKeysWith: { first, _ in first })
    self.zones = zones
    self.profile = profile
    self.clock = clock
    self.logger = logger
    self.options = options
    breakers = Mutex(self.links.mapValues { _ in CircuitBreaker() })
  }

  /// Runs until cancelled; what is handed over by then is submitted to its end and settled.
  public func run() async throws {
    try await recover()
    while !Task.isCancelled {
      do {
        if try await round() > 0 { continue }
        try await rest()
      } catch is CancellationError {
        return
      } catch {
        logger.error("a round of the dispatcher failed", metadata: ["error": "\(error)"])
        // Nothing was lost: the next round reads everything anew. Cancelled: the loop ends.
        try? await Task.sleep(for: options.idle)
      }
    }
  }

  /// Waits for a new job or report, the next due time or `idle`, whichever is first.
  private func rest() async throws {
    // Subscribed before the look into the store, so that no job falls between.
    let wake = database.subscribe(to: EventRecord.self)
    defer { wake.cancel() }
    let due = try await database.read { try $0.nextDue() }
    let pause = min(options.idle, max(.milliseconds(1), due.map { $0 - clock() } ?? options.idle))
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        for await element in wake {
          switch element {
          case .missed: return
          case .value(let event): if event.type == .jobPlanned || event.type == .reportArrived { return }
          }
        }
      }
      // Cancelled when the other is first.
      group.addTask { try? await Task.sleep(for: pause) }
      await group.next()
      group.cancelAll()
    }
  }

  /// After a start: what was reserved is planned again, what was handed over is in doubt. Idempotent.
  public func recover() async throws {
    while true {
      let count = try await database.write(.live) { [self] transaction in
        let time = clock()
        let open = try transaction.openAttempts(limit: 100)
        for attempt in open {
          try transaction.settle(
            attempt.id, .restarted, link: links[attempt.outboundChannel], surroundings(at: time), at: time)
        }
        return open.count
      }
      if count == 0 { return }
    }
  }

  /// One round: reports, inquiries, claims and submissions; returns when all it began has been settled. Answers how much
  /// was done.
  @discardableResult
  public func round() async throws -> Int {
    var done = try await database.write(.live) { [self] transaction in
      let time = clock()
      return try transaction.settleReports(links: links, surroundings(at: time), limit: 200, at: time)
    }
    done += try await inquire()
    let claimed = try await claim()
    done += claimed.looked
    guard !claimed.attempts.isEmpty else { return done }
    let queues = Dictionary(grouping: claimed.attempts, by: \.channel)
    await withDiscardingTaskGroup { group in
      for (channel, attempts) in queues {
        guard let link = links[channel] else { continue }
        group.addTask { [self] in await handOver(attempts.map(\.id), through: link) }
      }
    }
    return done
  }

  private func claim() async throws -> (looked: Int, attempts: [(id: AttemptID, channel: OutboundChannel)]) {
    try await database.write(.bulk) { [self] transaction in
      let time = clock()
      let around = surroundings(at: time)
      let jobs = try transaction.dueJobs(at: time, limit: min(options.claimBatch, options.inFlight))
      var attempts: [(id: AttemptID, channel: OutboundChannel)] = []
      for job in jobs {
        // A job that cannot be read must not hold up the others.
        do {
          let id = try transaction.savepoint { try transaction.claim(job, on: links, around, at: time) }
          if let id, let attempt = try transaction.attempt(id) { attempts.append((id, attempt.outboundChannel)) }
        } catch let error as DatabaseError where error.isOfOneItem {
          var held = job
          held.nextAt = time + .seconds(300)
          held.reason = "held: \(error.kind.rawValue)"
          try transaction.update(held, at: time)
        }
      }
      return (jobs.count, attempts)
    }
  }

  /// Hands the attempts over, at most `window` at a time.
  private func handOver(_ attempts: [AttemptID], through link: OutboundLink) async {
    await withTaskGroup(of: Void.self) { group in
      var underWay = 0
      for id in attempts {
        if underWay >= max(1, link.window) {
          await group.next()
          underWay -= 1
        }
        underWay += 1
        group.addTask { [self] in await submit(id, through: link) }
      }
    }
  }

  /// One attempt from reserved to settled. A settlement that fails leaves it `handing`: in doubt at the next start.
  private func submit(_ id: AttemptID, through link: OutboundLink) async {
    do {
      let admitted = breakers.withLock { $0[link.channel]?.admit(at: clock()) ?? true }
      let dispatch = try await database.write(.live) { [self] transaction -> Dispatch? in
        let time = clock()
        guard admitted, !Task.isCancelled else {
          try transaction.settle(id, .released, link: link, surroundings(at: time), at: time)
          return nil
        }
        return try transaction.beginHandOver(id, through: link, surroundings(at: time), at: time)
      }
      guard let dispatch else { return }
      let submission = await link.adapter.submit(dispatch)
      breakers.withLock { $0[link.channel]?.record(submission, at: clock()) }
      try await settle(id, .submitted(submission), link)
    } catch {
      logger.error("an attempt could not be settled", metadata: ["attempt.id": "\(id)", "error": "\(error)"])
    }
  }

  private func settle(_ id: AttemptID, _ evidence: Attempt.Evidence, _ link: OutboundLink) async throws {
    // Not cancellable: what the peer answered must be written down.
    let work = Task { [self] in
      try await database.write(.live) { [self] transaction in
        let time = clock()
        try transaction.settle(id, evidence, link: link, surroundings(at: time), at: time)
      }
    }
    _ = try await work.value
  }

  /// Asks the peers about what is in doubt; gives up what they can no longer know.
  private func inquire() async throws -> Int {
    let doubts = try await database.read { [self] in try $0.doubts(at: clock(), limit: 50) }
    for doubt in doubts {
      let found = try await database.read { try $0.proactiveJob(doubt.job) }
      guard let link = links[doubt.outboundChannel], let job = found else { continue }
      var answer: Attempt.Evidence = .inquired(.inDoubt(Fault(.unsupported, text: "the peer answers no inquiry")))
      if link.adapter.capabilities.answersInquiry, let name = doubt.machine.wireIdentity {
        let dispatch = Dispatch(
          key: job.id.description, attempt: doubt.id, wireIdentity: name, to: doubt.to, from: link.from,
          content: job.contents[doubt.outboundChannel.rawValue] ?? Dispatch.Content(text: ""), expires: job.notAfter)
        answer = .inquired(await link.adapter.inquire(about: dispatch))
      }
      if case .inquired(.inDoubt) = answer, let end = doubt.finalAt, end <= clock() { answer = .horizonPassed }
      try await settle(doubt.id, answer, link)
    }
    return doubts.count
  }

  private func surroundings(at time: Timestamp) -> Surroundings {
    let down = breakers.withLock { $0.compactMapValues { $0.downUntil(at: time) } }
    return Surroundings(profile: profile(), zones: zones, links: Set(links.keys), down: down)
  }
}
