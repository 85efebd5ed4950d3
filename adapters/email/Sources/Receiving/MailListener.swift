import Channels
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// Settings of the listener a bank's mail server delivers to.
public struct MailListenerSettings: Sendable {
  public enum Wire: String, Sendable { case lmtp, smtp }
  public var wire: Wire
  public var host: String
  /// 0 takes a free port.
  public var port: Int
  /// The name we greet with.
  public var hostName: String
  /// PEM files; both or none. With them STARTTLS is offered; read again when they change.
  public var certificateFile: String?
  public var keyFile: String?
  public var requiresTLS: Bool
  public var maximumMessageBytes: Int
  public var maximumRecipients: Int
  /// Further connections are told 421.
  public var maximumConnections: Int
  /// Messages a minute over all connections; more is told 451. Nil: unlimited.
  public var messagesPerMinute: Int?
  /// A peer silent for so long is hung up on (RFC 5321 §4.5.3.2.7 wants five minutes).
  public var idleSeconds: Int64

  public init(
    wire: Wire, host: String = "127.0.0.1", port: Int, hostName: String = "liaison", certificateFile: String? = nil,
    keyFile: String? = nil, requiresTLS: Bool = false, maximumMessageBytes: Int = 30 << 20,
    maximumRecipients: Int = 100, maximumConnections: Int = 64, messagesPerMinute: Int? = nil, idleSeconds: Int64 = 300
  ) {
    self.wire = wire
    self.host = host
    self.port = port
    self.hostName = hostName
    self.certificateFile = certificateFile
    self.keyFile = keyFile
    self.requiresTLS = requiresTLS
    self.maximumMessageBytes = maximumMessageBytes
    self.maximumRecipients = maximumRecipients
    self.maximumConnections = maximumConnections
    self.messagesPerMinute = messagesPerMinute
    self.idleSeconds = idleSeconds
  }
}

