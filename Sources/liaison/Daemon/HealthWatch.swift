import Channels
import Logging
import Store
import Synchronization

/// Looks at every channel's health and records each change as an event, so that streams, webhooks and the overview
/// tell it: a mailbox without a successful fetch, a link that is down.
///
/// Only state is compared; the words that go with it may change by the second. A store that cannot write now is told
/// at the next look. Ends with `stop` or when cancelled.
final class HealthWatch: Sendable {
  private let supervisors: [ChannelSupervisor]
  private let database: Database
  private let now: @Sendable () -> Timestamp
  private let every: Duration
  /// How long after the start nothing is told of a channel that was never up: it is still connecting.
  private let grace: Duration
  private let logger: Logger
  private let told = Mutex<[String: Health.State]>([:])
  private let ending = AsyncStream.makeStream(of: Void.self)

  init(
    _ supervisors: [ChannelSupervisor], database: Database, now: @escaping @Sendable () -> Timestamp,
    every: Duration = .seconds(2), grace: Duration = .seconds(5), logger: Logger
  ) {
    self.supervisors = supervisors
    self.database = database
    self.now = now
    self.every = every
    self.grace = grace
    self.logger = logger
  }

  func run() async {
    let settled = ContinuousClock.now + grace
    await withTaskGroup(of: Void.self) { group in
      group.addTask { for await _ in self.ending.stream {} }
      group.addTask {
        while !Task.isCancelled {
          await self.look(isSettled: .now >= settled)
          do { try await Task.sleep(for: self.every) } catch { return }
        }
      }
      await group.next()
      group.cancelAll()
    }
  }

  func stop() { ending.continuation.finish() }

  /// One look at all of them; until it `isSettled` a channel that was never up is passed over.
  private func look(isSettled: Bool) async {
    for supervisor in supervisors {
      let channel = supervisor.adapter.channel
      let health = await supervisor.health
      // The first look tells nothing: a channel that comes up is what everybody expects.
      let before = told.withLock { $0[channel.name] }
      guard before != health.state, before != nil || isSettled || health.state == .up else { continue }
      if before == nil, health.state == .up || health.state == .starting {
        told.withLock { $0[channel.name] = health.state }
        continue
      }
      if before == .starting, health.state == .up {
        told.withLock { $0[channel.name] = health.state }
        continue
      }
      let time = now()
      do {
        let body = try JSONText.encode([
          "state": health.state.rawValue, "before": before?.rawValue ?? "", "text": health.text ?? "",
        ])
        try await database.write {
          try $0.append(
            EventRecord(
              at: time, type: .channelHealthChanged, subject: channel.name, channel: channel.name, actor: "liaison",
              body: body))
        }
        told.withLock { $0[channel.name] = health.state }
        logger.log(
          level: health.state == .up || health.state == .draining || health.state == .stopped ? .notice : .error,
          "A channel's health has changed.",
          metadata: [
            "channel": "\(channel.name)", "health.state": "\(health.state.rawValue)",
            "health.text": "\(health.text ?? "")",
          ])
      } catch {
        logger.warning(
          "A change of a channel's health could not be recorded.",
          metadata: ["channel": "\(channel.name)", "fault.text": "\(error)"])
      }
    }
  }
}
