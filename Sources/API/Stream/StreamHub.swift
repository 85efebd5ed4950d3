import Channels
import NIOCore
import ServiceLifecycle
import Synchronization

/// One event as it goes to streams.
public struct StreamEvent: Hashable, Sendable {
  /// Its place in the stored event log: what Last-Event-ID refers to.
  public var sequence: Int64
  /// `contact.offered`; bounded words, no data.
  public var type: String
  public var data: JSONValue
  /// Whom it shows.
  var seen: [Sight] = []
  public init(sequence: Int64, type: String, data: JSONValue) {
    self.sequence = sequence
    self.type = type
    self.data = data
  }
  init(sequence: Int64, type: String, data: JSONValue, seen: [Sight]) {
    self.init(sequence: sequence, type: type, data: data)
    self.seen = seen
  }
}

/// Fans events out to the streams that are open, each with a bounded buffer.
///
/// An event is masked and encoded once per mask, not per stream. A stream whose client is too slow loses events, and
/// is told so by a `reset` before the next one, never silently: events are numbered per stream, and a gap in the
/// numbers is what the writer sees. `run` gives each stream a tick every 15 s, from one timer for all of them.
public final class StreamHub: Service {
  enum Item: Sendable {
    /// `number` counts the events offered to this stream.
    case event(number: Int, sequence: Int64, bytes: ByteBuffer, seen: [Sight])
    /// Keep-alive; `number` is that of the last event offered, so that a loss is told also when nothing follows.
    case tick(number: Int)
  }

  public static let bufferedEvents = 256
  private let interval: Duration
  private let state = Mutex(State())

  private struct State {
    var streams: [Int: Subscription] = [:]
    var topics: [String: Set<Int>] = [:]
    var nextID = 0
  }
  private struct Subscription {
    var topics: Set<String>
    var mask: FieldMask
    var offered = 0
    var continuation: AsyncStream<Item>.Continuation
  }
  struct Membership: Sendable {
    let id: Int
    let items: AsyncStream<Item>
  }

  public init(keepAliveEvery interval: Duration = .seconds(15)) { self.interval = interval }

  public func run() async throws {
    await cancelWhenGracefulShutdown {
      while !Task.isCancelled {
        do { try await Task.sleep(for: self.interval) } catch { return }
        self.tick()
      }
    }
  }

  /// Offers an event to every stream of any of these topics. Never waits. To be called in the order of the log.
  public func publish(_ event: StreamEvent, to topics: Set<String>) {
    state.withLock { state in
      let ids = topics.reduce(into: Set<Int>()) { $0.formUnion(state.topics[$1] ?? []) }
      guard !ids.isEmpty else { return }
      var encoded: [FieldMask: ByteBuffer] = [:]
      for id in ids {
        guard let stream = state.streams[id] else { continue }
        let bytes: ByteBuffer
        if let known = encoded[stream.mask] {
          bytes = known
        } else {
          bytes = ServerSentEvent.bytes(of: event, mask: stream.mask)
          encoded[stream.mask] = bytes
        }
        let number = stream.offered + 1
        state.streams[id]?.offered = number
        stream.continuation.yield(.event(number: number, sequence: event.sequence, bytes: bytes, seen: event.seen))
      }
    }
  }

  /// How many streams are open for a topic: presence of an agent.
  public func streams(of topic: String) -> Int { state.withLock { $0.topics[topic]?.count ?? 0 } }
  public var openStreams: Int { state.withLock { $0.streams.count } }

  func tick() {
    state.withLock { state in
      for stream in state.streams.values { stream.continuation.yield(.tick(number: stream.offered)) }
    }
  }

  func join(_ topics: Set<String>, mask: FieldMask) -> Membership {
    let (items, continuation) = AsyncStream<Item>.makeStream(bufferingPolicy: .bufferingOldest(Self.bufferedEvents))
    return state.withLock { state in
      let id = state.nextID
      state.nextID += 1
      state.streams[id] = Subscription(topics: topics, mask: mask, continuation: continuation)
      for topic in topics { state.topics[topic, default: []].insert(id) }
      return Membership(id: id, items: items)
    }
  }

  func leave(_ membership: Membership) {
    let stream = state.withLock { state in
      let stream = state.streams.removeValue(forKey: membership.id)
      for topic in stream?.topics ?? [] {
        state.topics[topic]?.remove(membership.id)
        if state.topics[topic]?.isEmpty == true { state.topics[topic] = nil }
      }
      return stream
    }
    stream?.continuation.finish()
  }
}
