import Channels
import Logging
import ServiceLifecycle
import Synchronization

/// Keeps one adapter running: starts it again after a failure, later each time, and drains it on shutdown.
///
/// One supervisor a channel, so that one dead peer does not stop another channel. The wait doubles from one second to
/// a minute, spread by a fifth so that several links do not come back in step; an adapter that ran for a minute begins
/// at one second again.
final class ChannelSupervisor: Service, CustomStringConvertible {
  let adapter: any ChannelAdapter
  private let accept: ChannelAdapter.Accept
  private let logger: Logger
  private let now: @Sendable () -> Timestamp
  private let sleep: @Sendable (Duration) async throws -> Void
  private let state = Shared()
  private final class Shared: Sendable { let value = Mutex(State()) }

  private struct State {
    var isDraining = false
    var restarts = 0
    var lastFailure: String?
    var waitingUntil: Timestamp?
    /// Since when it takes nothing new; nil: it works.
    var pausedAt: Timestamp?
  }

  init(
    _ adapter: any ChannelAdapter, accept: @escaping ChannelAdapter.Accept, now: @escaping @Sendable () -> Timestamp,
    sleep: @escaping @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0) }, logger: Logger
  ) {
    self.adapter = adapter
    self.accept = { [state] arrival in
      // The peer keeps it and comes again: nothing is lost, nothing is taken.
      if state.value.withLock({ $0.pausedAt != nil }) { return .busy(retryAfter: .seconds(30)) }
      return await accept(arrival)
    }
    self.now = now
    self.sleep = sleep
    var logger = logger
    logger[metadataKey: "channel"] = .string(adapter.channel.name)
    self.logger = logger
  }

  var description: String { "channel \(adapter.channel.name)" }

  /// How often the adapter had to be started again.
  var restarts: Int { state.value.withLock { $0.restarts } }

  /// The adapter's own word, or that it is down and waiting to be started again.
  var health: Health {
    get async {
      let waiting = state.value.withLock { state in state.waitingUntil.map { ($0, state.lastFailure) } }
      if let (until, failure) = waiting {
        return Health(state: .down, since: now(), text: "\(failure ?? "failed"); next start at \(until)")
      }
      let health = await adapter.health
      guard let since = state.value.withLock({ $0.pausedAt }) else { return health }
      return Health(
        state: .degraded, since: since, text: "paused: takes nothing new and sends nothing",
        lastArrivalAt: health.lastArrivalAt)
    }
  }

  var isPaused: Bool { state.value.withLock { $0.pausedAt != nil } }

  /// Lets the channel take nothing new, or work again: what arrives while it is paused is answered busy, and stays with
  /// the peer.
  func setPaused(_ isPaused: Bool) {
    state.value.withLock { state in
      state.pausedAt = isPaused ? state.pausedAt ?? now() : nil
    }
  }

  func run() async throws {
    try await withGracefulShutdownHandler {
      try await supervise()
    } onGracefulShutdown: {
      self.state.value.withLock { $0.isDraining = true }
      self.adapter.beginDrain()
    }
  }

  private func supervise() async throws {
    var wait = Duration.seconds(1)
    while !Task.isCancelled, !state.value.withLock({ $0.isDraining }) {
      let started = now()
      do {
        try await adapter.run(accept: accept)
        if state.value.withLock({ $0.isDraining }) || Task.isCancelled { return }
        logger.warning("The channel ended by itself and is started again.")
        state.value.withLock { $0.lastFailure = "ended by itself" }
      } catch is CancellationError {
        return
      } catch {
        logger.error("The channel failed and is started again.", metadata: ["fault.text": "\(error)"])
        state.value.withLock { $0.lastFailure = "\(error)" }
      }
      if now() - started > .seconds(60) { wait = .seconds(1) }
      let spread = Duration.microseconds(Int64(Double(wait.wholeMicroseconds) * Double.random(in: 0.8...1.2)))
      state.value.withLock { state in
        state.restarts += 1
        state.waitingUntil = now() + spread
      }
      do { try await sleep(spread) } catch { return }
      state.value.withLock { $0.waitingUntil = nil }
      wait = min(wait * 2, .seconds(60))
    }
  }
}
