/// The seam between one channel's wire and the rest of Liaison.
///
/// An adapter owns its sockets and sessions and knows its wire; it does not queue, retry, look up customers or write
/// to disk. Back-pressure is suspension: while `accept` is suspended the adapter reads no more than its bounds allow.
/// The normative page for authors is adapters/README.md; the suite ChannelConformance holds every adapter to it.
public protocol ChannelAdapter: Sendable {
  /// Returns only after the commit; its result is what the wire is told.
  typealias Accept = @Sendable (Arrival) async -> Acceptance

  var channel: ContactChannel { get }
  /// Constant for the life of the adapter.
  var capabilities: Capabilities { get }

  /// Serves the channel until drained or cancelled. Throws only if a restart of the adapter is the remedy.
  func run(accept: @escaping Accept) async throws

  /// The name `attempt` will bear on the wire: a pure function, the same after a restart.
  func wireIdentity(of attempt: AttemptID) -> String
  /// One attempt. Never throws, never retries; a cancelled submission answers what it knows, usually `.inDoubt`.
  func submit(_ dispatch: Dispatch) async -> Submission
  /// What became of a dispatch that is in doubt. `.inDoubt` again if the peer cannot say.
  func inquire(about dispatch: Dispatch) async -> Submission

  /// As last observed; costs no traffic.
  var health: Health { get async }
  /// Asks the adapter to take nothing new and to let `run` return when what is in hand is done. Idempotent, returns at once.
  func beginDrain()
}

/// What a channel can do.
public struct Capabilities: Hashable, Sendable {
  public enum Ability: String, Hashable, Sendable, CaseIterable { case receives, submits, calls }
  public var abilities: Set<Ability>
  /// Largest arrival in bytes that is taken; larger ones are refused on the wire.
  public var maximumArrivalBytes: Int
  /// Reports about submissions arrive later.
  public var reportsDelivery: Bool
  /// `inquire` can learn something.
  public var answersInquiry: Bool
  /// The peer recognises a repeated `Dispatch.key` and does not send twice.
  public var dedupesOnKey: Bool
  /// Submissions a second the peer is known to take; nil if unlimited.
  public var submissionsPerSecond: Int?

  public init(
    abilities: Set<Ability>, maximumArrivalBytes: Int, reportsDelivery: Bool = false, answersInquiry: Bool = false,
    dedupesOnKey: Bool = false, submissionsPerSecond: Int? = nil
  ) {
    self.abilities = abilities
    self.maximumArrivalBytes = maximumArrivalBytes
    self.reportsDelivery = reportsDelivery
    self.answersInquiry = answersInquiry
    self.dedupesOnKey = dedupesOnKey
    self.submissionsPerSecond = submissionsPerSecond
  }
}

/// How a channel is, as last observed.
public struct Health: Hashable, Sendable {
  public enum State: String, Hashable, Sendable, CaseIterable {
    case starting, up
    /// Works, but not all of it: one of several links down, a peer throttling.
    case degraded
    case down, draining, stopped
  }
  public var state: State
  /// Since when it has been so.
  public var since: Timestamp
  /// What an operator should know, without customer data; nil when all is well.
  public var text: String?
  public var lastArrivalAt: Timestamp?
  public init(state: State, since: Timestamp, text: String? = nil, lastArrivalAt: Timestamp? = nil) {
    self.state = state
    self.since = since
    self.text = text
    self.lastArrivalAt = lastArrivalAt
  }
}
