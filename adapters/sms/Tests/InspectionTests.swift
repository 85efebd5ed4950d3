import Foundation
import Testing

@testable import SMS

@Suite struct InspectionTests {
  private func objects(_ text: String, options: Inspection.Options = .init()) throws -> [[String: Any]] {
    var out: [[String: Any]] = []
    for line in Inspection.lines(of: text, options: options) {
      let value = try JSONSerialization.jsonObject(with: Data(line.utf8))
      out.append(try #require(value as? [String: Any]))
    }
    return out
  }

  /// The comments of a recording: direction, name, length, sequence and the rest.
  private func comments(_ text: String) -> [(side: String, name: String, length: Int, sequence: Int, rest: String)] {
    text.split(separator: "\n").compactMap { line in
      guard let match = line.firstMatch(of: /^# (?:[\d.]+ )?([CS]) (\w+) len=(\d+) .*?seq=(\d+)(.*)$/),
        let length = Int(match.3), let sequence = Int(match.4)
      else { return nil }
      return (String(match.1), String(match.2), length, sequence, String(match.5))
    }
  }

  @Test(arguments: Fixtures.recordings) func `a recording decodes as its comments say`(name: String) throws {
    let text = try Fixtures.text("recordings/" + name)
    let pdus = try objects(text).filter { $0["record"] as? String == "pdu" }
    let expected = comments(text)
    for side in ["C", "S"] {
      let mine = pdus.filter { $0["direction"] as? String == side }
      let theirs = expected.filter { $0.side == side }
      #expect(mine.count == theirs.count)
      for (pdu, comment) in zip(mine, theirs) {
        #expect((pdu["command_id"] ?? pdu["Command_Id"]) as? String == comment.name)
        #expect((pdu["command_length"] ?? pdu["Total_Length"]) as? Int == comment.length)
        #expect((pdu["sequence_number"] ?? pdu["Sequence_Id"]) as? Int == comment.sequence)
        // A body the recording's own reader could not take apart either.
        if !comment.rest.contains("body=") { #expect(pdu["defects"] == nil) }
        if let id = comment.rest.firstMatch(of: /\ message_id='([^']*)'/) {
          #expect(pdu["message_id"] as? String == String(id.1))
        }
        if let report = comment.rest.firstMatch(of: /\ REPORT msg_id=(\w+) stat='(\w+)'/) {
          let receipt = pdu["receipt"] as? [String: Any]
          #expect(receipt?["id"] as? String == String(report.1))
          #expect(receipt?["stat"] as? String == String(report.2))
        }
        if let ucs2 = comment.rest.firstMatch(of: /(?:ucs2=| length=\d+ (?:udh=\w+ )?)'((?:[^'\\]|\\.)+)'/) {
          #expect(pdu["text"] as? String == unescaped(String(ucs2.1)))
        }
      }
    }
  }

  /// `\u8bf7`, `\U0001f600`, `\'` as Python writes them.
  private func unescaped(_ text: String) -> String {
    var units: [UInt16] = []
    var rest = Substring(text)
    while let character = rest.popFirst() {
      guard character == "\\", let kind = rest.popFirst() else {
        units += Array(String(character).utf16)
        continue
      }
      switch kind {
      case "u":
        units.append(UInt16(rest.prefix(4), radix: 16) ?? 0xfffd)
        rest = rest.dropFirst(4)
      case "U":
        let scalar = UInt32(rest.prefix(8), radix: 16).flatMap(Unicode.Scalar.init) ?? "\u{fffd}"
        units += Array(String(scalar).utf16)
        rest = rest.dropFirst(8)
      default: units += Array(String(kind).utf16)
      }
    }
    return String(decoding: units, as: UTF16.self)
  }

  @Test func `messages are put together and their receipts found, in whatever base`() throws {
    let long = try objects(try Fixtures.text("recordings/02-jsmpp-udh-gsm7-long.hex"))
    let message = try #require(long.first { $0["record"] as? String == "message" })
    #expect((message["text"] as? String)?.count == 265)
    #expect(message["parts"] as? Int == 2)
    #expect(message["state"] as? String == "delivered")
    let receipts = try #require(message["receipts"] as? [[String: Any]])
    #expect(receipts.map { $0["matched_by"] as? String } == ["hex_decimal", "hex_decimal"])
    #expect(receipts.map { $0["part"] as? Int } == [1, 2])
    let kannel = try objects(try Fixtures.text("recordings/30-kannel-jsmpp.hex"))
    let cut = try #require(
      kannel.first { ($0["text"] as? String)?.hasSuffix("😀😀😀") == true && $0["parts"] as? Int == 2 })
    #expect(cut["complete"] as? Bool == true)
    let cmpp = try objects(try Fixtures.text("recordings/40-cmpp30.hex"))
    let texts = cmpp.filter { $0["record"] as? String == "message" && $0["kind"] as? String == "MO" }
    #expect(texts.map { $0["text"] as? String } == ["查询信用卡账单", "我要投诉网点排队", "TD", "退订", "前半后半"])
    #expect(texts.map { $0["meaning"] as? String } == [nil, nil, "opt_out", "opt_out", nil])
    #expect(Set(texts.map { $0["from_canonical"] as? String }) == ["+8613912345678"])
  }

  @Test func `a bad length and an end within a PDU are told as errors`() throws {
    let short = try objects(try Fixtures.text("recordings/raw-bad-length-short-on-jasmin.hex"))
    #expect(short.contains { ($0["error"] as? String)?.hasPrefix("bad command_length 12") == true })
    let half = try objects(try Fixtures.text("recordings/raw-half-pdu-then-close-on-smscsim.hex"))
    #expect(half.contains { ($0["error"] as? String)?.hasPrefix("cut short") == true })
  }

  @Test func `a session cut into single octets reads the same`() throws {
    for name in ["06-jsmpp-mo-single.hex", "41-cmpp20.hex"] {
      let text = try Fixtures.text("recordings/" + name)
      var cut = ""
      for entry in Recording(text).entries {
        guard case .segment(let side, let octets) = entry.event else { continue }
        for octet in octets { cut += "\(side.rawValue) \([octet].hex)\n" }
      }
      func essence(_ objects: [[String: Any]]) -> [String] {
        objects.filter { $0["record"] as? String == "message" }.map { "\($0["text"] ?? "") \($0["submission"] ?? "")" }
      }
      #expect(essence(try objects(cut)) == essence(try objects(text)))
    }
  }

  @Test func `a password is not printed`() throws {
    let lines = Inspection.lines(of: try Fixtures.text("recordings/06-jsmpp-mo-single.hex"))
    #expect(!lines.contains { $0.contains("\"secret\"") })
  }

  @Test func `a receipt before its answer, a repeated one and one after the end are all found`() throws {
    func hex(_ pdu: SMPPPDU) -> String { pdu.encoded.hex }
    let submit = SMPPPDU(
      .submitSM, sequence: 5,
      body: .message(
        SMPPMessage(source: SMPPAddress("95588"), destination: SMPPAddress("8613800138000"), octets: [0x41])))
    func receipt(_ sequence: UInt32, _ word: String) -> SMPPPDU {
      SMPPPDU(
        .deliverSM, sequence: sequence,
        body: .message(
          SMPPMessage(
            source: SMPPAddress("8613800138000"), destination: SMPPAddress("95588"), esmClass: 4,
            octets: Array("id:0A stat:\(word) err:000".utf8))))
    }
    let answer = SMPPPDU(.submitSM.response, sequence: 5, body: .messageID("0a"))
    let text =
      "C \(hex(submit))\nS \(hex(receipt(1, "DELIVRD")))\nS \(hex(answer))\nS \(hex(receipt(2, "DELIVRD")))\n"
      + "S \(hex(receipt(3, "UNDELIV")))\nxyz\n"
    let all = try objects(text)
    let message = try #require(all.first { $0["record"] as? String == "message" })
    #expect((message["receipts"] as? [Any])?.count == 3)
    #expect(message["state"] as? String == "delivered")
    #expect(all.contains { $0["record"] as? String == "error" && $0["line"] as? Int == 6 })
  }

  @Test func `no garbage stops an inspection`() {
    var generator = SeededGenerator(seed: 5)
    for _ in 0..<300 {
      var text = ""
      for _ in 0..<Int.random(in: 0...8, using: &generator) {
        let octets = (0..<Int.random(in: 0...80, using: &generator)).map { _ in
          UInt8.random(in: 0...255, using: &generator)
        }
        text += (Bool.random(using: &generator) ? "C " : "S ") + octets.hex + "\n"
      }
      _ = Inspection.lines(of: text)
    }
  }

  @Test(
    .enabled(
      if: FileManager.default.fileExists(atPath: Fixtures.shared.appendingPathComponent("recordings/sms").path),
      "the shared recordings are not beside the package"))
  func `the shared recordings are those of this room`() throws {
    let folder = Fixtures.shared.appendingPathComponent("recordings/sms")
    for name in Fixtures.recordings {
      let shared = try String(contentsOf: folder.appendingPathComponent(name), encoding: .utf8)
      #expect(try Fixtures.text("recordings/" + name) == shared)
    }
  }
}
