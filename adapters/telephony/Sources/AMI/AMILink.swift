import Channels
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// The connection to one Asterisk: opened again whenever it is lost, its calls known across the gap.
///
/// Bytes are decoded and interpreted on the event loop as they come, so that Asterisk, which throws out a reader that
/// is five seconds late, never waits for Intake. What they come to is handed over by `deliver`; if that says that too
/// much is waiting, the connection is closed, and the list after the next login says what was missed.
final class AMILink: Sendable {
  /// Takes what came in one read: what each message came to, with its bytes. False when too much waits.
  typealias Deliver = @Sendable ([(updates: [TelephonyUpdate], raw: [UInt8])], Timestamp) -> Bool
  /// What became of an action.
  enum Answer: Sendable { case reply(AMIReply), lost, timedOut }

  struct State {
    var interpreter: AsteriskInterpreter
    var session: AMISession?
    var channel: (any Channel)?
    var pending: [String: CheckedContinuation<Answer, Never>] = [:]
    var isUp = false
    var isOverfull = false
    var hasRestored = false
    var since: Timestamp
    var text: String?
    var lastArrivalAt: Timestamp?
    var connections = 0
    var actions = 0
    /// What became of the last commands, for those that are repeated.
    var commands: [String: CallCommandResult] = [:]
    private var commandOrder: [String] = []

    init(interpreter: AsteriskInterpreter, since: Timestamp, text: String?) {
      self.interpreter = interpreter
      self.since = since
      self.text = text
    }

    mutating func remember(_ result: CallCommandResult, of command: String) {
      commands[command] = result
      commandOrder.append(command)
      if commandOrder.count > 4_096 { commands[commandOrder.removeFirst()] = nil }
    }
  }

  let server: TelephonyConfiguration.Server
  let configuration: TelephonyConfiguration
  let state: Mutex<State>
  private let group: any EventLoopGroup
  private let logger: Logger

  init(
    server: TelephonyConfiguration.Server, configuration: TelephonyConfiguration, group: any EventLoopGroup,
    logger: Logger
  ) {
    self.server = server
    self.configuration = configuration
    self.group = group
    var logger = logger
    logger[metadataKey: "telephony.server"] = .string(server.name)
    self.logger = logger
    state = Mutex(
      State(
        interpreter: AsteriskInterpreter(server: server.name, settings: server.settings), since: .now,
        text: "not connected yet"))
  }