/// LMTP or SMTP server: takes mail from the bank's server and answers each recipient only when its fate is durable.
///
/// One task per connection; while `deliver` is suspended that connection reads nothing more, so memory is bounded by
/// connections times message size. On drain the port closes at once, idle connections are told 421, messages in hand
/// are finished. The peer keeps whatever did not get a 250.
package final class MailListener: Sendable {
  package typealias Deliver =
    @Sendable (_ envelope: MailSession.Envelope, _ message: [UInt8]) async -> [MailSession.Outcome]

  private let settings: MailListenerSettings
  private let serves: @Sendable (String) -> Bool
  private let refused: @Sendable (Refusal.Code) -> Void
  private let group: any EventLoopGroup
  private let logger: Logger
  private let now: @Sendable () -> Timestamp
  private struct State {
    var port: Int?
    var connections = 0
    var draining = false
    var drain: (@Sendable () -> Void)?
    var minute: Int64 = 0
    var inMinute = 0
    /// Open connections; true while a message of theirs is in hand.
    var open: [ObjectIdentifier: (channel: any Channel, isBusy: Bool)] = [:]
  }
  private let state = Mutex(State())

  package init(
    settings: MailListenerSettings, group: any EventLoopGroup, logger: Logger, now: @escaping @Sendable () -> Timestamp,
    refused: @escaping @Sendable (Refusal.Code) -> Void = { _ in }, serves: @escaping @Sendable (String) -> Bool
  ) {
    self.refused = refused
    self.settings = settings
    self.group = group
    self.logger = logger
    self.now = now
    self.serves = serves
  }

  /// The port listened on, once `run` has bound it.
  package var port: Int? { state.withLock { $0.port } }

  package func beginDrain() {
    let (drain, idle) = state.withLock { state in
      state.draining = true
      return (state.drain, state.open.values.filter { !$0.isBusy }.map(\.channel))
    }
    drain?()
    for channel in idle {
      channel.writeAndFlush(ByteBuffer(string: "421 4.3.2 Shutting down\r\n")).whenComplete { _ in
        channel.close(promise: nil)
      }
    }
  }

  /// Serves until drained or cancelled. Throws if the port cannot be bound or the certificate not be read.
  package func run(bound: @Sendable (Int) -> Void = { _ in }, deliver: @escaping Deliver) async throws {
    var tls: ListenerCertificate?
    if let certificate = settings.certificateFile, let key = settings.keyFile {
      tls = try ListenerCertificate(certificateFile: certificate, keyFile: key, logger: logger)
    }
    let idle = settings.idleSeconds
    let server = try await ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 256)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .bind(host: settings.host, port: settings.port) { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(IdleStateHandler(readTimeout: .seconds(idle)))
          try channel.pipeline.syncOperations.addHandler(CloseWhenIdle())
          return try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
            wrappingChannelSynchronously: channel,
            configuration: .init(
              backPressureStrategy: .init(lowWatermark: 2, highWatermark: 8), isOutboundHalfClosureEnabled: true))
        }
      }
    let port = server.channel.localAddress?.port ?? settings.port
    state.withLock { $0.port = port }
    defer { state.withLock { $0.port = nil } }
    bound(port)
    let listening = server.channel
    let alreadyDraining = state.withLock { state -> Bool in
      state.drain = { listening.close(promise: nil) }
      return state.draining
    }
    if alreadyDraining { listening.close(promise: nil) }
    let context = tls
    try await withThrowingDiscardingTaskGroup { group in
      try await server.executeThenClose { connections in
        for try await connection in connections {
          group.addTask { await self.serve(connection, tls: context, deliver: deliver) }
        }
      }
    }
  }

  private func serve(_ connection: NIOAsyncChannel<ByteBuffer, ByteBuffer>, tls: ListenerCertificate?, deliver: Deliver)
    async
  {
    let admitted = state.withLock { state -> Bool in
      guard state.connections < settings.maximumConnections, !state.draining else { return false }
      state.connections += 1
      return true
    }
    defer { if admitted { state.withLock { $0.connections -= 1 } } }
    do {
      try await connection.executeThenClose { inbound, outbound in
        guard admitted else {
          try await outbound.write(ByteBuffer(string: "421 4.3.2 Too many connections, try again later\r\n"))
          return
        }
        try await converse(connection.channel, inbound, outbound, tls: tls, deliver: deliver)
      }
    } catch {
      // A peer that hangs up in the middle keeps its mail and comes again.
      logger.debug("mail connection ended", metadata: ["error": "\(error)"])
    }
  }

  private func converse(
    _ channel: any Channel, _ inbound: NIOAsyncChannelInboundStream<ByteBuffer>,
    _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>, tls: ListenerCertificate?, deliver: Deliver
  ) async throws {
    var session = MailSession(
      flavour: settings.wire == .lmtp ? .lmtp : .smtp, hostName: settings.hostName,
      limits: .init(messageBytes: settings.maximumMessageBytes, recipients: settings.maximumRecipients),
      offersTLS: tls != nil, requiresTLS: settings.requiresTLS, serves: serves)
    var lines = LineBuffer()
    let key = ObjectIdentifier(channel)
    state.withLock { $0.open[key] = (channel, false) }
    defer { state.withLock { _ = $0.open.removeValue(forKey: key) } }
    try await outbound.write(ByteBuffer(string: session.greeting))
    for try await chunk in inbound {
      lines.append(chunk)
      // Replies to pipelined commands leave in one packet.
      var replies = ""
      while let line = lines.next(isData: session.isReadingData) {
        let actions: [MailSession.Action]
        switch line {
        case .line(let bytes, let continues):
          actions =
            session.isReadingData
            ? session.data(bytes, continuesLine: continues) : session.command(LineBuffer.withoutEnd(bytes))
        case .overlong: actions = session.overlongCommand()
        }
        for action in actions {
          switch action {
          case .reply(let text): replies += text
          case .startTLS:
            guard let tls else { return }
            lines = LineBuffer()
            let reply = replies
            replies = ""
            try await Self.startTLS(channel, reply: reply, context: tls.context)
            session.secured()
          case .deliver(let envelope, let message):
            let outcomes: [MailSession.Outcome]
            if state.withLock({ !Self.admit(&$0, limit: settings.messagesPerMinute, minute: now().seconds / 60) }) {
              outcomes = envelope.recipients.map { _ in .busy }
            } else {
              state.withLock { $0.open[key]?.isBusy = true }
              outcomes = await deliver(envelope, message)
              state.withLock { $0.open[key]?.isBusy = false }
            }
            for case .reply(let text) in session.outcome(of: outcomes) { replies += text }
          case .refused(let code): refused(code)
          case .close:
            try await outbound.write(ByteBuffer(string: replies))
            return
          }
        }
      }
      if state.withLock({ $0.draining }), !session.isReadingData, !lines.hasMore {
        try await outbound.write(ByteBuffer(string: replies + "421 4.3.2 Shutting down\r\n"))
        return
      }
      if !replies.isEmpty { try await outbound.write(ByteBuffer(string: replies)) }
    }
  }

  private static func admit(_ state: inout State, limit: Int?, minute: Int64) -> Bool {
    guard let limit else { return true }
    if minute != state.minute {
      state.minute = minute
      state.inMinute = 0
    }
    state.inMinute += 1
    return state.inMinute <= limit
  }

  /// Reply and handler in one turn of the event loop: no byte of the handshake can pass between them.
  private static func startTLS(_ channel: any Channel, reply: String, context: NIOSSLContext) async throws {
    try await channel.eventLoop.submit {
      channel.writeAndFlush(ByteBuffer(string: reply), promise: nil)
      try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context), position: .first)
    }.get()
  }
}

