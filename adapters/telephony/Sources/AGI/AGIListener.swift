import Logging
import NIOCore
import NIOPosix
import Synchronization

/// Answers dial plans over FastAGI: one short dialogue a connection, each with a time limit, at most so many at once.
///
/// The protocol has neither names nor encryption, so only the addresses allowed are answered; others are closed without
/// a word, as are those beyond the limit: the dial plan goes on with its own defaults.
public final class AGIListener: Sendable {
  public typealias Answer = @Sendable (AGIRequest) async -> [AGIVariable]

  public struct Configuration: Sendable {
    public var host: String
    public var port: Int
    /// Literal addresses beside this machine's own.
    public var peers: Set<String>
    /// From the connection to its end.
    public var timeLimit: Duration
    public var maximumConnections: Int
    public var limits: AGISession.Limits
    public init(
      host: String = "127.0.0.1", port: Int = 4_573, peers: Set<String> = [], timeLimit: Duration = .seconds(3),
      maximumConnections: Int = 512, limits: AGISession.Limits = .init()
    ) {
      self.host = host
      self.port = port
      self.peers = peers
      self.timeLimit = timeLimit
      self.maximumConnections = maximumConnections
      self.limits = limits
    }
  }

  /// What was done since the start.
  public struct Counts: Sendable, Hashable {
    public var answered = 0
    public var failed = 0
    public var turnedAway = 0
  }

  private struct State {
    var counts = Counts()
    var open = 0
    var problem: String?
    var port: Int?
  }

  private let configuration: Configuration
  private let answer: Answer
  private let group: any EventLoopGroup
  private let logger: Logger
  private let state = Mutex(State())

  public init(
    configuration: Configuration, group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
    logger: Logger = Logger(label: "liaison.agi"), answer: @escaping Answer
  ) {
    self.configuration = configuration
    self.group = group
    self.logger = logger
    self.answer = answer
  }

  public var counts: Counts { state.withLock { $0.counts } }
  /// Nil while it does not listen.
  public var port: Int? { state.withLock { $0.port } }
  /// Why it does not listen; nil if it does.
  public var problem: String? { state.withLock { $0.problem } }

  /// Listens until cancelled; a place that cannot be had is tried again, so that calls are not lost with it.
  public func run() async {
    var delay = Duration.milliseconds(200)
    while !Task.isCancelled {
      do {
        try await listen()
        return
      } catch is CancellationError {
        return
      } catch {
        let isNew = state.withLock { state in
          defer { state.problem = "AGI cannot listen: \(error)" }
          return state.problem == nil
        }
        if isNew {
          logger.error("Dial plans cannot be answered: no listener.", metadata: ["error": .string("\(error)")])
        }
        do { try await Task.sleep(for: delay) } catch { return }
        delay = min(delay * 2, .seconds(10))
      }
    }
  }

  private func listen() async throws {
    let server = try await ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 256)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .bind(host: configuration.host, port: configuration.port) { channel in
        channel.eventLoop.makeCompletedFuture {
          try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
        }
      }
    state.withLock { state in
      state.problem = nil
      state.port = server.channel.localAddress?.port
    }
    defer { state.withLock { $0.port = nil } }
    try await server.executeThenClose { connections in
      try await withThrowingDiscardingTaskGroup { group in
        for try await connection in connections {
          guard admits(connection.channel) else {
            connection.channel.close(promise: nil)
            continue
          }
          group.addTask { await self.serve(connection) }
        }
      }
    }
  }

  private func admits(_ channel: any Channel) -> Bool {
    let address = channel.remoteAddress?.ipAddress ?? ""
    let own = address == "::1" || address.hasPrefix("127.") || address == channel.localAddress?.ipAddress
    return state.withLock { state in
      guard own || configuration.peers.contains(address), state.open < configuration.maximumConnections else {
        state.counts.turnedAway += 1
        return false
      }
      state.open += 1
      return true
    }
  }

  private func serve(_ connection: NIOAsyncChannel<ByteBuffer, ByteBuffer>) async {
    defer { state.withLock { $0.open -= 1 } }
    var why: String? = "the peer closed before the end"
    do {
      why = try await connection.executeThenClose { inbound, outbound in
        await withTaskGroup(of: String?.self) { group in
          group.addTask {
            do {
              return try await self.converse(inbound, outbound)
            } catch {
              return "\(error)"
            }
          }
          group.addTask {
            // Cancelled as soon as the dialogue is over.
            do { try await Task.sleep(for: self.configuration.timeLimit) } catch {}
            return "the peer was too slow"
          }
          defer { group.cancelAll() }
          return await group.next() ?? nil
        }
      }
    } catch {
      why = "\(error)"
    }
    state.withLock { state in
      if why == nil { state.counts.answered += 1 } else { state.counts.failed += 1 }
    }
    if let why { logger.warning("A dial plan was not answered.", metadata: ["reason": .string(why)]) }
  }

  /// Nil when everything was said; else why not.
  private func converse(
    _ inbound: NIOAsyncChannelInboundStream<ByteBuffer>, _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
  ) async throws -> String? {
    var session = AGISession(limits: configuration.limits)
    for try await buffer in inbound {
      var steps = session.feed(buffer.readableBytesView)
      while !steps.isEmpty {
        switch steps.removeFirst() {
        case .ask(let request): steps = session.answer(await answer(request)) + steps
        case .send(let bytes): try await outbound.write(ByteBuffer(bytes: bytes))
        case .finish: return nil
        case .fail(let why): return why
        }
      }
    }
    return "the peer closed before the end"
  }
}
