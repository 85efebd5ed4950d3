import Channels
import ContactModel
import Logging
import Store
import Synchronization

/// Carries out the call commands that were given, and finds out what came of them.
///
/// A command goes out once: it is committed as `sending` before the switch hears of it, so a restart finds it in doubt
/// and never sends it again; one that waited too long is failed unsent, because a hold a minute late is worse than
/// none. Commands of one call keep their order, those of different calls do not wait for one another. What the switch
/// answers and what the call then shows settle it (`outcome(of:by:)`); where nothing is shown in time, it is in doubt.
public final class CallCommander: Sendable {
  public struct Options: Sendable {
    /// Older commands are not sent any more.
    public var sendWithin: Duration = .seconds(5)
    /// How long an accepted command may wait for what proves it. A telephone may ring for 30 seconds.
    public var outcomeWithin: Duration = .seconds(45)
    /// How far back a restart looks for commands that something may still be told about.
    public var watchAfterRestart: Duration = .seconds(4 * 3_600)
    public var lanes = 32
    public init() {}
  }

  private struct State {
    /// By what names their call: those still open to be settled by it.
    var watched: [CallCommandID: CallCommandRecord] = [:]
    var byCall: [CallName: [CallCommandID]] = [:]

    mutating func forget(_ id: CallCommandID) {
      guard let record = watched.removeValue(forKey: id), let callID = record.callId else { return }
      let name = CallName(server: record.server, callID: callID)
      byCall[name]?.removeAll { $0 == id }
      if byCall[name]?.isEmpty == true { byCall[name] = nil }
    }
  }
  private struct CallName: Hashable {
    var server: String
    var callID: String
  }
  private enum Work: Sendable {
    case send(GivenCallCommand)
    case settle(CallCommandID, CallCommandVerdict)
  }

  private let database: Database
  private let switches: [any CallControl]
  private let now: @Sendable () -> Timestamp
  private let options: Options
  private let logger: Logger
  private let state = Mutex(State())
  private let lanes: [(stream: AsyncStream<Work>, continuation: AsyncStream<Work>.Continuation)]
  /// More than this is watched by nobody: the oldest are left in doubt.
  private static let mostWatched = 20_000

  public init(
    database: Database, switches: [any CallControl], now: @escaping @Sendable () -> Timestamp,
    options: Options = Options(), logger: Logger
  ) {
    self.database = database
    self.switches = switches
    self.now = now
    self.options = options
    self.logger = logger
    lanes = (0..<max(1, options.lanes)).map { _ in
      AsyncStream.makeStream(of: Work.self, bufferingPolicy: .bufferingOldest(4_096))
    }
  }

  /// The switches by name; empty where no channel has calls.
  public var servers: [String] { switches.flatMap(\.servers) }

  public func control(of server: String) -> (any CallControl)? {
    switches.first { $0.servers.contains(server) }
  }

  public func liveCall(_ callID: String, on server: String) -> LiveCall? {
    control(of: server)?.liveCall(callID, on: server)
  }
  public func liveCalls() -> [LiveCall] {
    switches.flatMap { control in control.servers.flatMap { control.liveCalls(on: $0) } }
  }

  // MARK: What happens

  /// A change of a call, as its channel told it: call it with every one.
  public func note(_ event: CallEvent) {
    let verdicts = state.withLock { state -> [(CallCommandRecord, CallCommandVerdict)] in
      guard !state.watched.isEmpty else { return [] }
      var ids = state.byCall[CallName(server: event.call.server, callID: event.call.callID)] ?? []
      if let job = event.call.job.flatMap(CallCommandID.init), state.watched[job]?.server == event.call.server,
        !ids.contains(job)
      {
        ids.append(job)
      }
      return ids.compactMap { id in
        guard let record = state.watched[id], let verdict = outcome(of: record, by: event) else { return nil }
        if verdict.isLast {
          state.forget(id)
        } else {
          state.watched[id]?.outcome = verdict.outcome
        }
        return (record, verdict)
      }
    }
    for (record, verdict) in verdicts { put(.settle(record.commandId, verdict), in: record) }
  }

  /// Sends and settles until `beginDrain` or cancellation.
  public func run() async {
    let observation = database.observe { [self] values in
      for case let given as GivenCallCommand in values { put(.send(given), in: given.record) }
    }
    defer { observation.cancel() }
    await takeUpUnsettled()
    await withTaskGroup(of: Void.self) { group in
      for lane in lanes {
        group.addTask {
          for await work in lane.stream {
            switch work {
            case .send(let given): await self.send(given)
            case .settle(let id, let verdict): await self.settle(id, verdict)
            }
          }
        }
      }
      // Cancelled when the lanes have ended.
      let clock = Task { await self.expire() }
      await group.waitForAll()
      clock.cancel()
    }
  }

  public func beginDrain() {
    for lane in lanes { lane.continuation.finish() }
  }

