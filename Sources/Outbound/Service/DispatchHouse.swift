import Channels
import ContactModel
import Logging
import Store
import Synchronization

/// A place in the life of an attempt that is passed, for tests that stop or kill the process just there.
public enum HandOverPoint: String, Sendable, CaseIterable {
  /// Its caps are taken, durably.
  case reserved
  /// Its wire identity is durable; no byte has left.
  case handing
  /// The peer has answered; nothing of it is written.
  case submitted
  /// What the peer answered is durable.
  case settled
}

/// What dispatcher and workers share: the store, the clock, the rules in force, and how each way out is.
final class DispatchHouse: Sendable {
  let database: Database
  let links: [OutboundLink]
  let zones: ZoneCatalog
  let profile: @Sendable () -> PurposeProfile
  let document: @Sendable (ProactiveJob.Attachment) async throws -> [UInt8]
  let clock: @Sendable () -> Timestamp
  let logger: Logger
  let options: Dispatcher.Options
  /// By the link's configured name.
  private let breakers: Mutex<[String: CircuitBreaker]>
  private let draining = Mutex(false)

  init(
    database: Database, links: [OutboundLink], zones: ZoneCatalog, profile: @escaping @Sendable () -> PurposeProfile,
    document: @escaping @Sendable (ProactiveJob.Attachment) async throws -> [UInt8],
    clock: @escaping @Sendable () -> Timestamp, logger: Logger, options: Dispatcher.Options
  ) {
    self.database = database
    self.links = links
    self.zones = zones
    self.profile = profile
    self.document = document
    self.clock = clock
    self.logger = logger
    self.options = options
    breakers = Mutex(
      Dictionary(links.map { ($0.name, CircuitBreaker()) }, uniquingKeysWith: { first, _ in first }))
  }

  var isDraining: Bool { draining.withLock { $0 } }
  func beginDrain() { draining.withLock { $0 = true } }

  func breaker<T>(of link: OutboundLink, _ body: (inout CircuitBreaker) -> T) -> T {
    breakers.withLock { body(&$0[link.name, default: CircuitBreaker()]) }
  }

  /// A channel is down while every link of it is. `admitted` is the link through which a submission may go now, the one
  /// that is to show whether its peer is back included: to that one the channel is not down.
  func surroundings(at time: Timestamp, admitted: OutboundLink? = nil) -> Surroundings {
    var down: [OutboundChannel: Timestamp] = [:]
    breakers.withLock { breakers in
      for (channel, links) in Dictionary(grouping: links, by: \.channel) {
        let times = links.map { $0.name == admitted?.name ? nil : breakers[$0.name]?.downUntil(at: time) }
        if !times.contains(nil) { down[channel] = times.compactMap(\.self).min() }
      }
    }
    return Surroundings(
      profile: profile(), zones: zones, links: Set(links.map(\.channel)), lanes: Set(links.flatMap(\.lanes)), down: down
    )
  }

  func pass(_ point: HandOverPoint) { options.atHandOver?(point) }

  /// Takes in evidence, whatever happens to the task that brought it: what a peer answered must be written down.
  @discardableResult
  func settle(_ id: AttemptID, _ evidence: Attempt.Evidence, _ link: OutboundLink?) async throws -> Attempt.State? {
    // Ends by itself when written or when the store is closed.
    let work = Task { [self] in
      try await persist { [self] transaction in
        let time = clock()
        return try transaction.settle(id, evidence, link: link, surroundings(at: time), at: time)
      }
    }
    return try await work.value
  }

  /// Writes; a store that cannot now is asked again, until it is closed.
  func persist<T: Sendable>(_ body: @escaping @Sendable (WriteTransaction) throws -> T) async throws -> T {
    while true {
      do {
        return try await database.write(.live, body)
      } catch let error as DatabaseError where error.isPassing {
        logger.warning(
          "What a peer answered could not be written down now.",
          metadata: ["fault.code": "\(error.kind.rawValue)"])
        try await Task.sleep(for: .milliseconds(500))
      }
    }
  }
}

extension DatabaseError {
  /// May be over the next time.
  var isPassing: Bool {
    switch kind {
    case .busy, .serialization, .timeout, .connection, .full, .locked: true
    default: false
    }
  }
}

extension OutboundLink {
  /// The configured name of its channel.
  var name: String { adapter.channel.name }
  /// The lanes it takes jobs from: those for any link of its channel, and those for it alone.
  var lanes: [String] { ["\(channel)/\(name)", channel.rawValue] }
}
