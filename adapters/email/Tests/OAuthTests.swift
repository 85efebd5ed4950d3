import Channels
import Foundation
import Synchronization
import Testing

@testable import Email

/// A mailbox server that knows one mail and takes XOAUTH2 with the right token alone, as Exchange and Gmail do; a real one
/// would need the provider behind it. One thread; ends when the test lets go of it.
private final class TokenIMAP: Sendable {
  let port: Int
  private let listener: Int32
  private struct State {
    var offered: [String] = []
    var good = ""
    var flagged = false
  }
  private let state = Mutex(State())

  init(good: String) throws {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    listener = descriptor
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, length) == 0 && listen(descriptor, 5) == 0 && getsockname(descriptor, $0, &length) == 0
      }
    }
    guard bound else { throw POSIXError(.EADDRINUSE) }
    port = Int(UInt16(bigEndian: address.sin_port))
    state.withLock { $0.good = good }
    Thread.detachNewThread { [weak self] in
      while true {
        let peer = accept(descriptor, nil, nil)
        guard peer >= 0, let self else { break }
        self.talk(peer)
        close(peer)
      }
    }
  }
  deinit {
    shutdown(listener, Int32(SHUT_RDWR))
    close(listener)
  }

  var offered: [String] { state.withLock { $0.offered } }
  var isSeen: Bool { state.withLock { $0.flagged } }

  private func talk(_ peer: Int32) {
    func say(_ text: String) {
      let bytes = Array((text + "\r\n").utf8)
      _ = send(peer, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }
    say("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready")
    var pending: [UInt8] = []
    var waiting: String?
    let mail = "From: kehu@example.cn\r\nMessage-ID: <1@x>\r\nSubject: token\r\n\r\nx\r\n"
    while true {
      guard let end = pending.firstIndex(of: 0x0a) else {
        var buffer = [UInt8](repeating: 0, count: 4_096)
        let count = recv(peer, &buffer, buffer.count, 0)
        guard count > 0 else { return }
        pending += buffer[..<count]
        continue
      }
      let line = String(decoding: pending[..<end], as: UTF8.self).trimmedBlanks
      pending.removeFirst(end + 1)
      if let tag = waiting {
        // The client has read why and gives up this try (RFC 7628 §3.2.3).
        waiting = nil
        say("\(tag) NO [AUTHENTICATIONFAILED] Invalid credentials")
        continue
      }
      let words = line.split(separator: " ").map(String.init)
      guard words.count > 1 else { return }
      let (tag, verb) = (words[0], words[1].uppercased())
      switch verb {
      case "CAPABILITY":
        say("* CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2")
        say("\(tag) OK done")
      case "AUTHENTICATE":
        let text = String(decoding: Data(base64Encoded: words.last ?? "") ?? Data(), as: UTF8.self)
        let token = text.split(separator: "\u{1}").first { $0.hasPrefix("auth=Bearer ") }?.dropFirst(12) ?? ""
        let isGood = state.withLock { state in
          state.offered.append(String(token))
          return state.good == token && text.hasPrefix("user=service@bank.example\u{1}")
        }
        if isGood {
          say("\(tag) OK in")
        } else {
          waiting = tag
          say("+ eyJzdGF0dXMiOiI0MDEifQ==")
        }
      case "SELECT":
        say("* 1 EXISTS")
        say("* OK [UIDVALIDITY 7] valid")
        say("\(tag) OK selected")
      case "UID" where words[2].uppercased() == "SEARCH":
        say(state.withLock { $0.flagged } ? "* SEARCH" : "* SEARCH 1")
        say("\(tag) OK done")
      case "UID" where line.contains("RFC822.SIZE"):
        say("* 1 FETCH (UID 1 RFC822.SIZE \(mail.utf8.count) INTERNALDATE \"24-Nov-2026 09:00:00 +0800\")")
        say("\(tag) OK done")
      case "UID" where line.contains("BODY.PEEK"):
        say("* 1 FETCH (UID 1 BODY[] {\(mail.utf8.count)}\r\n\(mail))")
        say("\(tag) OK done")
      case "UID":
        state.withLock { $0.flagged = true }
        say("\(tag) OK done")
      default: say("\(tag) OK done")
      }
    }
  }
}

@Suite struct OAuthTests {
  @Test func `a mailbox is read with XOAUTH2, and a token that has died is asked for anew`() async throws {
    let server = try TokenIMAP(good: "fresh")
    let tokens = Mutex(["stale", "fresh"])
    var mailbox = MailboxSettings(
      wire: .imap, host: "127.0.0.1", port: server.port, tls: .none, user: "service@bank.example",
      address: "service@bank.example", pollSeconds: 1)
    mailbox.accessToken = {
      tokens.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] }
    }
    let adapter = EmailAdapter(
      settings: EmailSettings(
        name: "service", composer: .init(mailbox: "service@bank.example"), signingKeys: testKeys, mailboxes: [mailbox]))
    let ledger = Ledger()
    try await running(adapter, ledger) {
      #expect(await ledger.wait { await $0.subjects == ["token"] })
      #expect(await ledger.wait { _ in server.isSeen })
    }
    #expect(server.offered == ["stale", "fresh"])
    #expect(await ledger.arrivals.first?.waitingSince == Timestamp("2026-11-24T01:00:00Z"))
  }
}