  private func put(_ work: Work, in record: CallCommandRecord) {
    let key = record.callId ?? record.device ?? record.commandId.description
    let lane = lanes[Int(UInt(bitPattern: key.hashValue) % UInt(lanes.count))]
    if case .dropped = lane.continuation.yield(work) {
      // The store has it; the limit of time will settle it.
      logger.error("Too many call commands wait.", metadata: ["command.id": "\(record.commandId)"])
    }
  }

  // MARK: Sending

  private func send(_ given: GivenCallCommand) async {
    let record = given.record
    guard now() - record.createdAt <= options.sendWithin else {
      return await settle(record.commandId, .unsent(.expired, "it waited too long to be sent"))
    }
    guard let control = self.control(of: record.server) else {
      return await settle(record.commandId, .unsent(.badAddress, "no switch is called \(record.server)"))
    }
    let time = now()
    do {
      guard try await database.write(.live, { try $0.beginSending(record.commandId, at: time) }) else { return }
    } catch {
      logger.error(
        "A call command could not be sent: the store did not take note of it.",
        metadata: ["command.id": "\(record.commandId)", "fault.text": "\(error)"])
      return await settle(record.commandId, .unsent(.internalError, "the store did not take note of it"))
    }
    watch(record)
    let verdict: CallCommandVerdict
    switch await control.perform(given.command) {
    case .accepted(let callID):
      verdict = CallCommandVerdict(.accepted, callId: callID, isLast: isSettledByAcceptance(record.action))
    case .rejected(let fault): verdict = CallCommandVerdict(.failed, fault: fault, isLast: true)
    case .inDoubt(let fault): verdict = CallCommandVerdict(.inDoubt, fault: fault, isLast: false)
    }
    if verdict.isLast { state.withLock { $0.forget(record.commandId) } }
    await settle(record.commandId, verdict)
  }

  private func watch(_ record: CallCommandRecord) {
    state.withLock { state in
      guard state.watched.count < Self.mostWatched else { return }
      state.watched[record.commandId] = record
      if let callID = record.callId {
        state.byCall[CallName(server: record.server, callID: callID), default: []].append(record.commandId)
      }
    }
  }

  private func settle(_ id: CallCommandID, _ verdict: CallCommandVerdict) async {
    let time = now()
    do {
      let settled = try await database.write { try $0.settle(id, verdict, at: time) }
      if let settled {
        logger.info(
          "A call command changed.",
          metadata: ["command.id": "\(id)", "command.action": "\(settled.action)", "command.state": "\(settled.state)"])
      }
    } catch {
      logger.error(
        "What became of a call command could not be stored.",
        metadata: ["command.id": "\(id)", "fault.text": "\(error)"])
    }
  }

  // MARK: Time

  /// What an earlier run left: unsent commands are failed, those that may have been sent are in doubt, and what is
  /// told of their calls from now on still settles them.
  private func takeUpUnsettled() async {
    let time = now()
    let records: [CallCommandRecord]
    do {
      records = try await database.read { [options] in
        try $0.unsettledCallCommands(since: time - options.watchAfterRestart, limit: Self.mostWatched)
      }
    } catch {
      return logger.error("Earlier call commands could not be read.", metadata: ["fault.text": "\(error)"])
    }
    for record in records {
      switch record.state {
      case .given:
        // Given meanwhile and on its way to a lane: not ours to judge.
        if time - record.createdAt > options.sendWithin {
          await settle(record.commandId, .unsent(.expired, "the daemon stopped before it was sent"))
        }
      case .sending:
        watch(record)
        await settle(record.commandId, .lost("the daemon stopped while it was sent"))
      case .accepted, .inDoubt: watch(record)
      case .done, .failed: continue
      }
    }
  }

  /// Ends the waiting of what nothing was told about.
  private func expire() async {
    while !Task.isCancelled {
      do { try await Task.sleep(for: .seconds(1)) } catch { return }
      let limit = now() - options.outcomeWithin
      let late = state.withLock { state -> [CallCommandRecord] in
        let late = state.watched.values.filter { record in
          // A consultation lasts as long as it lasts.
          record.createdAt < limit && record.outcome != "consulting" && record.state != .inDoubt
        }
        for record in late { state.watched[record.commandId]?.state = .inDoubt }
        return late
      }
      for record in late {
        if isProvedByNothing(record.action) {
          state.withLock { $0.forget(record.commandId) }
          put(.settle(record.commandId, CallCommandVerdict(.accepted, isLast: true)), in: record)
        } else {
          put(.settle(record.commandId, .lost("nothing was seen of it in time")), in: record)
        }
      }
      let forgotten = now() - options.watchAfterRestart
      state.withLock { state in
        for record in state.watched.values where record.createdAt < forgotten { state.forget(record.commandId) }
      }
    }
  }
}

extension CallCommandVerdict {
  fileprivate static func unsent(_ code: Fault.Code, _ text: String) -> Self {
    .init(.failed, fault: Fault(code, text: "surely not done: \(text)"), isLast: true)
  }
  fileprivate static func lost(_ text: String) -> Self {
    .init(.inDoubt, fault: Fault(.timeout, text: text), isLast: false)
  }
}
