import ChannelConformance
import Channels
import Testing

@testable import Email

/// A mail server that delivers to the adapter by LMTP, one connection a mail.
struct EmailHarness: ChannelHarness {
  let adapter = EmailAdapter(
    settings: EmailSettings(
      name: "service", composer: .init(mailbox: "service@bank.example"), signingKeys: testKeys,
      listener: {
        var listener = MailListenerSettings(wire: .lmtp, port: 0)
        listener.maximumMessageBytes = 20_000
        return listener
      }()))

  func deliver(_ number: Int) async throws -> PeerAnswer {
    try await transfer(
      "From: kehu@example.cn\r\nMessage-ID: <\(number)@example.cn>\r\nSubject: \(number)\r\n\r\nmail \(number)\r\n")
  }

  func deliverUnreadable() async throws -> PeerAnswer? { try await transfer("\u{1}\u{2} nothing of a mail\r\n") }

  func deliverOversize() async throws -> PeerAnswer? {
    try await transfer("Subject: x\r\n\r\n" + String(repeating: String(repeating: "y", count: 70) + "\r\n", count: 400))
  }

  private func transfer(_ data: String) async throws -> PeerAnswer {
    // The suite begins when health is up; the port is bound a moment later.
    let ledger = Ledger()
    guard await ledger.wait(until: { _ in adapter.listenerPort != nil }), let port = adapter.listenerPort else {
      return .none
    }
    let peer = try Peer(port: port)
    _ = await peer.hear()
    peer.say("LHLO mx\r\n")
    _ = await peer.hearReply()
    peer.say("MAIL FROM:<kehu@example.cn>\r\nRCPT TO:<service@bank.example>\r\nDATA\r\n")
    for _ in 0..<3 { _ = await peer.hear() }
    peer.say(data + ".\r\n")
    let answer = await peer.hear()
    switch answer.first {
    case "2": return .taken
    case "4": return .later
    case "5": return .refused
    default: return .none
    }
  }
}

@Suite struct EmailConformanceTests {
  @Test(arguments: ConformanceCheck.allCases)
  func `e-mail keeps the promises of a channel`(_ check: ConformanceCheck) async throws {
    try await check.verify { EmailHarness() }
  }
}
