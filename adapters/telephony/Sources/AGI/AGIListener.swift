import Channels
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
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(AGIChannelHandler(listener: self))
        }
      }
      .bind(host: configuration.host, port: configuration.port).get()
    state.withLock { state in
      state.problem = nil
      state.port = server.localAddress?.port
    }
    await withTaskCancellationHandler {
      // It closes when the task is cancelled; dialogues that are open end by their own limit.
      try? await server.closeFuture.get()
    } onCancel: {
      server.close(promise: nil)
    }
    state.withLock { $0.port = nil }
    try Task.checkCancellation()
  }

  // MARK: Called on the event loop

  fileprivate var timeLimit: TimeAmount { .microseconds(configuration.timeLimit.wholeMicroseconds) }

  fileprivate func makeSession() -> AGISession { AGISession(limits: configuration.limits) }

  fileprivate func admits(_ channel: any Channel) -> Bool {
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

  fileprivate func variables(for request: AGIRequest) async -> [AGIVariable] { await answer(request) }

  /// `why` is nil when everything was said.
  fileprivate func ended(_ why: String?) {
    state.withLock { state in
      state.open -= 1
      if why == nil { state.counts.answered += 1 } else { state.counts.failed += 1 }
    }
    if let why { logger.warning("A dial plan was not answered.", metadata: ["reason": .string(why)]) }
  }
}

/// One dialogue on its connection; confined to the event loop.
private final class AGIChannelHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let listener: AGIListener
  private var session: AGISession
  private var isAdmitted = false
  private var isOver = false
  private var clock: Scheduled<Void>?
  /// Asks for the answer; cancelled when the connection is gone.
  private var asking: Task<Void, Never>?

  init(listener: AGIListener) {
    self.listener = listener
    session = listener.makeSession()
  }

  func channelActive(context: ChannelHandlerContext) {
    isAdmitted = listener.admits(context.channel)
    guard isAdmitted else { return context.close(promise: nil) }
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    clock = context.eventLoop.scheduleTask(in: listener.timeLimit) {
      let (handler, context) = bound.value
      handler.end(context, "the peer or the answer was too slow")
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard isAdmitted, !isOver else { return }
    carryOut(session.feed(unwrapInboundIn(data).readableBytesView), context)
  }

  func channelInactive(context: ChannelHandlerContext) {
    if isAdmitted { end(context, "the peer closed before the end") }
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  private func carryOut(_ steps: [AGISession.Step], _ context: ChannelHandlerContext) {
    for step in steps {
      switch step {
      case .ask(let request):
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let (loop, listener) = (context.eventLoop, listener)
        asking = Task {
          let variables = await listener.variables(for: request)
          loop.execute {
            let (handler, context) = bound.value
            guard !handler.isOver else { return }
            handler.carryOut(handler.session.answer(variables), context)
          }
        }
      case .send(let bytes): context.writeAndFlush(NIOAny(ByteBuffer(bytes: bytes)), promise: nil)
      case .finish: end(context, nil)
      case .fail(let why): end(context, why)
      }
    }
  }

  private func end(_ context: ChannelHandlerContext, _ why: String?) {
    guard !isOver else { return }
    isOver = true
    clock?.cancel()
    asking?.cancel()
    listener.ended(why)
    context.close(promise: nil)
  }
}
