import AsyncHTTPClient
import Channels
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import ServiceLifecycle
import Synchronization
import Testing

@testable import API

/// An event log of a test: appends and publishes in one step, as the store's reader does.
private final class Log: Sendable {
  let hub: StreamHub
  private let state = Mutex<(events: [StreamEvent], first: Int64)>(([], 1))
  private let changes: AsyncStream<String>
  private let changed: AsyncStream<String>.Continuation

  init(hub: StreamHub) {
    self.hub = hub
    (changes, changed) = AsyncStream.makeStream()
  }

  func append(_ text: String, to topic: String = "agent:1001") {
    state.withLock { state in
      let event = StreamEvent(
        sequence: state.first + Int64(state.events.count), type: "pop",
        data: ["text": .string(text), "phone": "+8613812345678"])
      state.events.append(event)
      hub.publish(event, to: [topic])
    }
  }
  func forget(before sequence: Int64) {
    state.withLock { state in
      state.events.removeAll { $0.sequence < sequence }
      state.first = sequence
    }
  }

  func feed(_ call: Call) -> EventFeed {
    EventFeed(
      hub: hub, topics: ["agent:1001"], mask: call.mask, lastEventID: call.lastEventID,
      newest: { self.state.withLock { $0.first + Int64($0.events.count) - 1 } },
      replay: { after in
        self.state.withLock { state in
          let newest = state.first + Int64(state.events.count) - 1
          guard after >= state.first - 1, after <= newest else { return .unknown(newest: newest) }
          let rest = state.events.filter { $0.sequence > after }
          return .events(Array(rest.prefix(3)), isComplete: rest.count <= 3)
        }
      }, opened: { self.changed.yield("opened") }, closed: { self.changed.yield("closed") })
  }

  /// Waits until a stream was opened or closed.
  func wait(for change: String) async throws {
    try await within(.seconds(10)) {
      for await seen in self.changes where seen == change { return }
    }
  }

  var route: Route {
    Route(
      "streamEvents", .get, "/v1/agents/{agent}/events", summary: "", tag: "agents", access: .open,
      parameters: [.path("agent", .string(maximum: 40))],
      answers: [.other("text/event-stream", "The stream")]
    ) { call in .events(self.feed(call)) }
  }
}

private func open(_ served: Served, last: String? = nil) async throws -> HTTPClientResponse {
  var request = HTTPClientRequest(url: served.url("/v1/agents/1001/events"))
  if let last { request.headers.add(name: "Last-Event-ID", value: last) }
  return try await testClient.execute(request, timeout: .seconds(30))
}

@Suite struct StreamTests {
  @Test func `events arrive in order with their ids, masked, and only those of the topic`() async throws {
    let log = Log(hub: StreamHub())
    log.append("before")
    try await serve(Site(routes: [log.route])) { served in
      let response = try await open(served)
      #expect(response.headers.first(name: "content-type") == "text/event-stream")
      #expect(response.headers.first(name: "x-accel-buffering") == "no")
      let reader = StreamReader(response)
      #expect(try await reader.next()?.isComment == true)
      #expect(try await reader.nextEvent()?.type == "open")
      log.append("other", to: "agent:2")
      log.append("线一\n线二")
      let event = try await reader.nextEvent()
      #expect(event?.id == "3" && event?.type == "pop")
      #expect(event?.data == #"{"text":"线一\n线二","phone":"***5678"}"#)
    }
  }

