import Foundation
import Telephony
import Testing

@Suite struct RecordingTests {
  @Test(arguments: Fixtures.recorded)
  func `a recording gives what is asserted of it`(name: String) throws {
    let calls = Fixtures.inspect([try Fixtures.bytes("recorded/\(name).ami")])
    let expected = Fixtures.own.appendingPathComponent("recorded/\(name).expected.json")
    #expect(try Fixtures.differences(expected, calls, exactTimes: false) == [])
  }

  @Test(.enabled(if: Fixtures.hasShared), arguments: Fixtures.whole)
  func `the whole recording with its timing file gives it too, also in pieces of seven bytes`(name: String) throws {
    let bytes = Array(try Data(contentsOf: Fixtures.shared.appendingPathComponent("\(name).ami")))
    let timing = try String(contentsOf: Fixtures.shared.appendingPathComponent("\(name).timing"), encoding: .utf8)
    let expected = Fixtures.shared.appendingPathComponent("\(name).expected.json")
    for piece in [nil, 7] {
      let calls = Fixtures.inspect([bytes], timing: timing, piece: piece)
      #expect(try Fixtures.differences(expected, calls, exactTimes: true) == [])
    }
  }

  @Test(arguments: Fixtures.laboratory)
  func `a laboratory session gives the calls that were made`(name: String) throws {
    let files = Fixtures.names(Fixtures.own.appendingPathComponent("laboratory"), ".ami")
      .filter { $0 == name || $0.hasPrefix("\(name)-") }
      .map { "laboratory/\($0).ami" }
    var inspection = TelephonyInspection()
    for file in files { inspection.add(try Fixtures.bytes(file)) }
    let golden = try String(
      contentsOf: Fixtures.own.appendingPathComponent("laboratory/\(name).calls.ndjson"), encoding: .utf8)
    #expect(inspection.lines() == golden.split(separator: "\n").map(String.init))
    #expect(inspection.liveLegs == 0)
  }

  @Test func `all recordings interleaved give the same calls as each alone`() throws {
    // Messages of all sessions in the order of their place in their own session, one of each in turn.
    var sessions: [[[UInt8]]] = []
    var alone: [String: String] = [:]
    for name in Fixtures.recorded where !name.hasPrefix("11") && !name.hasPrefix("12") && !name.hasPrefix("08") {
      let bytes = try Fixtures.bytes("recorded/\(name).ami")
      var messages: [[UInt8]] = []
      var decoder = AMIDecoder()
      decoder.feed(bytes) { message in
        if message.kind == .event, !(message.name == "FullyBooted") { messages.append(Array(message.bytes)) }
      }
      sessions.append(messages)
      for call in Fixtures.inspect([bytes]) {
        alone[call[text: "call_id"] ?? ""] = "\(call.offers) \(call[list: "agents"]) \(call[text: "disposition"] ?? "")"
      }
    }
    var mixed: [UInt8] = []
    for index in 0..<(sessions.map(\.count).max() ?? 0) {
      for messages in sessions where index < messages.count { mixed += messages[index] + Array("\r\n\r\n".utf8) }
    }
    var together: [String: String] = [:]
    for call in Fixtures.inspect([mixed]) {
      together[call[text: "call_id"] ?? ""] =
        "\(call.offers) \(call[list: "agents"]) \(call[text: "disposition"] ?? "")"
    }
    #expect(alone.count > 10)
    #expect(together == alone)
  }
}
