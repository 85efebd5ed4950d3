import NIOCore
import NIOPosix
import SMS
import Synchronization

/// An SMSC on loopback that speaks real SMPP 3.4, for the demo, tests and benchmarks.
///
/// It takes every bind (or only one password), answers submits at once, reports them delivered a little later, and lets
/// short messages of make-believe customers be sent in. On demand it behaves badly: keeps its answers to itself,
/// throttles, hangs up. Nothing here is stored; the last 1,000 submits can be looked at.
public final class StandInSMSC: Sendable {
  public struct Behaviour: Sendable {
    /// Nil: any.
    public var password: String?
    /// False: submits are taken and never answered.
    public var answers: Bool
    /// Answers come so much later.
    public var answersAfter: Duration?
    /// More than this in a second are answered ESME_RTHROTTLED.
    public var submitsPerSecond: Int?
    /// Nil: no receipts.
    public var reportsAfter: Duration?
    /// Ids in submit_sm_resp are hexadecimal, in receipts decimal, as some SMSCs do.
    public var mixesBases: Bool
    /// Answered to every submit instead of taking it.
    public var refusesWith: SMPPStatus?

    public init(
      password: String? = nil, answers: Bool = true, answersAfter: Duration? = nil, submitsPerSecond: Int? = nil,
      reportsAfter: Duration? = .milliseconds(300), mixesBases: Bool = false, refusesWith: SMPPStatus? = nil
    ) {
      self.password = password
      self.answers = answers
      self.answersAfter = answersAfter
      self.submitsPerSecond = submitsPerSecond
      self.reportsAfter = reportsAfter
      self.mixesBases = mixesBases
      self.refusesWith = refusesWith
    }
  }

  public struct Submitted: Sendable {
    public var id: UInt64
    public var message: SMPPMessage
    public var parameters: [SMPPParameter]
  }

  fileprivate struct State {
    var behaviour: Behaviour
    var server: (any Channel)?
    var sessions: [ObjectIdentifier: NIOLoopBound<SMSCSession>] = [:]
    var submitted: [Submitted] = []
    var count = 0
    var nextID: UInt64 = 2_621_374_626
    var second: Int64 = 0
    var inSecond = 0
    var watchers: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []
  }

  fileprivate let state: Mutex<State>
  /// Told of every submit, on the session's event loop.
  private let onSubmit: (@Sendable (Submitted) -> Void)?

  public init(_ behaviour: Behaviour = Behaviour(), onSubmit: (@Sendable (Submitted) -> Void)? = nil) {
    state = Mutex(State(behaviour: behaviour))
    self.onSubmit = onSubmit
  }

  /// Submits taken so far, answered or not.
  public var count: Int { state.withLock { $0.count } }
  /// The last 1,000.
  public var submitted: [Submitted] { state.withLock { $0.submitted } }
  public func behave(_ behaviour: Behaviour) { state.withLock { $0.behaviour = behaviour } }

