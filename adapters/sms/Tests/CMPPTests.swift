import Channels
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import SMS

/// A gateway written by hand: no other CMPP server can be started here, and it must be able to behave badly.
final class TestISMG: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  struct Shared: Sendable {
    var submits: [CMPPSubmit] = []
    var results: [UInt32] = []
    var authenticators: [[UInt8]] = []
  }

  private let version: CMPPPDU.Version
  private let shared: SharedBox
  private var splitter = FrameSplitter(minimum: 12)
  private var sequence: UInt32 = 100

  /// What the test looks at and sets.
  final class SharedBox: Sendable {
    let state = Mutex(Shared())
    /// The results of the next submits; empty: 0.
    let nextResults = Mutex<[UInt32]>([])
  }

  init(version: CMPPPDU.Version, shared: SharedBox) {
    self.version = version
    self.shared = shared
  }

  static func start(version: CMPPPDU.Version, shared: SharedBox) async throws -> any Channel {
    try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(TestISMG(version: version, shared: shared))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    splitter.append(unwrapInboundIn(data).readableBytesView)
    while let frame = try? splitter.next() { take(CMPPPDU(frame: frame, version: version), context) }
    context.flush()
  }

  private func write(_ pdu: CMPPPDU, _ context: ChannelHandlerContext) {
    var buffer = context.channel.allocator.buffer(capacity: 256)
    buffer.writeBytes(pdu.encoded(version: version))
    context.write(wrapOutboundOut(buffer), promise: nil)
  }

  private func take(_ pdu: CMPPPDU, _ context: ChannelHandlerContext) {
    switch pdu.body {
    case .connect(let source, let authenticator, _, let timestamp):
      shared.state.withLock { $0.authenticators.append(authenticator) }
      let honest = CMPPAuthenticator.client(source: source, secret: "secret", timestamp: timestamp)
      let status: UInt32 = honest == authenticator ? 0 : 3
      let proof = CMPPAuthenticator.gatewayCandidates(status: status, client: authenticator, secret: "secret")[0]
      write(
        CMPPPDU(
          .connect.response, sequence: pdu.sequence,
          body: .connected(status: status, authenticator: proof, version: version.rawValue)),
        context)
    case .submit(let submit):
      let result = shared.nextResults.withLock { $0.isEmpty ? 0 : $0.removeFirst() }
      shared.state.withLock {
        if result == 0 { $0.submits.append(submit) }
        $0.results.append(result)
      }
      let id = 0xbb55_a640_1234_0000 + UInt64(shared.state.withLock { $0.submits.count })
      write(
        CMPPPDU(
          .submit.response, sequence: pdu.sequence, body: .result(messageID: result == 0 ? id : 0, result: result)),
        context)
      guard result == 0, submit.registeredDelivery == 1 else { return }
      deliver(
        context,
        content: CMPPReport(
          messageID: id, state: "DELIVRD", submitTime: "2611222126", doneTime: "2611222127",
          destination: submit.destinations[0]
        ).encoded(version: version), from: submit.destinations[0], format: 0, registered: 1)
      deliver(context, content: TextCoding.gb18030.encode("我要投诉") ?? [], from: "13912345678", format: 15, registered: 0)
    default:
      if pdu.command == .activeTest {
        write(CMPPPDU(.activeTest.response, sequence: pdu.sequence, body: .reserved(0)), context)
      }
      if pdu.command == .terminate {
        write(CMPPPDU(.terminate.response, sequence: pdu.sequence), context)
        context.flush()
        context.close(promise: nil)
      }
    }
  }

  private func deliver(
    _ context: ChannelHandlerContext, content: [UInt8], from: String, format: UInt8, registered: UInt8
  ) {
    sequence += 1
    var deliver = CMPPDeliver()
    deliver.messageID = 0xcc00_0000_0000_0000 + UInt64(sequence)
    deliver.destination = "1069095588"
    deliver.source = from
    deliver.format = format
    deliver.registeredDelivery = registered
    deliver.content = content
    write(CMPPPDU(.deliver, sequence: sequence, body: .deliver(deliver)), context)
  }
}

