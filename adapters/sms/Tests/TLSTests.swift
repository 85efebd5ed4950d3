import Channels
import Demo
import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import Testing

@testable import SMS

/// Ends TLS and passes the octets on: what stands in front of an SMSC that speaks plainly.
private final class TLSFront: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let port: Int
  private var upstream: (any Channel)?
  private var pending: [ByteBuffer] = []

  init(port: Int) { self.port = port }

  static func start(_ context: NIOSSLContext, before port: Int) async throws -> any Channel {
    try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
          try channel.pipeline.syncOperations.addHandler(TLSFront(port: port))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
  }

  func handlerAdded(context: ChannelHandlerContext) {
    let front = context.channel
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    ClientBootstrap(group: context.eventLoop)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Back(front: front)) }
      }
      .connect(host: "127.0.0.1", port: port)
      .whenSuccess { channel in
        bound.value.upstream = channel
        for buffer in bound.value.pending { channel.writeAndFlush(buffer, promise: nil) }
        bound.value.pending = []
      }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let buffer = unwrapInboundIn(data)
    if let upstream { upstream.writeAndFlush(buffer, promise: nil) } else { pending.append(buffer) }
  }

  func channelInactive(context: ChannelHandlerContext) { upstream?.close(promise: nil) }
  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  private final class Back: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let front: any Channel
    init(front: any Channel) { self.front = front }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      front.writeAndFlush(unwrapInboundIn(data), promise: nil)
    }
    func channelInactive(context: ChannelHandlerContext) { front.close(promise: nil) }
  }
}

@Suite(
  .timeLimit(.minutes(1)),
  .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/openssl"), "openssl is not installed"))
struct TLSTests {
  @Test func `a link over TLS checks whom it talks to`() async throws {
    let folder = RealPeer.temporaryFolder("tls")
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let key = folder + "/key.pem"
    let certificate = folder + "/certificate.pem"
    try await RealPeer.run([
      "/usr/bin/openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days",
      "2", "-subj", "/CN=smsc.test", "-addext", "subjectAltName=DNS:smsc.test",
    ])
    let server = TLSConfiguration.makeServerConfiguration(
      certificateChain: try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) },
      privateKey: .privateKey(try NIOSSLPrivateKey(file: key, format: .pem)))
    let smsc = StandInSMSC(.init(reportsAfter: nil))
    let front = try await TLSFront.start(try NIOSSLContext(configuration: server), before: try await smsc.start())
    func link(_ name: String) -> SMSConfiguration.Link {
      var link = smppLink(port: 0)
      link.kind = .smpp(
        SMPPSettings(systemID: "liaison", password: "p"),
        LinkEndpoint(
          host: "127.0.0.1", port: front.localAddress?.port ?? 0,
          tls: .init(trustRoots: certificate, serverName: name)), binds: [.transceiver])
      return link
    }
    try await withAdapter([link("smsc.test")]) { adapter, intake in
      try await adapter.waitUntil(.up)
      guard case .accepted = await adapter.submit(makeDispatch("x")) else { return #expect(Bool(false), "accepted") }
      #expect(await smsc.deliver(from: "8613912345678", to: "95588", text: "YE") == .ok)
      #expect(intake.texts == ["YE"])
    }
    try await withAdapter([link("another.test")]) { adapter, _ in
      let deadline = ContinuousClock.now + .seconds(5)
      while await adapter.health.text?.lowercased().contains("certificate") != true, ContinuousClock.now < deadline {
        try await Task.sleep(for: .milliseconds(20))
      }
      let health = await adapter.health
      #expect(health.state == .down)
      #expect(health.text?.lowercased().contains("certificate") == true, "\(health.text ?? "")")
      #expect(smsc.count == 1)
    }
    try await front.close()
    await smsc.stop()
    try FileManager.default.removeItem(atPath: folder)
  }
}
