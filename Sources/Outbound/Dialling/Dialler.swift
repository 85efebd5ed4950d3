import Channels
import ContactModel
import Logging
import Store
import Synchronization

/// Brings the calls of proactive service to agents, and follows each to its end.
///
/// ```
/// job due in the telephone's lane ─▶ offered to a free agent (preview) ─ accepts ─▶ ordered ─▶ talking ─▶ result ─▶ settled
///                                   └▶ ordered for a free agent (progressive) ───────┘   busy, no answer … ─▶ recycled
/// ```
/// Each agent has at most one showing or call, so there are never more calls than free agents. Every round looks again
/// at what is open: a showing whose customer, campaign or agent has changed is withdrawn within a second; a call is read
/// from what the exchange told of it. Nothing is in memory: after a crash the open showings are in the store, and a call
/// is found by the name it was given. Source: specs/outbound.md §5.
public final class Dialler: Sendable {
  public let line: DialLine
  private let database: Database
  private let dispatcher: Dispatcher
  private let clock: @Sendable () -> Timestamp
  private let logger: Logger
  private let bell = Bell()
  private let isDraining = Mutex(false)

  public init(
    database: Database, dispatcher: Dispatcher, line: DialLine, clock: @escaping @Sendable () -> Timestamp,
    logger: Logger
  ) {
    self.database = database
    self.dispatcher = dispatcher
    self.line = line
    self.clock = clock
    self.logger = logger
  }

  /// Works until `beginDrain` or cancellation. Calls under way go on without it.
  public func run() async {
    let waking = database.observe { [self] values in if values.contains(where: concerns) { bell.ring() } }
    defer { waking.cancel() }
    while !isDraining.withLock({ $0 }), !Task.isCancelled {
      do {
        try await round()
      } catch {
        // Nothing was lost: the next round reads everything anew.
        logger.error("A round of the dialler failed.", metadata: ["channel": "\(line.name)", "error": "\(error)"])
      }
      // What comes in one burst is looked at once; time passes by itself. Cancelled: the loop ends.
      try? await Task.sleep(for: .milliseconds(20))
      await bell.wait(atMost: .seconds(1))
    }
  }

  /// Nothing new is offered or ordered from now on. Idempotent.
  public func beginDrain() {
    isDraining.withLock { $0 = true }
    bell.ring()
  }

  /// Called on the writer's thread.
  private func concerns(_ value: any Sendable) -> Bool {
    switch value {
    case let jobs as JobsWaiting: return line.link.lanes.contains(jobs.lane)
    case let event as EventRecord:
      switch event.type {
      case .agentStateChanged, .callCommandChanged, .campaignChanged, .killSwitchSet, .preferenceRecorded,
        .addressStopped:
        return true
      case .contactOpened, .contactUpdated, .contactClosed, .dialChanged: return event.channel == line.name
      default: return false
      }
    default: return false
    }
  }

  /// One look at everything open and everything due; answers how much was done.
  @discardableResult
  public func round() async throws -> Int {
    try await follow() + assign()
  }

  /// Notes what is new of the open showings.
  private func follow() async throws -> Int {
    let time = clock()
    let around = dispatcher.surroundings(at: time)
    let changed = try await database.read { [line] connection in
      try connection.openDials(on: line.name, limit: 2_000).filter {
        try connection.news(of: $0, line, around, at: time) != nil
      }.map(\.dialId)
    }
    for start in stride(from: 0, to: changed.count, by: 20) {
      let piece = changed[start..<min(start + 20, changed.count)]
      try await database.write { [self] transaction in
        let time = clock()
        let around = dispatcher.surroundings(at: time)
        for id in piece {
          do {
            try transaction.savepoint {
              guard let dial = try transaction.dial(id),
                let news = try transaction.news(of: dial, line, around, at: time)
              else { return }
              try transaction.note(news, of: dial, line, around, at: time)
            }
          } catch let error as DatabaseError where error.isOfOneItem {
            logger.error("A call could not be settled now.", metadata: ["dial.id": "\(id)", "error": "\(error)"])
          }
        }
      }
    }
    return changed.count
  }

  /// Brings what is due to whoever is free.
  private func assign() async throws -> Int {
    guard !isDraining.withLock({ $0 }), !line.link.isHeld(), await line.link.adapter.health.state == .up else {
      return 0
    }
    let time = clock()
    let busy = Set(line.control.liveCalls(on: line.server).flatMap(\.devices))
    let (agents, jobs) = try await database.read { [line] connection -> ([Agent], [ProactiveJobID]) in
      let agents = try connection.agentsToCall(busy: busy, at: time)
      guard !agents.isEmpty else { return ([], []) }
      return (
        agents, try connection.jobsToCall(in: line.link.lanes, at: time, limit: min(500, agents.count * 2 + 20))
      )
    }
    var done = 0
    var index = 0
    while index < jobs.count, done < agents.count {
      let piece = Array(jobs[index..<min(index + 20, jobs.count)])
      index += 20
      done += try await database.write { [self] transaction in
        let time = clock()
        let around = dispatcher.surroundings(at: time)
        // Read again: who was free may have gone, or have been given another meanwhile.
        var free = try transaction.agentsToCall(busy: busy, at: time)
        var count = 0
        for id in piece where !free.isEmpty {
          do {
            guard
              let dial = try transaction.savepoint({
                try transaction.offer(id, among: free, line, around, at: time)
              })
            else { continue }
            if dial.state.isOpen { free.removeAll { $0.id == dial.agentId } }
            count += 1
          } catch let error as DatabaseError where error.isOfOneItem {
            try transaction.putAside(id, because: error.kind.rawValue, until: time + .seconds(300))
          }
        }
        return count
      }
    }
    return done
  }

  // MARK: What agents do, in a transaction of the caller

  /// The agent wants the call. It is answered as it stands: ordered, or withdrawn with its reason.
  public func accept(
    _ id: DialID, actor: Actor, in transaction: WriteTransaction, at time: Timestamp
  ) throws -> ActOutcome<DialRecord> {
    try transaction.accept(id, line, dispatcher.surroundings(at: time), actor: actor, at: time)
  }

  public func decline(
    _ id: DialID, because reason: String, actor: Actor, in transaction: WriteTransaction, at time: Timestamp
  ) throws -> ActOutcome<DialRecord> {
    try transaction.decline(id, because: reason, actor: actor, at: time)
  }

  /// What came of the call. `callBackAt` is needed, and only then, where the result means a call back.
  public func settle(
    _ id: DialID, as result: CallResult, note: String?, callBackAt: Timestamp?, actor: Actor,
    in transaction: WriteTransaction, at time: Timestamp
  ) throws -> ActOutcome<DialRecord> {
    try transaction.settle(
      id, as: result, note: note, callBackAt: callBackAt, line, dispatcher.surroundings(at: time), actor: actor,
      at: time)
  }
}
