import Foundation
import Outbound
import Testing

@Suite struct DecisionLinesTests {
  private let good =
    #"{"id":"g","purpose":"security","candidates":["sms"],"now":"2026-03-10T10:00:00Z","addr":{"sms":{}}}"#

  private func answers(_ lines: [String]) throws -> [String] {
    var reader = try Shipped.lines()
    return lines.compactMap { line in
      switch reader.read(Array(line.utf8)) {
      case .nothing: nil
      case .bad(let id, let error): DecisionLines.answer(error: error, id: id)
      case .ready(let ready): DecisionLines.answer(ready.decision(), id: ready.id)
      }
    }
  }

  @Test func `a case is answered with all its keys`() throws {
    let sent = #"{"id":"g","decision":"send","channel":"sms","until":null,"reason":"SEND_DEFAULT","refused":{}}"#
    #expect(try answers([good]) == [sent])
  }

  @Test(arguments: [
    ("{", "line 1"), (#"{"id": "broken","purpose":"#, "broken"), ("nonsense", "line 1"), ("[]", "line 1"),
    ("null", "line 1"), ("\u{fffd}{", "line 1"),
    (#"{"id":"a"}"#, "a"), (#"{"id":7,"now":"yesterday"}"#, "7"),
    (#"{"id":"a","now":"2026-03-10T10:00:00Z","flgas":{"deceased":true}}"#, "a"),
    (#"{"id":"a","now":"2026-03-10T10:00:00Z","flags":{"deceased":"perhaps"}}"#, "a"),
    (#"{"id":"a","now":"2026-03-10T10:00:00Z","candidates":"sms"}"#, "a"),
    (#"{"id":"a","now":"2026-03-10T10:00:00Z","addr":{"sms":{"bad":"smelly"}}}"#, "a"),
    (#"{"id":"a","now":"2026-03-10T10:00:00Z","prefs":[{"v":"deny"}]}"#, "a"),
    (#"{"id":"a","now":"2026-03-10T10:00:00Z","dnd":[{"from":"25:00","to":"08:00"}]}"#, "a"),
    (#"{"id":"a","now":"2026-03-10T10:00:00Z","dnd":[{"from":"22:00","to":"08:00","days":[8]}]}"#, "a"),
    (
      #"{"id":"a","now":"2026-03-10T10:00:00Z","history":[{"ch":"sms","purpose":"care","#
        + #""at":"2026-03-10T10:00:00Z","state":"x"}]}"#,
      "a"
    ),
    ("b\ttitle", "b"), ("b\ttitle\t{\tSEND", "b"), ("b\ttitle\t", "b"),
  ])
  func `a line that cannot be read is answered with its id and an error, and the next is decided`(
    line: String, id: String
  ) throws {
    let answers = try answers([line, good])
    #expect(answers.count == 2)
    let answer = try JSONDecoder().decode([String: String].self, from: Data(answers[0].utf8))
    #expect(answer["id"] == id)
    #expect(!(answer["error"] ?? "").isEmpty)
    #expect(answers[1].contains("SEND_DEFAULT"))
  }

  @Test func `an error says where and what`() throws {
    let line = #"{"id":"a","now":"2026-03-10T10:00:00Z","prefs":[{"v":"deny","src":"customer","at":"soon"}]}"#
    #expect(try answers([line]) == [#"{"id":"a","error":"prefs.0.at: not an RFC 3339 instant: soon"}"#])
  }

  @Test func `empty lines, comments and the header are no cases, and carriage returns are no part of a line`() throws {
    let tsv = ["\u{feff}# comment\r", "", "   ", "input_json\tid\r", good + "\tT1\r"]
    #expect(
      try answers(tsv) == [
        #"{"id":"T1","decision":"send","channel":"sms","until":null,"reason":"SEND_DEFAULT","refused":{}}"#
      ])
  }

  @Test func `a profile line changes the rules for what follows`() throws {
    let text = PurposeProfileText.shippedText.replacing("\n", with: "")
      .replacing(#""security": {"order": ["sms", "phone", "email"]"#, with: #""security": {"order": ["email"]"#)
    let answers = try answers([good, "#profile\t" + text, good])
    #expect(answers.count == 2)
    #expect(answers[0].contains("SEND_DEFAULT"))
    #expect(answers[1].contains(#""sms":"CH_POLICY""#))
  }

  @Test func `after a broken profile nothing is decided by the wrong rules`() throws {
    let answers = try answers(["#profile\t{}", good])
    #expect(answers.count == 2)
    #expect(answers.allSatisfy { $0.contains("error") })
    #expect(answers[1].contains(#""id":"g""#))
  }

  @Test func `a line without bound is not read`() throws {
    let line = #"{"id":"a","title":""# + String(repeating: "x", count: DecisionLines.longestLine) + #""}"#
    #expect(try answers([line, good]).count == 2)
    #expect(try answers([line])[0].contains("longer than"))
  }

  @Test func `control characters in an id are escaped`() {
    #expect(DecisionLines.answer(error: "x", id: "a\"\\\n\u{1}") == #"{"id":"a\"\\\n\u0001","error":"x"}"#)
  }

  @Test func `every prefix of a case is answered`() throws {
    let bytes = Array(good.utf8)
    for end in 1..<bytes.count {
      let answers = try answers([String(decoding: bytes[..<end], as: UTF8.self)])
      #expect(answers.count == 1 && answers[0].contains("error"), "\(end)")
    }
  }
}