  @Test func `a reconnection replays what was missed, then goes on without gap or repetition`() async throws {
    let log = Log(hub: StreamHub())
    for n in 1...10 { log.append("\(n)") }
    try await serve(Site(routes: [log.route])) { served in
      let reader = StreamReader(try await open(served, last: "2"))
      for n in 3...10 { #expect(try await reader.nextEvent()?.id == "\(n)") }
      log.append("11")
      #expect(try await reader.nextEvent()?.id == "11")
    }
  }

  @Test func `an id that is too old, of the future or no id is answered by a reset`() async throws {
    let log = Log(hub: StreamHub())
    for n in 1...10 { log.append("\(n)") }
    log.forget(before: 6)
    try await serve(Site(routes: [log.route])) { served in
      for (last, reason) in [("2", "too_old"), ("99", "too_old"), ("abc", "unknown_id"), ("-1", "unknown_id")] {
        let event = try await StreamReader(try await open(served, last: last)).nextEvent()
        #expect(event?.type == "reset" && event?.id == "10" && event?.data == #"{"reason":"\#(reason)"}"#)
      }
    }
  }

  @Test func `a client that is too slow is told by a reset what it lost`() async throws {
    let hub = StreamHub()
    let feed = EventFeed(
      hub: hub, topics: ["t"], mask: .none, lastEventID: nil, newest: { 0 }, replay: { _ in .unknown(newest: 0) })
    let (written, writing) = AsyncStream<String>.makeStream()
    let (gate, opening) = AsyncStream<Void>.makeStream()
    try await within(.seconds(60)) {
      await withTaskGroup(of: Void.self) { group in
        let state = Mutex(0)
        group.addTask {
          // Ends by cancellation.
          try? await feed.write { buffer in
            writing.yield(String(buffer: buffer))
            // The third write is the first event: it hangs until the gate opens.
            let count = state.withLock { count in
              count += 1
              return count
            }
            if count == 3 { for await _ in gate { break } }
          }
        }
        var lines = written.makeAsyncIterator()
        _ = await lines.next()
        _ = await lines.next()
        hub.publish(StreamEvent(sequence: 1, type: "e", data: [:]), to: ["t"])
        _ = await lines.next()
        for n in 2...(StreamHub.bufferedEvents + 50) {
          hub.publish(StreamEvent(sequence: Int64(n), type: "e", data: [:]), to: ["t"])
        }
        opening.yield()
        for n in 2...(StreamHub.bufferedEvents + 1) {
          let line = await lines.next()
          #expect(line?.hasPrefix("id: \(n)\n") == true)
        }
        hub.publish(StreamEvent(sequence: 1_000, type: "e", data: [:]), to: ["t"])
        #expect(await lines.next()?.contains("event: reset") == true)
        #expect(await lines.next()?.hasPrefix("id: 1000\n") == true)
        group.cancelAll()
      }
    }
    #expect(hub.openStreams == 0)
  }

  @Test func `a quiet stream is kept alive by comments`() async throws {
    let log = Log(hub: StreamHub(keepAliveEvery: .milliseconds(20)))
    try await serve(Site(routes: [log.route]), also: [log.hub]) { served in
      let reader = StreamReader(try await open(served))
      #expect(try await reader.nextEvent()?.type == "open")
      for _ in 0..<3 {
        let event = try await within(.seconds(5)) { [reader = Unshared(reader)] in try await reader.value.next() }
        #expect(event == StreamReader.Event(isComment: true))
      }
    }
  }

  @Test func `a client that goes is noticed while the stream is quiet`() async throws {
    let log = Log(hub: StreamHub())
    try await serve(Site(routes: [log.route])) { served in
      let request = "GET /v1/agents/1001/events HTTP/1.1\r\nHost: a\r\n\r\n"
      let client = Task { try await raw(port: served.port, sending: request) }  // cancelled below: that is the test
      try await log.wait(for: "opened")
      #expect(log.hub.streams(of: "agent:1001") == 1)
      client.cancel()
      try await log.wait(for: "closed")
      #expect(log.hub.streams(of: "agent:1001") == 0)
    }
  }

  @Test func `a shutdown with open streams, idle connections and a hanging upload waits for none of them`()
    async throws
  {
    let log = Log(hub: StreamHub())
    let start = try await serve(Site(routes: [log.route, echo]), also: [log.hub]) { served in
      var readers: [Unshared<StreamReader>] = []
      for _ in 0..<20 {
        let reader = StreamReader(try await open(served))
        #expect(try await reader.nextEvent()?.type == "open")
        readers.append(Unshared(reader))
      }
      let hanging =
        "POST \(thing) HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\nContent-Type: application/json\r\n\r\n{"
      let (sent, sending) = AsyncStream<Void>.makeStream()
      async let upload = raw(port: served.port, sending: hanging, whenSent: { sending.yield() })
      async let idle = raw(port: served.port, sending: "GET /", whenSent: { sending.yield() })
      var both = sent.makeAsyncIterator()
      await both.next()
      await both.next()
      // One request more, so that the two above have been taken.
      #expect(try await served.get("/nowhere").status == 404)
      let start = ContinuousClock.now
      await served.group.triggerGracefulShutdown()
      for reader in readers {
        // On a loaded machine the drain's time is over before every stream has said its last word: then it is cut off.
        var last = try? await reader.value.next()
        while last?.isComment == true { last = try? await reader.value.next() }
        #expect(last == nil)
      }
      _ = try await (upload, idle)
      return start
    }
    // Far from the thirty seconds a request may take; a loaded machine is slow, too.
    #expect(.now - start < .seconds(15))
    #expect(log.hub.openStreams == 0)
  }
}

private struct Unshared<Value>: @unchecked Sendable {
  // Invariant: used by one task at a time.
  let value: Value
  init(_ value: Value) { self.value = value }
}
