import Channels
import Logging
import ServiceLifecycle
import Synchronization
import Testing

@testable import liaison

/// An adapter that ends as it is told: the next of `ends` each time it runs, then it runs until drained.
private final class ScriptedAdapter: ChannelAdapter {
  enum End: Sendable { case fails, returns }
  struct Broken: Error {}
  let channel = ContactChannel(kind: .webform, name: "scripted")
  let capabilities = Capabilities(abilities: [.receives], maximumArrivalBytes: 1)
  private let ends: Mutex<[End]>
  private let drained: AsyncStream<Void>
  private let drain: AsyncStream<Void>.Continuation
  private let started = Mutex(0)

  init(_ ends: [End]) {
    self.ends = Mutex(ends)
    (drained, drain) = AsyncStream.makeStream(of: Void.self)
  }
  var starts: Int { started.withLock { $0 } }

  func run(accept: @escaping Accept) async throws {
    started.withLock { $0 += 1 }
    let end = ends.withLock { $0.isEmpty ? nil : $0.removeFirst() }
    switch end {
    case .fails: throw Broken()
    case .returns: return
    case nil: for await _ in drained {}
    }
  }
  func wireIdentity(of attempt: AttemptID) -> String { attempt.description }
  func submit(_ dispatch: Dispatch) async -> Submission { .rejected(Fault(.unsupported, text: "")) }
  func inquire(about dispatch: Dispatch) async -> Submission { .inDoubt(Fault(.unsupported, text: "")) }
  var health: Health { Health(state: .up, since: Timestamp(seconds: 0)) }
  func beginDrain() { drain.finish() }
}

@Suite struct SupervisorTests {
  /// Runs a supervisor over the scripted ends; answers how long it waited each time.
  private func waits(_ ends: [ScriptedAdapter.End]) async throws -> (waits: [Duration], starts: Int, restarts: Int) {
    let adapter = ScriptedAdapter(ends)
    let waited = Mutex<[Duration]>([])
    let (enough, continuation) = AsyncStream.makeStream(of: Void.self)
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let supervisor = ChannelSupervisor(
      adapter, accept: { _ in .busy(retryAfter: .seconds(1)) }, now: { Timestamp(seconds: 1_790_000_000) },
      sleep: { duration in
        let count = waited.withLock { waited in
          waited.append(duration)
          return waited.count
        }
        if count == ends.count { continuation.finish() }
      }, logger: logger)
    let group = ServiceGroup(configuration: .init(services: [supervisor], logger: logger))
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await group.run() }
      for await _ in enough {}
      await group.triggerGracefulShutdown()
      try await tasks.waitForAll()
    }
    return (waited.withLock { $0 }, adapter.starts, supervisor.restarts)
  }

  @Test func `a failing adapter is started again, later each time up to a minute, and drained in the end`() async throws
  {
    let (waits, starts, restarts) = try await waits(Array(repeating: .fails, count: 9))
    #expect(restarts == 9 && (9...10).contains(starts))
    for (wait, expected) in zip(waits, [1.0, 2, 4, 8, 16, 32, 60, 60, 60]) {
      let seconds = Double(wait.components.seconds) + Double(wait.components.attoseconds) / 1e18
      #expect((expected * 0.79...expected * 1.21).contains(seconds))
    }
  }

  @Test func `an adapter that ends by itself is started again, too`() async throws {
    #expect(try await waits([.returns, .fails, .returns]).restarts == 3)
  }
}
