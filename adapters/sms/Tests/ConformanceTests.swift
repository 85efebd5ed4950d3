import ChannelConformance
import Channels
import Demo
import Logging
import Testing

@testable import SMS

/// The promises of a channel, held on the SMPP link against a stand-in SMSC and on Kannel's callbacks.
@Suite struct ConformanceTests {
  @Test(arguments: ConformanceCheck.allCases)
  func `the SMPP link keeps the promises of a channel`(_ check: ConformanceCheck) async throws {
    try await check.verify { try await SMPPHarness() }
  }

  @Test(arguments: ConformanceCheck.allCases)
  func `Kannel's callbacks keep the promises of a channel`(_ check: ConformanceCheck) async throws {
    try await check.verify { KannelHarness() }
  }
}

private func makeAdapter(_ link: SMSConfiguration.Link) -> SMSAdapter {
  SMSAdapter(
    channel: ContactChannel(kind: .sms, name: "sms"),
    configuration: SMSConfiguration(links: [link], callbackSecret: "a-long-secret-path"),
    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, wallClock: { TestClock.now })
}

private struct SMPPHarness: ChannelHarness {
  let adapter: SMSAdapter
  private let smsc: StandInSMSC

  init() async throws {
    smsc = StandInSMSC()
    adapter = makeAdapter(smppLink(port: try await smsc.start()))
  }

  var wireNamesArrivals: Bool { false }

  private func deliver(_ message: SMPPMessage) async throws -> PeerAnswer {
    // After a cancelled run the SMSC may still hold the old session: it finds out and takes the new one.
    for _ in 0..<50 {
      switch await smsc.deliver(message) {
      case .ok?: return .taken
      case .messageQueueFull?: return .later
      case .some: return .refused
      case nil: try await Task.sleep(for: .milliseconds(20))
      }
    }
    return .none
  }

  func deliver(_ number: Int) async throws -> PeerAnswer {
    try await deliver(
      SMPPMessage(
        source: SMPPAddress(ton: 1, npi: 1, "8613912345678"), destination: SMPPAddress("95588"),
        octets: Array("message \(number)".utf8)))
  }

  func deliverUnreadable() async throws -> PeerAnswer? {
    try await deliver(
      SMPPMessage(
        source: SMPPAddress("8613912345678"), destination: SMPPAddress("95588"), esmClass: 0x40, octets: [200, 0, 3]))
  }

  func close() async { await smsc.stop() }
}

private struct KannelHarness: ChannelHarness {
  let adapter = makeAdapter(
    SMSConfiguration.Link(
      name: "kannel",
      kind: .kannel(KannelSettings(sendURL: "http://127.0.0.1:1/", username: "u", password: "p"))))

  private func call(_ query: String) async -> PeerAnswer {
    let response = await adapter.receive(
      CallbackRequest(method: "GET", path: "/sms/a-long-secret-path/mo", query: query, sourceAddress: "127.0.0.1"))
    switch response.status {
    case 200: return .taken
    case 503: return .later
    default: return .refused
    }
  }

  func deliver(_ number: Int) async throws -> PeerAnswer {
    await call("from=%2B8613912345678&to=95588&text=message+\(number)&charset=UTF-8&coding=0&id=id-\(number)")
  }

  func deliverUnreadable() async throws -> PeerAnswer? { await call("to=95588&text=x&id=broken") }
}