  /// Answers the port listened on; 0 chooses a free one.
  public func start(host: String = "127.0.0.1", port: Int = 0) async throws -> Int {
    let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(SMSCSession(smsc: self))
        }
      }
      .bind(host: host, port: port).get()
    state.withLock { $0.server = server }
    return server.localAddress?.port ?? port
  }

  public func stop() async {
    let server = state.withLock { state in
      defer { state.server = nil }
      return state.server
    }
    cut()
    // Closed twice is closed.
    try? await server?.close()
  }

  /// Hangs up on every session, without goodbye.
  public func cut() {
    let sessions = state.withLock { state in
      defer { state.sessions = [:] }
      return Array(state.sessions.values)
    }
    for session in sessions { session.execute { $0.hangUp() } }
  }

  /// Whether somebody is bound that receives.
  public var isBound: Bool { state.withLock { !$0.sessions.isEmpty } }

  /// Returns when `count` submits have been taken.
  public func waitForSubmits(_ count: Int) async {
    await withCheckedContinuation { continuation in
      let isThere = state.withLock { state in
        if state.count >= count { return true }
        state.watchers.append((count, continuation))
        return false
      }
      if isThere { continuation.resume() }
    }
  }

  /// A customer writes; answers what the ESME said, nil if none is bound that receives or it hung up.
  public func deliver(
    from: String, to: String, text: String, concatenation: Concatenation? = nil
  ) async -> SMPPStatus? {
    let septets = TextCoding.gsm7.encode(text)
    let octets = septets ?? TextCoding.ucs2.encode(text) ?? []
    let header = concatenation?.header().encoded ?? []
    return await deliver(
      SMPPMessage(
        source: SMPPAddress(ton: 1, npi: 1, from), destination: SMPPAddress(ton: 0, npi: 1, to),
        esmClass: header.isEmpty ? 0 : 0x40, dataCoding: septets == nil ? 8 : 0, octets: header + octets))
  }

  public func deliver(_ message: SMPPMessage, parameters: [SMPPParameter] = []) async -> SMPPStatus? {
    guard let session = state.withLock({ $0.sessions.values.first }) else { return nil }
    return await withCheckedContinuation { continuation in
      session.execute { $0.deliver(message, parameters) { continuation.resume(returning: $0) } }
    }
  }

  // MARK: For the sessions

  fileprivate func note(_ session: SMSCSession, on loop: any EventLoop, isBound: Bool) {
    let bound = NIOLoopBound(session, eventLoop: loop)
    state.withLock { $0.sessions[ObjectIdentifier(session)] = isBound ? bound : nil }
  }

  fileprivate var behaviour: Behaviour { state.withLock { $0.behaviour } }

  /// Nil: throttled.
  fileprivate func take(_ message: SMPPMessage, _ parameters: [SMPPParameter], second: Int64) -> UInt64? {
    let (id, ready) = state.withLock { state -> (UInt64?, [CheckedContinuation<Void, Never>]) in
      if let limit = state.behaviour.submitsPerSecond {
        if state.second != second {
          state.second = second
          state.inSecond = 0
        }
        state.inSecond += 1
        if state.inSecond > limit { return (nil, []) }
      }
      state.nextID += 1
      state.count += 1
      if state.submitted.count >= 1_000 { state.submitted.removeFirst(500) }
      state.submitted.append(Submitted(id: state.nextID, message: message, parameters: parameters))
      guard !state.watchers.isEmpty else { return (state.nextID, []) }
      let ready = state.watchers.filter { $0.count <= state.count }.map(\.continuation)
      state.watchers.removeAll { $0.count <= state.count }
      return (state.nextID, ready)
    }
    for continuation in ready { continuation.resume() }
    if let id, let onSubmit { onSubmit(Submitted(id: id, message: message, parameters: parameters)) }
    return id
  }
}

extension NIOLoopBound {
  fileprivate func execute(_ work: @escaping @Sendable (Value) -> Void) {
    eventLoop.execute { work(self.value) }
  }
}

