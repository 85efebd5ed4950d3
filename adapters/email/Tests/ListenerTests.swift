import Channels
import Foundation
import NIOPosix
import Testing

@testable import Email

/// A mail server's end of a conversation, by hand: what no real server does on purpose. Blocking calls run on threads
/// of their own. `@unchecked Sendable`: one test speaks through one peer, one call after the other.
final class Peer: @unchecked Sendable {
  private let descriptor: Int32
  private var pending: [UInt8] = []
  init(port: Int) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    var limit = timeval(tv_sec: 60, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    let connected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard connected == 0 else { throw POSIXError(.ECONNREFUSED) }
  }
  deinit { close(descriptor) }
  func say(_ text: String) {
    _ = Array(text.utf8).withUnsafeBytes { send(descriptor, $0.baseAddress!, $0.count, Int32(MSG_NOSIGNAL)) }
  }
  /// The next line, empty at the end.
  func hear() async -> String {
    await (try? NIOThreadPool.singleton.runIfActive { self.nextLine() }) ?? ""  // the pool never stops
  }
  private func nextLine() -> String {
    while true {
      if let end = pending.firstIndex(of: 0x0a) {
        defer { pending.removeFirst(end + 1) }
        return String(decoding: pending[..<end], as: UTF8.self).trimmedBlanks
      }
      var buffer = [UInt8](repeating: 0, count: 4_096)
      let count = recv(descriptor, &buffer, buffer.count, 0)
      guard count > 0 else { return "" }
      pending += buffer[..<count]
    }
  }
  func hearReply() async -> String {
    while true {
      let line = await hear()
      if line.utf8.count < 4 || Array(line.utf8)[3] != 0x2d { return line }
    }
  }
}

@Suite struct ListenerTests {
  private func adapter(_ change: (inout MailListenerSettings) -> Void = { _ in }) -> EmailAdapter {
    var listener = MailListenerSettings(wire: .lmtp, port: 0)
    change(&listener)
    return EmailAdapter(
      settings: EmailSettings(
        name: "service", composer: .init(mailbox: "service@bank.example"), addresses: ["loans@bank.example"],
        signingKeys: testKeys, listener: listener))
  }

  private func port(of adapter: EmailAdapter, _ ledger: Ledger) async throws -> Int {
    _ = await ledger.wait { _ in adapter.listenerPort != nil }
    return try #require(adapter.listenerPort)
  }

  @Test func `a pipelined mail to two mailboxes is two arrivals, and its repetition none`() async throws {
    let adapter = adapter()
    let ledger = Ledger()
    try await running(adapter, ledger) {
      let port = try await self.port(of: adapter, ledger)
      for _ in 0..<2 {
        let peer = try Peer(port: port)
        #expect(await peer.hear().hasPrefix("220 "))
        peer.say("LHLO mx\r\n")
        #expect(await peer.hearReply().hasPrefix("250 "))
        peer.say(
          "MAIL FROM:<a@b.cn>\r\nRCPT TO:<service@bank.example>\r\nRCPT TO:<no@bank.example>\r\nRCPT TO:<loans@bank.example>\r\nDATA\r\n"
        )
        #expect(await peer.hear().hasPrefix("250 "))
        #expect(await peer.hear().hasPrefix("250 "))
        #expect(await peer.hear().hasPrefix("550 5.1.1"))
        #expect(await peer.hear().hasPrefix("250 "))
        #expect(await peer.hear().hasPrefix("354 "))
        peer.say("From: a@b.cn\r\nMessage-ID: <1@b.cn>\r\nSubject: x\r\n\r\ntext\r\n.\r\nQUIT\r\n")
        #expect(await peer.hear() == "250 2.0.0 Ok: stored")
        #expect(await peer.hear() == "250 2.0.0 Ok: stored")
        #expect(await peer.hear().hasPrefix("221 "))
      }
      #expect(await ledger.offers == 4)
      #expect(await ledger.arrivals.map { $0.to?.canonical } == ["service@bank.example", "loans@bank.example"])
    }
  }

