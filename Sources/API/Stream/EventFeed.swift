import Channels
import Hummingbird
import HummingbirdCore
import NIOCore
import ServiceLifecycle

/// One open stream: what was missed out of the log, then what happens, in order and without gap or repetition.
///
/// The stream joins the hub first and reads the log after, so nothing falls between; what the log already gave is
/// dropped by its sequence when it comes again from the hub. An id older than the log, or from another one, and a
/// buffer that overflowed, are told by `reset`: then the client reads the snapshot resource.
public struct EventFeed: Sendable {
  public enum Replay: Sendable {
    /// The next events after the asked one, oldest first; `isComplete` when these are all there are now.
    case events([StreamEvent], isComplete: Bool)
    /// The asked id is not in the log any more, or not yet; `newest` is where to go on.
    case unknown(newest: Int64)
  }

  public var hub: StreamHub
  public var topics: Set<String>
  public var mask: FieldMask
  /// Where the client was; nil when it comes for the first time.
  public var lastEventID: String?
  /// The sequence of the newest event in the log: where a first-time stream begins.
  public var newest: @Sendable () async throws -> Int64
  /// Events of these topics after a sequence, at most 500 at a time.
  public var replay: @Sendable (_ after: Int64) async throws -> Replay
  /// Whether an event that happens now is this client's to hear of; nil: every one is.
  var admits: (@Sendable (_ sequence: Int64) async throws -> Bool)?
  /// Puts on record whom the client was shown; returns when that is durable.
  var record: @Sendable ([Sight], Timestamp) async throws -> Void = { _, _ in }
  public var retry: Duration
  /// Presence: called when the stream begins, and when it has ended for whatever reason.
  public var opened: @Sendable () async -> Void
  public var closed: @Sendable () async -> Void

  public init(
    hub: StreamHub, topics: Set<String>, mask: FieldMask, lastEventID: String?, retry: Duration = .seconds(2),
    newest: @escaping @Sendable () async throws -> Int64,
    replay: @escaping @Sendable (_ after: Int64) async throws -> Replay,
    opened: @escaping @Sendable () async -> Void = {}, closed: @escaping @Sendable () async -> Void = {}
  ) {
    self.hub = hub
    self.topics = topics
    self.mask = mask
    self.lastEventID = lastEventID
    self.retry = retry
    self.newest = newest
    self.replay = replay
    self.opened = opened
    self.closed = closed
  }

  init(
    hub: StreamHub, topics: Set<String>, mask: FieldMask, lastEventID: String?,
    newest: @escaping @Sendable () async throws -> Int64,
    replay: @escaping @Sendable (_ after: Int64) async throws -> Replay,
    admits: (@Sendable (Int64) async throws -> Bool)?,
    record: @escaping @Sendable ([Sight], Timestamp) async throws -> Void
  ) {
    self.init(hub: hub, topics: topics, mask: mask, lastEventID: lastEventID, newest: newest, replay: replay)
    self.admits = admits
    self.record = record
  }

  /// Writes until the client goes, the daemon shuts down, or the log fails.
  func write(_ send: @Sendable (ByteBuffer) async throws -> Void) async throws {
    let membership = hub.join(topics, mask: mask)
    await opened()
    do {
      // Who was shown is recorded beside the sending, so that a pop does not wait for its own record; a stream whose
      // record fails ends.
      try await withThrowingTaskGroup(of: Void.self) { group in
        try await run(membership, send, &group)
        try await group.waitForAll()
      }
    } catch {
      hub.leave(membership)
      await closed()
      throw error
    }
    hub.leave(membership)
    await closed()
  }

  private func run(
    _ membership: StreamHub.Membership, _ send: @Sendable (ByteBuffer) async throws -> Void,
    _ records: inout ThrowingTaskGroup<Void, any Error>
  ) async throws {
    var unrecorded = 0
    try await send(ServerSentEvent.opening(retry: retry))
    var last = try await sendMissed(send)
    let (record, admits) = (record, admits)
    var expected = 1
    for await item in membership.items {
      switch item {
      case .event(let number, let sequence, let bytes, let seen):
        if number != expected {
          try await send(ServerSentEvent.reset(to: sequence - 1, reason: "overflow"))
        }
        expected = number + 1
        guard sequence > last else { continue }
        last = sequence
        if let admits, try await !admits(sequence) { continue }
        try await send(bytes)
        guard !seen.isEmpty else { continue }
        if unrecorded == Self.mostUnrecorded {
          try await records.next()
          unrecorded -= 1
        }
        records.addTask { try await record(seen, systemTime()) }
        unrecorded += 1
      case .tick(let number):
        if number >= expected {
          last = max(last, try await newest())
          try await send(ServerSentEvent.reset(to: last, reason: "overflow"))
          expected = number + 1
        } else {
          try await send(ServerSentEvent.keepAlive)
        }
      }
    }
  }

  private static let mostUnrecorded = 16

  /// Gives what the client missed; answers the sequence up to which it now knows everything.
  private func sendMissed(_ send: @Sendable (ByteBuffer) async throws -> Void) async throws -> Int64 {
    guard let lastEventID else {
      let sequence = try await newest()
      // Without an id of its own the first reconnection would have none to name.
      try await send(
        ServerSentEvent.bytes(of: StreamEvent(sequence: sequence, type: "open", data: [:]), mask: .none))
      return sequence
    }
    guard var last = Int64(lastEventID), last >= 0 else {
      let sequence = try await newest()
      try await send(ServerSentEvent.reset(to: sequence, reason: "unknown_id"))
      return sequence
    }
    while true {
      switch try await replay(last) {
      case .events(let events, let isComplete):
        for event in events {
          last = max(last, event.sequence)
          try await send(ServerSentEvent.bytes(of: event, mask: mask))
        }
        try await record(sights(events.flatMap(\.seen).map { ($0.customer, $0.subject) }), systemTime())
        if isComplete { return last }
      case .unknown(let newest):
        try await send(ServerSentEvent.reset(to: newest, reason: "too_old"))
        return newest
      }
    }
  }
}

extension EventFeed {
  /// The answer's body. It ends when the client goes, which is noticed only because the inbound side is watched
  /// (a quiet stream writes nothing that could fail), and on graceful shutdown, which it would otherwise hold up for
  /// ever (specs/stack.md §5.2).
  func body(of request: Request) -> ResponseBody {
    ResponseBody { writer in
      let out = StreamWriter(writer)
      do {
        try await request.body.consumeWithCancellationOnInboundClose { _ in
          try await cancelWhenGracefulShutdown {
            try await write { try await out.write($0) }
          }
        }
      } catch is CancellationError {
        // The client went, or we do: either way the stream ends here.
      }
      try await out.finish()
    }
  }
}

/// Carries the writer into the stream's one task.
private final class StreamWriter: @unchecked Sendable {
  // Invariant: used by one task at a time; `finish` only after the task that wrote has ended.
  private var writer: any ResponseBodyWriter
  init(_ writer: any ResponseBodyWriter) { self.writer = writer }
  func write(_ buffer: ByteBuffer) async throws { try await writer.write(buffer) }
  func finish() async throws { try await writer.finish(nil) }
}
