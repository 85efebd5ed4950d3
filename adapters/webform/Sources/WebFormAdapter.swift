import Channels
import Synchronization

/// The channel of the bank's web forms: pages out, submissions in.
///
/// It knows no HTTP server: whoever has a public listener hands each request under `configuration.basePath` to
/// `respond(to:)` and writes what that returns. A submission is offered to `accept` while its poster waits, and the
/// reference number is told only after `accept` has returned. What is wrong with a post is told at once and kept by
/// nobody: its sender is still there and has his words before him.
public final class WebFormAdapter: ChannelAdapter {
  public let channel: ContactChannel
  public let configuration: WebFormConfiguration
  let services: WebFormServices
  let postLimit: ClientRateLimit
  let statusLimit: ClientRateLimit
  private let state: Mutex<State>

  /// Ids no form may have, since they are addresses of ours.
  static let reservedIDs: Set<String> = ["status", "zh", "en", "style", "frame", "embed"]

  private struct State {
    var phase = Health.State.starting
    var since: Timestamp
    var accept: Accept?
    /// Ends the `run` in progress.
    var end: AsyncStream<Void>.Continuation?
    var isDraining = false
    /// Posts between their first byte looked at and their answer.
    var inHand = 0
    var lastArrivalAt: Timestamp?

    mutating func enter(_ phase: Health.State, at now: Timestamp) {
      if self.phase != phase { since = now }
      self.phase = phase
    }
  }

  /// `configuration.problems()` must be empty: without a key of full length nothing is signed.
  public init(configuration: WebFormConfiguration, services: WebFormServices) {
    precondition(configuration.problems().isEmpty, configuration.problems().joined(separator: "; "))
    channel = ContactChannel(kind: .webform, name: configuration.name)
    self.configuration = configuration
    self.services = services
    postLimit = ClientRateLimit(configuration.postRate, capacity: configuration.rateTableCapacity / 2)
    statusLimit = ClientRateLimit(configuration.statusRate, capacity: configuration.rateTableCapacity / 2)
    state = Mutex(State(since: services.now()))
  }

  public var capabilities: Capabilities {
    Capabilities(abilities: [.receives], maximumArrivalBytes: configuration.maximumBodyBytes + RawPost.maximumHeadBytes)
  }

  /// Takes posts until drained or cancelled. Pages are served at any time; a post outside `run` is told to come back.
  /// After a drain it returns at once. Throws only if it is running already.
  public func run(accept: @escaping Accept) async throws {
    let (ended, end) = AsyncStream.makeStream(of: Void.self)
    let now = services.now()
    let begins = try state.withLock { state throws(Fault) in
      guard state.accept == nil else { throw Fault(.internalError, text: "the form channel is running already") }
      if state.isDraining, state.inHand == 0 { return false }
      state.accept = accept
      state.end = end
      state.enter(state.isDraining ? .draining : .up, at: now)
      return true
    }
    if begins {
      // Ends when `beginDrain` or the last post in hand finishes the stream, or when the task is cancelled.
      for await _ in ended {}
    }
    let later = services.now()
    state.withLock { state in
      state.accept = nil
      state.end = nil
      state.enter(.stopped, at: later)
    }
  }

  public func beginDrain() {
    let now = services.now()
    let end = state.withLock { state -> AsyncStream<Void>.Continuation? in
      state.isDraining = true
      if state.phase != .stopped { state.enter(.draining, at: now) }
      return state.inHand == 0 ? state.end : nil
    }
    end?.finish()
  }

  public var health: Health {
    get async {
      let snapshot = state.withLock { $0 }
      let forms = services.catalogue().allInForce(at: services.now()).count
      let isEmpty = forms == 0 && snapshot.phase == .up
      return Health(
        state: isEmpty ? .degraded : snapshot.phase, since: snapshot.since, text: isEmpty ? "no form is in force" : nil,
        lastArrivalAt: snapshot.lastArrivalAt)
    }
  }

  // MARK: Nothing goes out by a form

  public func wireIdentity(of attempt: AttemptID) -> String { attempt.description }

  public func submit(_ dispatch: Dispatch) async -> Submission { .rejected(Self.unsupported) }

  public func inquire(about dispatch: Dispatch) async -> Submission { .rejected(Self.unsupported) }

  private static let unsupported = Fault(.unsupported, text: "a web form only receives")

  // MARK: Posts in hand

  /// Nil when posts are not taken now. Whoever gets a function calls `released` once, when his answer is made.
  func taken() -> Accept? {
    state.withLock { state in
      guard let accept = state.accept, !state.isDraining, state.inHand < configuration.maximumConcurrentPosts else {
        return nil
      }
      state.inHand += 1
      return accept
    }
  }

  func released() {
    let end = state.withLock { state -> AsyncStream<Void>.Continuation? in
      state.inHand -= 1
      return state.isDraining && state.inHand == 0 ? state.end : nil
    }
    end?.finish()
  }

  func arrived(at now: Timestamp) { state.withLock { $0.lastArrivalAt = now } }
}
