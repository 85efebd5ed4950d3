import Channels
import Foundation
import Store
import Synchronization
import Testing

@testable import liaison

/// A token server: each request gets the next of its answers and is kept.
private final class TokenServer: Sendable {
  let port: Int
  private let listener: Int32
  private let state: Mutex<(answers: [String], asked: [String])>

  init(_ answers: [String]) throws {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    listener = descriptor
    state = Mutex((answers, []))
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
    Thread.detachNewThread { [weak self] in
      while true {
        let peer = accept(descriptor, nil, nil)
        guard peer >= 0, let self else { break }
        self.answer(peer)
        close(peer)
      }
    }
  }
  deinit {
    shutdown(listener, Int32(SHUT_RDWR))
    close(listener)
  }
  var asked: [String] { state.withLock { $0.asked } }

  private func answer(_ peer: Int32) {
    var text = ""
    var buffer = [UInt8](repeating: 0, count: 8_192)
    while true {
      if let head = text.range(of: "\r\n\r\n") {
        let length = text.lowercased().range(of: "content-length: ").map {
          text[$0.upperBound...].prefix { $0.isNumber }
        }
        if text[head.upperBound...].utf8.count >= Int(length ?? "0") ?? 0 { break }
      }
      let count = recv(peer, &buffer, buffer.count, 0)
      guard count > 0 else { return }
      text += String(decoding: buffer[..<count], as: UTF8.self)
    }
    let body = text.components(separatedBy: "\r\n\r\n").last ?? ""
    let reply = state.withLock { state in
      state.asked.append(body)
      return state.answers.isEmpty ? "" : state.answers.removeFirst()
    }
    let status = reply.isEmpty ? "400 Bad Request" : "200 OK"
    let content = reply.isEmpty ? #"{"error":"invalid_grant"}"# : reply
    let bytes = Array(
      "HTTP/1.1 \(status)\r\nContent-Type: application/json\r\nContent-Length: \(content.utf8.count)\r\nConnection: close\r\n\r\n\(content)"
        .utf8)
    _ = send(peer, bytes, bytes.count, Int32(MSG_NOSIGNAL))
  }
}

@Suite struct OAuthTokensTests {
  @Test func `a rotated refresh token is sealed in the store, survives a restart, and gives way to a new one by hand`()
    async throws
  {
    let file = NSTemporaryDirectory() + "liaison-oauth-\(UUID().uuidString).db"
    let database = try Database.open(StoreURL("sqlite://\(file)"), migrations: migrations, now: Timestamp(seconds: 0))
    let server = try TokenServer([
      #"{"access_token":"a1","expires_in":3600,"refresh_token":"rotated-1"}"#,
      #"{"access_token":"a2","expires_in":3600}"#, #"{"access_token":"a3","expires_in":3600}"#,
    ])
    let clock = Mutex(Timestamp(seconds: 1_790_000_000))
    let channel = ContactChannel(kind: .email, name: "mail")
    @Sendable func tokens(_ refresh: String) -> OAuthTokens {
      OAuthTokens(
        OAuthGrant(
          tokenURL: "http://127.0.0.1:\(server.port)/token", clientID: "liaison", clientSecret: "s&=1",
          refreshToken: refresh, scope: nil), mailbox: "imap://service", channel: channel, database: database,
        key: Array(repeating: 7, count: 32), now: { clock.withLock { $0 } })
    }
    let first = tokens("r0")
    #expect(try await first.access() == "a1")
    #expect(try await first.access() == "a1")
    #expect(server.asked.count == 1)
    #expect(server.asked[0].contains("refresh_token=r0") && server.asked[0].contains("client_secret=s%26%3D1"))
    let kept = try await database.read { try $0.one("SELECT value FROM channel_cursor", []).text("value") }
    #expect(!kept.contains("rotated-1"))
    // Another life of the daemon.
    #expect(try await tokens("r0").access() == "a2")
    #expect(server.asked[1].contains("refresh_token=rotated-1"))
    // The operator put a new grant into the configuration.
    #expect(try await tokens("r9").access() == "a3")
    #expect(server.asked[2].contains("refresh_token=r9"))
    // An hour later the token is asked for anew; the server refuses, and says so.
    clock.withLock { $0 = $0 + .seconds(3_600) }
    await #expect(throws: OAuthTokens.Failure.self) { try await first.access() }
    await database.close()
  }
}
