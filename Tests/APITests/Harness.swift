import API
import AsyncHTTPClient
import Channels
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import ServiceLifecycle
import Synchronization

/// A listener on a free port of the loopback, running for the time of a test.
struct Served: Sendable {
  var port: Int
  var socketPath: String?
  var group: ServiceGroup

  func url(_ path: String, scheme: String = "http") -> String { "\(scheme)://127.0.0.1:\(port)\(path)" }

  func get(_ path: String, headers: [(String, String)] = []) async throws -> Answer {
    try await send("GET", path, headers: headers)
  }

  func send(
    _ method: String, _ path: String, headers: [(String, String)] = [], body: String? = nil
  ) async throws -> Answer {
    var request = HTTPClientRequest(url: url(path))
    request.method = .init(rawValue: method)
    for (name, value) in headers { request.headers.add(name: name, value: value) }
    if let body { request.body = .bytes(ByteBuffer(string: body)) }
    return try await Answer(testClient.execute(request, timeout: .seconds(90)))
  }
}

struct Answer: Sendable {
  var status: Int
  var headers: [(name: String, value: String)]
  var body: [UInt8]

  init(_ response: HTTPClientResponse) async throws {
    status = Int(response.status.code)
    headers = response.headers.map { ($0.name.lowercased(), $0.value) }
    body = Array(try await response.body.collect(upTo: 1 << 24).readableBytesView)
  }
  subscript(name: String) -> String? { headers.first { $0.name == name.lowercased() }?.value }
  var text: String { String(decoding: body, as: UTF8.self) }
  var json: JSONValue { get throws { try JSONReader.read(body) } }
}

/// Runs `services` until `body` returns, then shuts them down gracefully and waits for their end.
func serve<T: Sendable>(
  _ site: Site, limits: ConnectionLimits = ConnectionLimits(), certificates: CertificateStore? = nil,
  socketPath: String? = nil, also services: [any Service] = [],
  logger: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
  _ body: @Sendable @escaping (Served) async throws -> T
) async throws -> T {
  let (ports, bound) = AsyncStream<Int?>.makeStream()
  let address: ListenerConfiguration.Address =
    socketPath.map { .unixSocket(path: $0, mode: 0o600) } ?? .network(host: "127.0.0.1", port: 0)
  let listener = Listener(
    ListenerConfiguration(name: "test", address: address, limits: limits), site: site, certificates: certificates,
    logger: logger, onBound: { bound.yield($0) })
  let group = ServiceGroup(configuration: .init(services: services + [listener], logger: logger))
  return try await withThrowingTaskGroup(of: T?.self) { tasks in
    tasks.addTask {
      defer { bound.finish() }
      try await group.run()
      return nil
    }
    var iterator = ports.makeAsyncIterator()
    guard let port = await iterator.next() else {
      _ = try await tasks.next()
      throw HarnessError.notServed
    }
    let served = Served(port: port ?? 0, socketPath: socketPath, group: group)
    do {
      let value = try await body(served)
      await group.triggerGracefulShutdown()
      for try await _ in tasks {}
      return value
    } catch {
      await group.triggerGracefulShutdown()
      throw error
    }
  }
}

enum HarnessError: Error { case notServed, timedOut }

/// The result of `body`, or `timedOut` after the deadline; ten times later under a sanitizer, which is that slow.
func within<T: Sendable>(_ deadline: Duration, _ body: @Sendable @escaping () async throws -> T) async throws -> T {
  try await withThrowingTaskGroup(of: T.self) { group in
    group.addTask { try await body() }
    group.addTask {
      try await Task.sleep(for: deadline * (ProcessInfo.processInfo.environment["SANITIZE"] == nil ? 1 : 10))
      throw HarnessError.timedOut
    }
    defer { group.cancelAll() }
    guard let value = try await group.next() else { throw HarnessError.timedOut }
    return value
  }
}

/// A connection on which a test writes what no HTTP client would.
func raw(
  port: Int, sending text: String, finish: Bool = false, whenSent: @Sendable () -> Void = {}
) async throws -> String {
  let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
    .connect(host: "127.0.0.1", port: port) { channel in
      channel.eventLoop.makeCompletedFuture {
        try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
          wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true))
      }
    }
  let answer = Mutex("")
  do {
    try await channel.executeThenClose { inbound, outbound in
      try await outbound.write(ByteBuffer(string: text))
      whenSent()
      if finish { outbound.finish() }
      for try await buffer in inbound { answer.withLock { $0 += String(buffer: buffer) } }
    }
  } catch is IOError {
    // A reset is a closed connection too.
  } catch is ChannelError {
    // Closed by the other side before we could.
  }
  return answer.withLock { $0 }
}

/// Wide enough for many open streams to one port; lives as long as the process.
let testClient: HTTPClient = {
  var configuration = HTTPClient.Configuration()
  configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 1_000
  return HTTPClient(configuration: configuration)
}()

/// Reads an open stream event by event.
final class StreamReader {
  struct Event: Hashable { var id: String?, type: String?, data: String?, isComment = false }
  private var iterator: HTTPClientResponse.Body.AsyncIterator
  private var pending = ""

  init(_ response: HTTPClientResponse) { iterator = response.body.makeAsyncIterator() }

  /// The next block, also a comment; nil at the end of the stream.
  func next() async throws -> Event? {
    while true {
      if let end = pending.range(of: "\n\n") {
        let block = pending[..<end.lowerBound]
        pending = String(pending[end.upperBound...])
        var event = Event()
        for line in block.split(separator: "\n") {
          if line.hasPrefix(":") { event.isComment = true }
          if line.hasPrefix("id: ") { event.id = String(line.dropFirst(4)) }
          if line.hasPrefix("event: ") { event.type = String(line.dropFirst(7)) }
          if line.hasPrefix("data: ") { event.data = String(line.dropFirst(6)) }
        }
        return event
      }
      guard let buffer = try await iterator.next() else { return nil }
      pending += String(buffer: buffer)
    }
  }

  /// The next that is no comment.
  func nextEvent() async throws -> Event? {
    while let event = try await next() { if event.type != nil { return event } }
    return nil
  }
}

func temporaryFolder() throws -> URL {
  let url = FileManager.default.temporaryDirectory.appending(path: "liaison-api-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  return url
}

let testTime = Timestamp(milliseconds: 1_700_000_000_000)
