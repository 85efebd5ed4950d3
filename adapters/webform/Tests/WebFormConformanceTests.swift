import ChannelConformance
import Channels
import Testing

@testable import WebForms

/// A browser that fills in a page of its own for each number, and presses twice for a repeat.
struct WebFormHarness: ChannelHarness {
  let desk = FormDesk([FormDesk.small()]) { $0.maximumBodyBytes = 20_000 }
  var adapter: WebFormAdapter { desk.adapter }

  func deliver(_ number: Int) async throws -> PeerAnswer {
    // One token a number, the same after a repeat: what a page that was rendered once carries.
    var token = SubmissionToken(version: 1, at: desk.now - .seconds(30))
    token.nonce = [UInt8](repeating: UInt8(number), count: 12)
    token.issued = Timestamp(seconds: 1_789_999_900)
    let text = token.text(form: "note", key: FormDesk.key)
    return answer(await desk.post(FormDesk.good + [("_token", text)]))
  }

  func deliverUnreadable() async throws -> PeerAnswer? {
    answer(
      await desk.send(
        "POST", "forms/en/note", ["Content-Type": "application/json"], body: [0x7b, 0xff, 0xfe, 0x7d]))
  }

  func deliverOversize() async throws -> PeerAnswer? {
    let long = String(repeating: "a", count: 30_000)
    return answer(await desk.post(FormDesk.good + [("x", long)]))
  }

  private func answer(_ response: FormResponse) -> PeerAnswer {
    switch response.status {
    case 202: .taken
    case 503, 429: .later
    default: .refused
    }
  }
}

@Suite struct WebFormConformanceTests {
  @Test(arguments: ConformanceCheck.allCases)
  func `web forms keep the promises of a channel`(_ check: ConformanceCheck) async throws {
    try await check.verify { WebFormHarness() }
  }
}