  @Test func `one id with another content is another mail, and no mail at all stays visible`() async throws {
    let adapter = adapter()
    let ledger = Ledger()
    try await running(adapter, ledger) {
      let peer = try Peer(port: try await self.port(of: adapter, ledger))
      _ = await peer.hear()
      peer.say("LHLO mx\r\n")
      _ = await peer.hearReply()
      for data in [
        "Message-ID: <1@b.cn>\r\n\r\none\r\n", "Message-ID: <1@b.cn>\r\n\r\ntwo\r\n",
        "\u{1}\u{2} nothing of a mail\r\n",
      ] {
        peer.say("MAIL FROM:<>\r\nRCPT TO:<service@bank.example>\r\nDATA\r\n")
        for _ in 0..<3 { _ = await peer.hear() }
        peer.say(data + ".\r\n")
        #expect(await peer.hear() == "250 2.0.0 Ok: stored")
      }
      let arrivals = await ledger.arrivals
      #expect(arrivals.count == 3)
      guard case .unreadable(let reason)? = arrivals.last?.payload else {
        Issue.record("not unreadable")
        return
      }
      #expect(reason.code == "bad-mime")
      #expect(arrivals.last?.raw == Array("\u{1}\u{2} nothing of a mail\r\n".utf8))
    }
  }

  @Test func `busy is 451, too many connections 421, too large 552, and a drain says so`() async throws {
    let adapter = adapter {
      $0.maximumConnections = 1
      $0.maximumMessageBytes = 1_000
    }
    let ledger = Ledger()
    await ledger.beBusy(1)
    try await running(adapter, ledger) {
      let port = try await self.port(of: adapter, ledger)
      let peer = try Peer(port: port)
      _ = await peer.hear()
      #expect(await (try Peer(port: port)).hear().hasPrefix("421 4.3.2"))
      peer.say("LHLO mx\r\n")
      _ = await peer.hearReply()
      for (data, wanted) in [
        ("S: x\r\n\r\n", "451 4.3.0"), (String(repeating: "y", count: 2_000) + "\r\n", "552 5.3.4"),
        ("S: x\r\n\r\n", "250 "),
      ] {
        peer.say("MAIL FROM:<>\r\nRCPT TO:<service@bank.example>\r\nDATA\r\n")
        for _ in 0..<3 { _ = await peer.hear() }
        peer.say(data + ".\r\n")
        #expect(await peer.hear().hasPrefix(wanted))
      }
      adapter.beginDrain()
      #expect(await peer.hear().hasPrefix("421 4.3.2"))
    }
    #expect(await adapter.health.state == .stopped)
  }
}

@Suite struct SecureListenerTests {
  @Test func `mail comes in by SMTP under STARTTLS, and nothing without it where it is demanded`() async throws {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("tls-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    // A directory left behind under /tmp harms nobody.
    defer { try? FileManager.default.removeItem(at: directory) }
    let certificate = directory.appendingPathComponent("cert.pem").path
    let key = directory.appendingPathComponent("key.pem").path
    @Sendable func renew() throws {
      let openssl = Process()
      openssl.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
      openssl.arguments = [
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
        "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate,
      ]
      openssl.standardError = FileHandle.nullDevice
      try openssl.run()
      openssl.waitUntilExit()
    }
    try renew()
    var listener = MailListenerSettings(wire: .smtp, port: 0)
    listener.certificateFile = certificate
    listener.keyFile = key
    listener.requiresTLS = true
    let adapter = EmailAdapter(
      settings: EmailSettings(
        name: "service", composer: .init(mailbox: "service@bank.example"), signingKeys: testKeys, listener: listener))
    let ledger = Ledger()
    try await running(adapter, ledger) {
      _ = await ledger.wait { _ in adapter.listenerPort != nil }
      let port = try #require(adapter.listenerPort)
      func sender(_ tls: MailSubmissionSettings.TLS) -> EmailAdapter {
        EmailAdapter(
          settings: EmailSettings(
            name: "sender", composer: .init(mailbox: "kehu@example.cn"), signingKeys: testKeys,
            submission: MailSubmissionSettings(
              host: "localhost", port: port, tls: tls, caFile: certificate, timeoutSeconds: 60,
              transferTimeoutSeconds: 60
            )))
      }
      let open = sender(.none)
      #expect(Wanted(await open.submit(dispatch(to: "service@bank.example", adapter: open))) == .deferred)
      let secure = sender(.starttls)
      #expect(
        Wanted(await secure.submit(dispatch(to: "service@bank.example", subject: "安全", adapter: secure))) == .accepted)
      #expect(await ledger.subjects == ["安全"])
      // Renewed while it runs: who trusts the new one alone is served, and a key that is half written does no harm.
      try renew()
      let renewed = sender(.starttls)
      #expect(
        Wanted(await renewed.submit(dispatch(to: "service@bank.example", subject: "新证书", adapter: renewed)))
          == .accepted)
      try Data("-----BEGIN".utf8).write(to: URL(fileURLWithPath: key))
      #expect(
        Wanted(await renewed.submit(dispatch(to: "service@bank.example", subject: "旧证书", adapter: renewed)))
          == .accepted)
    }
  }
}