/// Hangs up when IdleStateHandler says that the peer has been silent too long.
private final class CloseWhenIdle: ChannelInboundHandler, Sendable {
  typealias InboundIn = ByteBuffer
  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is IdleStateHandler.IdleStateEvent {
      context.close(promise: nil)
    } else {
      context.fireUserInboundEventTriggered(event)
    }
  }
}

/// Cuts a byte stream into lines; a command line is bounded, a data line is handed on in pieces when too long.
struct LineBuffer {
  enum Line {
    /// With its end. `continues` when its beginning went out before: a dot at its start is no dot at a line's start.
    case line(ArraySlice<UInt8>, continues: Bool)
    case overlong
  }
  /// RFC 5321 §4.5.3.1.4 says 512; extensions add to it.
  static let maximumCommand = 4_096
  static let maximumDataPiece = 65_536

  private var bytes: [UInt8] = []
  private var start = 0
  private var scanned = 0
  private var skipping = false
  /// A piece of an overlong data line went out: what follows is no start of a line, a dot there no end.
  private var midLine = false

  var hasMore: Bool { start < bytes.count }

  mutating func append(_ buffer: ByteBuffer) {
    if start > 0 {
      bytes.removeSubrange(..<start)
      scanned -= start
      start = 0
    }
    bytes.append(contentsOf: buffer.readableBytesView)
  }

  mutating func next(isData: Bool) -> Line? {
    while true {
      var index = max(scanned, start)
      while index < bytes.count, bytes[index] != 0x0a { index += 1 }
      scanned = index
      if index < bytes.count {
        let line = bytes[start...index]
        start = index + 1
        scanned = start
        if skipping {
          skipping = false
          return .overlong
        }
        defer { midLine = false }
        return .line(line, continues: midLine)
      }
      if isData {
        guard index - start >= Self.maximumDataPiece else { return nil }
        let line = bytes[start..<index]
        start = index
        defer { midLine = true }
        return .line(line, continues: midLine)
      }
      guard index - start > Self.maximumCommand else { return nil }
      skipping = true
      start = index
      scanned = index
      return nil
    }
  }

  static func withoutEnd(_ line: ArraySlice<UInt8>) -> [UInt8] {
    var end = line.endIndex
    if end > line.startIndex, line[end - 1] == 0x0a { end -= 1 }
    if end > line.startIndex, line[end - 1] == 0x0d { end -= 1 }
    return Array(line[line.startIndex..<end])
  }
}
