@preconcurrency import Foundation
@preconcurrency import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import Testing

@testable import SMS

/// Real programs started by tests on loopback, and stopped by their process ids.
enum RealPeer {
  static let scripts = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Peers").path
  static let hasKannel = FileManager.default.isExecutableFile(atPath: "/usr/sbin/bearerbox")
  static let jasmin = ProcessInfo.processInfo.environment["LIAISON_JASMIN_VENV"] ?? "/var/tmp/liaison-peers/jasmin"
  static let hasJasmin =
    FileManager.default.fileExists(atPath: jasmin + "/bin/jasmind.py")
    && FileManager.default.fileExists(atPath: "/usr/bin/redis-server")
    && FileManager.default.fileExists(atPath: "/usr/lib/rabbitmq")

  struct Failed: Error { var what: String }

  /// Runs a command to its end; its output, both streams.
  ///
  /// Not by Foundation's Process: that waits until every grandchild is gone, and these scripts leave daemons behind.
  @discardableResult
  static func run(_ command: [String], input: String = "") async throws -> String {
    let folder = temporaryFolder("run")
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { do { try FileManager.default.removeItem(atPath: folder) } catch { Issue.record(error) } }
    try input.write(toFile: folder + "/in", atomically: false, encoding: .utf8)
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, folder + "/in", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, folder + "/out", O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    posix_spawn_file_actions_adddup2(&actions, 1, 2)
    // Threads of this process block signals, and daemons would inherit that and never stop.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    // Daemons must not keep what this process has open: the test runner's lock among it.
    let closing = #"for f in /proc/$$/fd/*; do n=${f##*/}; [ "$n" -gt 2 ] && eval "exec $n>&-"; done; exec "$@""#
    let whole = ["/bin/bash", "-c", closing, "run"] + command
    var arguments: [UnsafeMutablePointer<CChar>?] = whole.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    var pid: pid_t = 0
    guard posix_spawn(&pid, whole[0], &actions, &attributes, &arguments, environ) == 0 else {
      throw Failed(what: "\(command[0]) does not start")
    }
    let child = pid
    // On a thread that may block: the cooperative pool is two threads wide.
    let status = try await NIOThreadPool.singleton.runIfActive { () -> Int32 in
      var status: Int32 = 0
      while waitpid(child, &status, 0) == -1, errno == EINTR {}
      return status
    }
    let text = try String(contentsOfFile: folder + "/out", encoding: .utf8)
    guard status == 0 else { throw Failed(what: "\(command[0]) ended with status \(status): \(text.suffix(500))") }
    return text
  }

  /// A base from which all `offsets` are free ports.
  static func freeBase(_ offsets: [Int]) async throws -> Int {
    for _ in 0..<50 {
      let base = Int.random(in: 21...38) * 1_000 + Int.random(in: 0..<10)
      var channels: [any Channel] = []
      var isFree = true
      for offset in offsets {
        do {
          channels.append(
            try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton).bind(
              host: "127.0.0.1", port: base + offset
            ).get())
        } catch {
          isFree = false
          break
        }
      }
      for channel in channels { try await channel.close() }
      if isFree { return base }
    }
    throw Failed(what: "no free ports")
  }

  static func temporaryFolder(_ name: String) -> String {
    FileManager.default.temporaryDirectory.appendingPathComponent("liaison-\(name)-\(UUID().uuidString.prefix(8))").path
  }
}

/// What the composition root does: gives requests to the adapter as plain values and writes its answer.
final class CallbackServer: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let receive: @Sendable (CallbackRequest) async -> CallbackResponse
  private var head: HTTPRequestHead?
  private var body: [UInt8] = []

  init(_ receive: @escaping @Sendable (CallbackRequest) async -> CallbackResponse) { self.receive = receive }

  static func start(_ receive: @escaping @Sendable (CallbackRequest) async -> CallbackResponse) async throws
    -> any Channel
  {
    try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.configureHTTPServerPipeline()
          try channel.pipeline.syncOperations.addHandler(CallbackServer(receive))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      self.head = head
      body = []
    case .body(let buffer): body += buffer.readableBytesView
    case .end:
      guard let head else { return }
      let halves = head.uri.split(separator: "?", maxSplits: 1).map(String.init)
      let request = CallbackRequest(
        method: head.method.rawValue, path: halves.first ?? "/", query: halves.count > 1 ? halves[1] : "", body: body,
        sourceAddress: context.remoteAddress?.ipAddress ?? "")
      let receive = receive
      let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
      // Ends with the adapter's answer; the connection's end does not matter to it.
      context.eventLoop.makeFutureWithTask { await receive(request) }.whenSuccess { response in
        let context = bound.value
        let headers = HTTPHeaders([("Content-Length", String(response.body.utf8.count))])
        context.write(
          NIOAny(
            HTTPServerResponsePart.head(
              .init(version: .http1_1, status: .init(statusCode: response.status), headers: headers))),
          promise: nil)
        context.write(NIOAny(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(string: response.body)))), promise: nil)
        context.writeAndFlush(NIOAny(HTTPServerResponsePart.end(nil)), promise: nil)
      }
    }
  }
}