/// One ESME's session, on its event loop.
private final class SMSCSession: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let smsc: StandInSMSC
  private var splitter = FrameSplitter(minimum: SMPPPDU.headerLength)
  private var context: ChannelHandlerContext?
  private var receives = false
  private var isBound = false
  private var sequence: UInt32 = 0
  private var delivering: [UInt32: @Sendable (SMPPStatus?) -> Void] = [:]

  init(smsc: StandInSMSC) { self.smsc = smsc }

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }
  func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

  func channelInactive(context: ChannelHandlerContext) {
    smsc.note(self, on: context.eventLoop, isBound: false)
    for (_, answer) in delivering { answer(nil) }
    delivering = [:]
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  func hangUp() { context?.close(promise: nil) }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    splitter.append(unwrapInboundIn(data).readableBytesView)
    do throws(FrameSplitter.BadLength) {
      while let frame = try splitter.next() { take(SMPPPDU(frame: frame), context) }
    } catch {
      write(SMPPPDU(.genericNack, status: .invalidCommandLength, sequence: 0))
      context.close(promise: nil)
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) { context.flush() }

  private func write(_ pdu: SMPPPDU) {
    guard let context else { return }
    let octets = pdu.encoded
    var buffer = context.channel.allocator.buffer(capacity: octets.count)
    buffer.writeBytes(octets)
    context.write(wrapOutboundOut(buffer), promise: nil)
  }

  private func take(_ pdu: SMPPPDU, _ context: ChannelHandlerContext) {
    let behaviour = smsc.behaviour
    switch pdu.command {
    case .bindTransceiver, .bindTransmitter, .bindReceiver:
      guard !isBound else { return write(SMPPPDU(pdu.command.response, status: .alreadyBound, sequence: pdu.sequence)) }
      if case .bind(let bind) = pdu.body, let wanted = behaviour.password, bind.password != wanted {
        write(SMPPPDU(pdu.command.response, status: .invalidPassword, sequence: pdu.sequence))
        context.flush()
        context.close(promise: nil)
        return
      }
      isBound = true
      receives = pdu.command != .bindTransmitter
      if receives { smsc.note(self, on: context.eventLoop, isBound: true) }
      write(
        SMPPPDU(
          pdu.command.response, sequence: pdu.sequence, body: .boundAs(systemID: "stand-in"),
          parameters: [SMPPParameter(.interfaceVersion, [0x34])]))
    case .submitSM: submit(pdu, behaviour, context)
    case .enquireLink: write(SMPPPDU(.enquireLink.response, sequence: pdu.sequence))
    case .unbind:
      write(SMPPPDU(.unbind.response, sequence: pdu.sequence))
      context.flush()
      context.close(promise: nil)
    case .deliverSM.response: delivering.removeValue(forKey: pdu.sequence)?(pdu.status)
    default:
      if !pdu.command.isResponse {
        write(SMPPPDU(.genericNack, status: .invalidCommandID, sequence: pdu.sequence))
      }
    }
  }

  private func submit(_ pdu: SMPPPDU, _ behaviour: StandInSMSC.Behaviour, _ context: ChannelHandlerContext) {
    guard isBound, case .message(let message) = pdu.body else {
      return write(SMPPPDU(.submitSM.response, status: .invalidBindStatus, sequence: pdu.sequence))
    }
    if let status = behaviour.refusesWith {
      return write(SMPPPDU(.submitSM.response, status: status, sequence: pdu.sequence))
    }
    let second = NIODeadline.now().uptimeNanoseconds / 1_000_000_000
    guard let id = smsc.take(message, pdu.parameters, second: Int64(second)) else {
      return write(SMPPPDU(.submitSM.response, status: .throttled, sequence: pdu.sequence))
    }
    guard behaviour.answers else { return }
    let written = behaviour.mixesBases ? String(id, radix: 16, uppercase: true) : String(id)
    let answer = SMPPPDU(.submitSM.response, sequence: pdu.sequence, body: .messageID(written))
    if let delay = behaviour.answersAfter {
      let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
      context.eventLoop.scheduleTask(in: TimeAmount(delay)) {
        bound.value.write(answer)
        bound.value.context?.flush()
      }
    } else {
      write(answer)
    }
    guard let delay = behaviour.reportsAfter, message.registeredDelivery & 1 == 1, receives else { return }
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    context.eventLoop.scheduleTask(in: TimeAmount(delay)) {
      bound.value.report(id, on: message)
    }
  }

  private func report(_ id: UInt64, on message: SMPPMessage) {
    let text = "id:\(id) sub:001 dlvrd:001 submit date:2611241200 done date:2611241201 stat:DELIVRD err:000 text:"
    deliver(
      SMPPMessage(
        source: message.destination, destination: message.source, esmClass: 0x04, octets: Array(text.utf8)),
      [], answer: { _ in })
    context?.flush()
  }

  func deliver(
    _ message: SMPPMessage, _ parameters: [SMPPParameter], answer: @escaping @Sendable (SMPPStatus?) -> Void
  ) {
    guard let context, isBound, receives else { return answer(nil) }
    sequence = sequence == 0x7fff_ffff ? 1 : sequence + 1
    delivering[sequence] = answer
    write(SMPPPDU(.deliverSM, sequence: sequence, body: .message(message), parameters: parameters))
    context.flush()
  }
}
