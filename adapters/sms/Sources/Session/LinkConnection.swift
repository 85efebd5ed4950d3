import Channels
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// Where a link's peer listens, and how its identity is proved.
public struct LinkEndpoint: Hashable, Sendable {
  public struct TLS: Hashable, Sendable {
    /// PEM file of the authorities trusted; nil: the system's.
    public var trustRoots: String?
    /// PEM files of our own certificate and key, where the peer asks for one.
    public var certificate: String?
    public var key: String?
    /// The name the certificate must bear; nil: the host's.
    public var serverName: String?
    public init(trustRoots: String? = nil, certificate: String? = nil, key: String? = nil, serverName: String? = nil) {
      self.trustRoots = trustRoots
      self.certificate = certificate
      self.key = key
      self.serverName = serverName
    }
  }

  public var host: String
  public var port: Int
  public var tls: TLS?
  public init(host: String, port: Int, tls: TLS? = nil) {
    self.host = host
    self.port = port
    self.tls = tls
  }

  /// Read anew at each connection, so that renewed certificates count without a restart.
  func sslHandler() throws -> NIOSSLClientHandler? {
    guard let tls else { return nil }
    var configuration = TLSConfiguration.makeClientConfiguration()
    if let roots = tls.trustRoots { configuration.trustRoots = .file(roots) }
    if let certificate = tls.certificate, let key = tls.key {
      configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) }
      configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
    }
    let name = tls.serverName ?? host
    let isAddress = name.utf8.allSatisfy { (0x30...0x39).contains($0) || $0 == 0x2e } || name.contains(":")
    return try NIOSSLClientHandler(
      context: try NIOSSLContext(configuration: configuration), serverHostname: isAddress ? nil : name)
  }
}

/// What a connection tells its link; called on the connection's event loop, must not block.
enum LinkEvent<PDU: Sendable>: Sendable {
  case loggedIn
  case offer(PDU, frame: [UInt8], handle: UInt64)
  case late(ticket: UInt64, part: Int, PartAnswer)
  /// Nil: ended in order.
  case ended(Fault?)
}

/// One connected `LinkSession`: the door through which async code reaches the state machine on its event loop.
///
/// Requests go into an inbox and the loop is woken once for many, so that the window is filled in batches.
final class LinkConnection<Dialect: LinkDialect>: Sendable {
  enum Request: Sendable {
    case submit(UInt64, [OutboundPart], CheckedContinuation<[PartResult], Never>)
    case query(UInt64, String, CheckedContinuation<DeliveryReport.State?, Never>)
    case cancel(UInt64)
    case answer(UInt64, LinkAnswer)
    case drain
  }

  struct Inbox {
    var requests: [Request] = []
    var isScheduled = false
    var isClosed = false
    /// As of the last run of the loop.
    var isUp = false
    var isThrottled = false
    var load = 0
  }

  let inbox = Mutex(Inbox())
  private let channel: any Channel
  private let handler: NIOLoopBound<LinkHandler<Dialect>>

  fileprivate init(channel: any Channel, handler: NIOLoopBound<LinkHandler<Dialect>>) {
    self.channel = channel
    self.handler = handler
  }