  /// Connects and serves until the connection ends; throws why it could not be made. Cancelling closes it.
  func serve(
    known: @Sendable (String) async -> [CallState],
    deliver: @escaping Deliver
  ) async throws {
    if !state.withLock({ $0.hasRestored }) {
      let calls = await known(server.name)
      state.withLock {
        $0.interpreter.restore(calls)
        $0.hasRestored = true
      }
    }
    let tls = try server.tls.map(context)
    let limits = configuration.limits
    let channel = try await ClientBootstrap(group: group)
      .connectTimeout(.nanoseconds(configuration.connectTimeout.wholeMicroseconds * 1_000))
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelOption(
        .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 4_096, initial: 65_536, maximum: 1_048_576)
      )
      .channelInitializer { [self] channel in
        channel.eventLoop.makeCompletedFuture {
          if let tls {
            try channel.pipeline.syncOperations.addHandler(
              NIOSSLClientHandler(context: tls, serverHostname: self.server.host.isIPAddress ? nil : self.server.host))
          }
          try channel.pipeline.syncOperations.addHandler(
            AMIChannelHandler(link: self, limits: limits, deliver: deliver))
        }
      }
      .connect(host: server.host, port: server.port).get()
    await withTaskCancellationHandler {
      await withTaskGroup(of: Void.self) { group in
        group.addTask {
          // The future fails only if closing does; the connection is gone either way.
          try? await channel.closeFuture.get()
        }
        group.addTask { await self.keepAlive(channel) }
        await group.next()
        group.cancelAll()
      }
    } onCancel: {
      channel.close(promise: nil)
    }
    channel.close(promise: nil)
    lose()
  }

  private func context(_ tls: TelephonyConfiguration.TLS) throws -> NIOSSLContext {
    var configuration = TLSConfiguration.makeClientConfiguration()
    if let file = tls.trustRoots { configuration.trustRoots = .file(file) }
    if !tls.verifies { configuration.certificateVerification = .none }
    return try NIOSSLContext(configuration: configuration)
  }

  private func keepAlive(_ channel: any Channel) async {
    var silent = 0
    while !Task.isCancelled, channel.isActive {
      do { try await Task.sleep(for: configuration.pingInterval) } catch { return }
      let steps = state.withLock { $0.session?.pingIsDue() ?? [] }
      if steps.isEmpty {
        silent += 1
        // Neither up nor refused: a server that accepts and then says nothing.
        if silent >= 3, !state.withLock({ $0.isUp }) { channel.close(promise: nil) }
      }
      carryOut(steps, on: channel)
    }
  }

  // MARK: Called on the event loop

  func opened(_ channel: any Channel) {
    state.withLock { state in
      state.connections += 1
      state.channel = channel
      state.text = "logging in"
      state.session = AMISession(
        credentials: server.credentials, filters: server.filters,
        variables: [server.settings.customerVariable, server.settings.dialledVariable],
        prefix: "liaison-\(state.connections)-")
    }
  }

  func banner(_ banner: String, on channel: any Channel) {
    carryOut(state.withLock { $0.session?.bannerCame(banner) ?? [] }, on: channel)
  }

  /// Takes one message and gives what it came to.
  func take(_ message: AMIMessage, at time: Timestamp, on channel: any Channel) -> [TelephonyUpdate] {
    var updates: [TelephonyUpdate] = []
    var steps: [AMISession.Step] = []
    state.withLock { state in
      updates = state.interpreter.interpret(message, arrived: time)
      steps = state.session?.take(message) ?? []
      if !updates.isEmpty { state.lastArrivalAt = time }
    }
    if !steps.isEmpty { carryOut(steps, on: channel) }
    return updates
  }

  func giveUp(on channel: any Channel) {
    let isFirst = state.withLock { state in
      defer { state.isOverfull = true }
      return !state.isOverfull
    }
    if isFirst { logger.error("too many call events wait for Intake; the connection is closed and listed anew") }
    channel.close(promise: nil)
  }

  func lose() {
    let pending = state.withLock { state in
      state.channel = nil
      state.session = nil
      if state.isUp {
        state.isUp = false
        state.since = .now
        state.text = "connection lost"
      }
      defer { state.pending.removeAll() }
      return Array(state.pending.values)
    }
    for waiting in pending { waiting.resume(returning: .lost) }
  }

  func failed(_ error: any Error) {
    state.withLock { state in
      state.text = "\(error)"
    }
    logger.warning("no connection to the switch", metadata: ["error": .string("\(error)")])
  }

  private func carryOut(_ steps: [AMISession.Step], on channel: any Channel) {
    for step in steps {
      switch step {
      case .send(let bytes):
        channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
      case .ready:
        state.withLock { state in
          state.isUp = true
          state.isOverfull = false
          state.since = .now
          state.text = nil
        }
        logger.info("connected to the switch")
      case .reply(let id, let reply):
        state.withLock { $0.pending.removeValue(forKey: id) }?.resume(returning: .reply(reply))
      case .fail(let why):
        state.withLock { $0.text = why }
        logger.error("the switch does not serve us", metadata: ["reason": .string(why)])
        channel.close(promise: nil)
      }
    }
  }

  // MARK: Actions

  /// Sends one action and waits for its answer. Not sent at all (`nil`) if the connection is not up.
  func send(_ action: AMIAction, id wanted: String? = nil) async -> Answer? {
    let (channel, id) = state.withLock { state -> ((any Channel)?, String) in
      state.actions += 1
      guard state.isUp, state.pending.count < 1_000 else { return (nil, "") }
      let id = wanted ?? "action-\(state.connections)-\(state.actions)"
      return (state.pending[id] == nil ? state.channel : nil, id)
    }
    guard let channel else { return nil }
    return await withTaskGroup(of: Answer?.self) { group in
      group.addTask {
        await withCheckedContinuation { continuation in
          let isLost = self.state.withLock { state in
            guard state.channel != nil else { return true }
            state.pending[id] = continuation
            return false
          }
          if isLost { return continuation.resume(returning: .lost) }
          channel.writeAndFlush(ByteBuffer(bytes: action.bytes(id: id)), promise: nil)
        }
      }
      group.addTask {
        // Cancelled as soon as the answer is there.
        guard (try? await Task.sleep(for: self.configuration.actionTimeout)) != nil else { return nil }
        self.state.withLock { $0.pending.removeValue(forKey: id) }?.resume(returning: .timedOut)
        return nil
      }
      var answer: Answer?
      while let next = await group.next() {
        if let next {
          answer = next
          group.cancelAll()
        }
      }
      return answer
    }
  }
}

/// Feeds a connection's bytes to its link; confined to the event loop.
private final class AMIChannelHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let link: AMILink
  private let deliver: AMILink.Deliver
  private var decoder: AMIDecoder
  private var hasGreeted = false

  init(
    link: AMILink, limits: AMIDecoder.Limits, deliver: @escaping AMILink.Deliver
  ) {
    self.link = link
    self.deliver = deliver
    decoder = AMIDecoder(limits: limits)
  }

  func channelActive(context: ChannelHandlerContext) { link.opened(context.channel) }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let buffer = unwrapInboundIn(data)
    let channel = context.channel
    let now = Timestamp.now
    var messages: [(updates: [TelephonyUpdate], raw: [UInt8])] = []
    buffer.withUnsafeReadableBytes { bytes in
      decoder.feed(bytes) { message in
        let updates = link.take(message, at: now, on: channel)
        if !updates.isEmpty { messages.append((updates, Array(message.bytes))) }
      }
    }
    let isOverfull = !messages.isEmpty && !deliver(messages, now)
    if !hasGreeted, let banner = decoder.banner {
      hasGreeted = true
      link.banner(banner, on: channel)
    }
    if isOverfull { link.giveUp(on: channel) }
  }

  func channelInactive(context: ChannelHandlerContext) {
    link.lose()
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    link.failed(error)
    context.close(promise: nil)
  }
}

extension String {
  /// A literal address, for which TLS has no server name to send.
  fileprivate var isIPAddress: Bool {
    // An address that does not parse is a name.
    (try? SocketAddress(ipAddress: self, port: 0)) != nil
  }
}
