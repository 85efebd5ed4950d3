import Channels
import ContactModel
import Logging
import Store
import Synchronization

/// Gives agents their time after a call, and ends it.
///
/// A talk is over when the agent's device has no part in any call any more: a switch tells a hold as a leave too, so
/// the end of a leg alone says nothing. The time comes from the rules of the queue, its end is in the store, so a
/// restart ends what is due. While it lasts the switch has the agent paused.
public final class WrapUpKeeper: Sendable {
  private struct Talk: Sendable {
    var server: String
    var queue: String?
    var at: Timestamp
  }
  private struct State {
    /// By device: talks whose last sign is their end.
    var over: [String: Talk] = [:]
    var isAnybodyWrappingUp = true
  }

  private let database: Database
  private let commander: CallCommander
  private let rules: @Sendable () -> CallRoutingRules
  private let now: @Sendable () -> Timestamp
  private let logger: Logger
  private let state = Mutex(State())
  private let wake: AsyncStream<Void>
  private let waker: AsyncStream<Void>.Continuation
  /// An end that long ago is nobody's wrap-up any more.
  private static let oldest = Duration.seconds(30)

  public init(
    database: Database, commander: CallCommander, rules: @escaping @Sendable () -> CallRoutingRules,
    now: @escaping @Sendable () -> Timestamp, logger: Logger
  ) {
    self.database = database
    self.commander = commander
    self.rules = rules
    self.now = now
    self.logger = logger
    (wake, waker) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
  }

  /// A change of a call: call it with every one, after it was kept.
  public func note(_ event: CallEvent) {
    var ended: [String: Timestamp] = [:]
    for leg in event.call.legs where [.talking, .held, .conference].contains(leg.state) {
      // The last leg of a device decides.
      ended[leg.device] = leg.to
    }
    let time = now()
    let recent = ended.filter { time - $0.value < Self.oldest }
    guard !recent.isEmpty else { return }
    state.withLock { state in
      guard state.over.count < 10_000 else { return }
      for (device, at) in recent {
        state.over[device] = Talk(server: event.call.server, queue: event.call.queue, at: at)
      }
    }
    waker.yield()
  }

  /// What a switch says of a device: it may be the sign that its call is over.
  public func note(_ presence: AgentPresence) {
    if state.withLock({ $0.over[presence.device] != nil }) { waker.yield() }
  }

  /// Begins and ends wrap-ups until `beginDrain` or cancellation.
  public func run() async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        for await _ in self.wake { await self.look() }
      }
      group.addTask {
        // Nothing tells that a leg has gone where the device is in no queue; and time passes by itself.
        while !Task.isCancelled {
          do { try await Task.sleep(for: .seconds(1)) } catch { return }
          if self.state.withLock({ !$0.over.isEmpty || $0.isAnybodyWrappingUp }) { self.waker.yield() }
        }
      }
      await group.next()
      group.cancelAll()
    }
  }

  public func beginDrain() { waker.finish() }

  private func look() async {
    let time = now()
    let candidates = state.withLock { state in
      state.over = state.over.filter { time - $0.value.at < Self.oldest }
      return state.over
    }
    let busy = candidates.isEmpty ? [] : Set(commander.liveCalls().flatMap(\.devices))
    let rules = rules()
    let free = candidates.filter { !busy.contains($0.key) }
    state.withLock { state in
      for device in free.keys { state.over[device] = nil }
    }
    let isAnybody = state.withLock { $0.isAnybodyWrappingUp }
    guard !free.isEmpty || isAnybody else { return }
    do {
      let next = try await database.write { transaction -> Timestamp? in
        for (device, talk) in free.sorted(by: { $0.key < $1.key }) {
          guard let length = rules.wrapUp(after: talk.queue) else { continue }
          _ = try transaction.beginWrapUp(at: device, until: talk.at + length, at: time)
        }
        _ = try transaction.endWrapUps(at: time)
        return try transaction.nextWrapUpEnd()
      }
      state.withLock { $0.isAnybodyWrappingUp = next != nil }
    } catch {
      // Asked again within a second.
      logger.error("Agents' work after calls could not be kept.", metadata: ["fault.text": "\(error)"])
      state.withLock { $0.isAnybodyWrappingUp = true }
    }
  }
}