  /// Throws if no connection comes about; the login is only begun then.
  static func connect(
    to endpoint: LinkEndpoint, dialect: Dialect, settings: LinkSettings, on group: any EventLoopGroup,
    wallClock: @escaping @Sendable () -> Timestamp,
    events: @escaping @Sendable (LinkEvent<Dialect.PDU>, LinkConnection) -> Void
  ) async throws -> LinkConnection {
    let channel = try await ClientBootstrap(group: group)
      .connectTimeout(.seconds(10))
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelOption(.socketOption(.so_keepalive), value: 1)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          if let ssl = try endpoint.sslHandler() { try channel.pipeline.syncOperations.addHandler(ssl) }
        }
      }
      .connect(host: endpoint.host, port: endpoint.port).get()
    return try await channel.eventLoop.submit {
      let handler = LinkHandler(dialect: dialect, settings: settings, wallClock: wallClock, events: events)
      let connection = LinkConnection(channel: channel, handler: NIOLoopBound(handler, eventLoop: channel.eventLoop))
      handler.connection = connection
      try channel.pipeline.syncOperations.addHandler(handler)
      return connection
    }.get()
  }

  /// The result of each part in order. Cancelled: what has not left is taken back.
  func submit(_ parts: [OutboundPart], as ticket: UInt64) async -> [PartResult] {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        if !post(.submit(ticket, parts, continuation)) {
          continuation.resume(
            returning: parts.map { _ in .notSent(Fault(.connection, text: "the connection is closed")) })
        }
      }
    } onCancel: {
      // A closed connection has answered already.
      _ = post(.cancel(ticket))
    }
  }

  func query(messageID: String, as ticket: UInt64) async -> DeliveryReport.State? {
    await withCheckedContinuation { continuation in
      if !post(.query(ticket, messageID, continuation)) { continuation.resume(returning: nil) }
    }
  }

  func answer(handle: UInt64, with answer: LinkAnswer) {
    // If the connection is gone the peer will offer it again.
    _ = post(.answer(handle, answer))
  }

  func drain() { _ = post(.drain) }

  /// At once, without goodbye.
  func close() { channel.close(promise: nil) }

  /// Returns when the connection is gone.
  func closed() async {
    // The close future of a channel fails only if the close itself does; gone it is then too.
    try? await channel.closeFuture.get()
  }

  /// False if nobody will serve it.
  private func post(_ request: Request) -> Bool {
    let (open, wake) = inbox.withLock { inbox in
      guard !inbox.isClosed else { return (false, false) }
      inbox.requests.append(request)
      if case .submit(_, let parts, _) = request { inbox.load += parts.count }
      defer { inbox.isScheduled = true }
      return (true, !inbox.isScheduled)
    }
    if wake { channel.eventLoop.execute { self.handler.value.serveInbox() } }
    return open
  }
}