@Suite(.timeLimit(.minutes(1))) struct CMPPTests {
  private func link(_ port: Int, version: CMPPPDU.Version, secret: String = "secret", verifies: Bool = true)
    -> SMSConfiguration.Link
  {
    SMSConfiguration.Link(
      name: "cm",
      kind: .cmpp(
        CMPPSettings(
          enterpriseCode: "900001", sharedSecret: secret, version: version, serviceID: "bank", verifiesGateway: verifies
        ),
        LinkEndpoint(host: "127.0.0.1", port: port), connections: 1),
      profile: TextProfile(signature: Signature(name: "建设银行", placement: .start), codings: [.gb18030]),
      settings: LinkSettings(
        window: 16, throttlePause: .milliseconds(50), reconnectDelay: .milliseconds(50), drainTimeout: .seconds(2)),
      defaultSender: "1069095588")
  }

  @Test(arguments: CMPPPDU.Version.allCases) func `texts, reports and messages pass a CMPP link`(
    version: CMPPPDU.Version
  ) async throws {
    let shared = TestISMG.SharedBox()
    let gateway = try await TestISMG.start(version: version, shared: shared)
    try await withAdapter([link(gateway.localAddress?.port ?? 0, version: version)]) { adapter, intake in
      try await adapter.waitUntil(.up)
      // Flow control twice, then taken: the same submission, nothing lost, nothing twice.
      shared.nextResults.withLock { $0 = [8, 8] }
      let dispatch = makeDispatch("您的账单已出。")
      guard case .accepted(let receipt) = await adapter.submit(dispatch) else {
        return #expect(Bool(false), "accepted")
      }
      #expect(receipt.peerID == "cm/bb55a64012340001")
      #expect(shared.state.withLock { $0.results } == [8, 8, 0])
      let sent = try #require(shared.state.withLock { $0.submits.first })
      #expect(sent.destinations == ["13800138000"], "without the country code")
      #expect(sent.sourceID == "1069095588")
      #expect(sent.source == "900001")
      #expect(sent.format == 15)
      #expect(TextCoding.gb18030.decode(sent.content).text == "【建设银行】您的账单已出。")
      await intake.wait { $0.count == 2 }
      let report = try #require(intake.reports.first)
      #expect(report.state == .delivered)
      #expect(report.wireIdentity == dispatch.wireIdentity)
      #expect(report.recipient?.canonical == "+8613800138000")
      #expect(intake.texts == ["我要投诉"])
      #expect(Set(intake.arrivals.compactMap(\.wireKey)) == ["cm/cc00000000000065", "cm/cc00000000000066"])

      let long = makeDispatch(String(repeating: "账", count: 100))
      guard case .accepted(let parts) = await adapter.submit(long) else { return #expect(Bool(false), "accepted") }
      #expect(parts.parts == 2)
      let cut = shared.state.withLock { $0.submits.suffix(2) }
      #expect(cut.map(\.total) == [2, 2])
      #expect(cut.map(\.number) == [1, 2])
      #expect(cut.allSatisfy { $0.headerIndicator == 1 && $0.content.count <= 140 })

      shared.nextResults.withLock { $0 = [13] }
      guard case .rejected(let fault) = await adapter.submit(makeDispatch("x")) else {
        return #expect(Bool(false), "rejected")
      }
      #expect(fault.code == .badAddress)
      #expect(fault.peerCode == "13")
    }
    try await gateway.close()
  }

  @Test func `a wrong secret is told`() async throws {
    let shared = TestISMG.SharedBox()
    let gateway = try await TestISMG.start(version: .v20, shared: shared)
    try await withAdapter([link(gateway.localAddress?.port ?? 0, version: .v20, secret: "wrong", verifies: false)]) {
      adapter, _ in
      let deadline = ContinuousClock.now + .seconds(5)
      while await adapter.health.text?.contains("authentication failed") != true, ContinuousClock.now < deadline {
        try await Task.sleep(for: .milliseconds(20))
      }
      #expect(await adapter.health.text?.contains("authentication failed") == true)
    }
    #expect(shared.state.withLock { $0.authenticators.count } == 1, "not repeated at once")
    try await gateway.close()
  }

  @Test func `the login's stamp is MMDDHHMMSS of the gateway's clock`() {
    var dialect = CMPPDialect(
      settings: CMPPSettings(enterpriseCode: "900001", sharedSecret: "secret"), wallClock: { Timestamp(seconds: 0) })
    let pdu = dialect.login(sequence: 1, at: Timestamp("2026-01-02T20:04:05Z") ?? Timestamp(seconds: 0))
    guard case .connect(let source, let proof, let version, let stamp) = pdu.body else {
      return #expect(Bool(false), "connect")
    }
    #expect(stamp == 103_040_405)
    #expect(source == "900001")
    #expect(version == 0x20)
    #expect(proof == CMPPAuthenticator.client(source: "900001", secret: "secret", timestamp: 103_040_405))
  }
}

@Suite struct SentTableTests {
  private func reading(_ id: String?, _ state: DeliveryReport.State = .delivered, other: String? = nil)
    -> ReceiptReading
  {
    ReceiptReading(
      rawID: id, otherID: other, word: nil, state: state, agreement: .textOnly, errorCode: nil, doneAt: nil,
      intermediate: false, text: nil)
  }
  private let now = Timestamp(seconds: 1_000)

  @Test func `a receipt is matched by any of its ids, as written or canonical, on its own link only`() {
    var table = SentTable()
    let rule = MessageIDRule(responses: .hexadecimal, receipts: .decimal)
    let ids = table.note(
      wireIdentity: "w", link: "a", rule: rule, ids: ["9C3F00A3"], recipient: "+1", reference: 5, inDoubt: false)
    #expect(ids == ["a/2621374627"])
    for form in [reading("2621374627"), reading("x", other: "9c3f00a3"), reading("02621374627")] {
      #expect(table.match(form, link: "a", rule: rule, recipient: "+1", reference: nil, at: now).wireIdentity == "w")
    }
    #expect(
      table.match(reading("2621374627"), link: "b", rule: rule, recipient: "+1", reference: nil, at: now).wireIdentity
        == nil)
    let stranger = table.match(reading("77"), link: "a", rule: rule, recipient: "+1", reference: nil, at: now)
    #expect(stranger.peerID == "a/77")
  }

  @Test func `a receipt that carries our reference settles a submit whose answer was lost`() {
    var table = SentTable()
    _ = table.note(
      wireIdentity: "w", link: "a", rule: MessageIDRule(), ids: [nil], recipient: "+1", reference: 5, inDoubt: true)
    #expect(
      table.match(reading("9"), link: "a", rule: MessageIDRule(), recipient: "+1", reference: 5, at: now).wireIdentity
        == "w")
    #expect(
      table.match(reading("10"), link: "a", rule: MessageIDRule(), recipient: "+2", reference: 5, at: now).wireIdentity
        == nil)
  }

  @Test func `the first final word about a part holds, and parts nobody reports are given up`() {
    var table = SentTable()
    _ = table.note(
      wireIdentity: "w", link: "a", rule: MessageIDRule(), ids: ["1", "2"], recipient: "+1", reference: 5,
      inDoubt: false)
    func match(_ id: String, _ state: DeliveryReport.State) -> DeliveryReport.State {
      table.match(reading(id, state), link: "a", rule: MessageIDRule(), recipient: "+1", reference: nil, at: now).state
    }
    #expect(match("1", .pending) == .pending)
    #expect(match("1", .delivered) == .pending)
    #expect(match("1", .undelivered) == .pending)
    #expect(table.overdue(since: now - .seconds(1)).isEmpty)
    let overdue = table.overdue(since: now)
    #expect(overdue.map(\.state) == [.unknown])
    #expect(overdue.first?.reported == 1)
    #expect(table.overdue(since: now).isEmpty)
    #expect(match("2", .delivered) == .delivered)
  }

  @Test func `no more is kept than the limit, the oldest goes`() {
    var table = SentTable(limit: 2)
    for number in 1...3 {
      _ = table.note(
        wireIdentity: "w\(number)", link: "a", rule: MessageIDRule(), ids: ["\(number)"], recipient: "+1",
        reference: nil, inDoubt: false)
    }
    #expect(table.answers(about: "w1") == nil)
    #expect(table.answers(about: "w3") == [.accepted(id: "a/3")])
    #expect(
      table.match(reading("1"), link: "a", rule: MessageIDRule(), recipient: "+1", reference: nil, at: now).wireIdentity
        == nil)
  }
}