/// Runs a `LinkSession` in its channel's pipeline. Everything here happens on the event loop.
final class LinkHandler<Dialect: LinkDialect>: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  weak var connection: LinkConnection<Dialect>?
  private var session: LinkSession<Dialect>
  private var splitter: FrameSplitter
  private let wallClock: @Sendable () -> Timestamp
  private let events: @Sendable (LinkEvent<Dialect.PDU>, LinkConnection<Dialect>) -> Void
  private var context: ChannelHandlerContext?
  private var submissions: [UInt64: CheckedContinuation<[PartResult], Never>] = [:]
  private var queries: [UInt64: CheckedContinuation<DeliveryReport.State?, Never>] = [:]
  private var ticker: RepeatedTask?
  private var hasEnded = false

  init(
    dialect: Dialect, settings: LinkSettings, wallClock: @escaping @Sendable () -> Timestamp,
    events: @escaping @Sendable (LinkEvent<Dialect.PDU>, LinkConnection<Dialect>) -> Void
  ) {
    session = LinkSession(dialect: dialect, settings: settings)
    splitter = FrameSplitter(minimum: Dialect.headerLength, maximum: settings.maximumPDU)
    self.wallClock = wallClock
    self.events = events
  }

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    // Added to a channel that is connected already.
    if context.channel.isActive {
      begin(context)
    } else {
      end(Fault(.connection, text: "the peer closed the connection"))
    }
  }

  private func begin(_ context: ChannelHandlerContext) {
    guard ticker == nil, !hasEnded else { return }
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    ticker = context.eventLoop.scheduleRepeatedTask(initialDelay: .milliseconds(100), delay: .milliseconds(100)) { _ in
      bound.value.tick()
    }
    perform(session.connected(at: .now, wallClock: wallClock()))
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let buffer = unwrapInboundIn(data)
    splitter.append(buffer.readableBytesView)
    do throws(FrameSplitter.BadLength) {
      while let frame = try splitter.next() {
        var actions: [LinkSession<Dialect>.Action] = []
        session.received(session.dialect.decode(frame), at: .now, into: &actions)
        perform(actions, frame: frame)
        if hasEnded { return }
      }
    } catch {
      end(Fault(.protocolViolation, text: "PDU length \(error.length) is out of bounds"))
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    context.flush()
    noteState()
  }

  func channelInactive(context: ChannelHandlerContext) {
    end(Fault(.connection, text: "the peer closed the connection"))
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    end(Fault(.connection, text: "\(error)"))
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    end(Fault(.connection, text: "the connection is closed"))
    self.context = nil
  }

  func serveInbox() {
    guard let connection else { return }
    let requests = connection.inbox.withLock { inbox in
      inbox.isScheduled = false
      let taken = inbox.requests
      inbox.requests = []
      return taken
    }
    var actions: [LinkSession<Dialect>.Action] = []
    let now = ContinuousClock.now
    for request in requests {
      switch request {
      case .submit(let ticket, let parts, let continuation):
        submissions[ticket] = continuation
        session.submit(parts, as: ticket, at: now, into: &actions)
      case .query(let ticket, let id, let continuation):
        queries[ticket] = continuation
        session.query(messageID: id, as: ticket, at: now, into: &actions)
      case .cancel(let ticket): session.cancel(ticket, into: &actions)
      case .answer(let handle, let answer): session.answered(handle: handle, with: answer, into: &actions)
      case .drain: session.drain(at: now, into: &actions)
      }
    }
    perform(actions)
    context?.flush()
    noteState()
  }

  private func tick() {
    var actions: [LinkSession<Dialect>.Action] = []
    session.tick(at: .now, into: &actions)
    guard !actions.isEmpty else { return noteState() }
    perform(actions)
    context?.flush()
    noteState()
  }

  private func noteState() {
    connection?.inbox.withLock { inbox in
      inbox.isUp = session.isUp
      inbox.isThrottled = session.isThrottled
      var unserved = 0
      for case .submit(_, let parts, _) in inbox.requests { unserved += parts.count }
      inbox.load = session.unanswered + session.waiting + unserved
    }
  }

  private func perform(_ actions: [LinkSession<Dialect>.Action], frame: [UInt8] = []) {
    for action in actions {
      switch action {
      case .send(let pdu):
        guard let context else { continue }
        let octets = session.dialect.encode(pdu)
        var buffer = context.channel.allocator.buffer(capacity: octets.count)
        buffer.writeBytes(octets)
        context.write(wrapOutboundOut(buffer), promise: nil)
      case .loggedIn:
        noteState()
        tell(.loggedIn)
      case .finished(let ticket, let results): submissions.removeValue(forKey: ticket)?.resume(returning: results)
      case .late(let ticket, let part, let answer): tell(.late(ticket: ticket, part: part, answer))
      case .queried(let ticket, let state): queries.removeValue(forKey: ticket)?.resume(returning: state)
      case .offer(let pdu, let handle): tell(.offer(pdu, frame: frame, handle: handle))
      case .close(let fault):
        context?.flush()
        finish(fault)
      }
    }
    if !actions.isEmpty, frame.isEmpty { context?.flush() }
  }

  private func tell(_ event: LinkEvent<Dialect.PDU>) {
    if let connection { events(event, connection) }
  }

  private func end(_ fault: Fault) {
    guard !hasEnded else { return }
    var actions: [LinkSession<Dialect>.Action] = []
    session.disconnected(fault, into: &actions)
    perform(actions)
    finish(fault)
  }

  private func finish(_ fault: Fault?) {
    guard !hasEnded else { return }
    hasEnded = true
    ticker?.cancel()
    let left = connection?.inbox.withLock { inbox in
      inbox.isClosed = true
      inbox.isUp = false
      defer { inbox.requests = [] }
      return inbox.requests
    }
    for request in left ?? [] {
      switch request {
      case .submit(_, let parts, let continuation):
        continuation.resume(
          returning: parts.map { _ in .notSent(Fault(.connection, text: "the connection is closed")) })
      case .query(_, _, let continuation): continuation.resume(returning: nil)
      case .cancel, .answer, .drain: break
      }
    }
    // The session has answered all its own; a continuation left here would hang its caller.
    for (_, continuation) in submissions { continuation.resume(returning: []) }
    for (_, continuation) in queries { continuation.resume(returning: nil) }
    submissions = [:]
    queries = [:]
    tell(.ended(fault))
    context?.close(promise: nil)
  }
}
