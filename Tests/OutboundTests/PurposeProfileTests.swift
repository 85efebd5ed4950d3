import Foundation
import Outbound
import Testing
import Yams

@Suite struct PurposeProfileTests {
  private static let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appending(path: "../../config/params/purpose-profile.yaml").standardizedFileURL

  @Test func `the shipped profile, the parameter file and the worked cases say the same`() throws {
    let shipped = try Shipped.profile()
    let yaml = try YAMLDecoder().decode(
      PurposeProfileText.self, from: try String(contentsOf: Self.file, encoding: .utf8))
    #expect(try yaml.profile(version: "shipped", zones: Shipped.zones) == shipped)
    let line = try #require(try WorkedCases.lines(of: WorkedCases.fixture).first)
    let text = try JSONDecoder().decode(PurposeProfileText.self, from: Data(line.dropFirst("#profile\t".utf8.count)))
    #expect(try text.profile(version: "shipped", zones: Shipped.zones) == shipped)
  }

  @Test(arguments: [
    (#""horizon_days": 35"#, #""horizon_days": 0"#, "horizon_days"),
    (#""critical": ["security", "regulatory"]"#, #""critical": ["securty"]"#, "no such purpose"),
    (#""channels": ["phone", "sms", "email", "fax"]"#, #""channels": ["phone", "sms", "email"]"#, "fax"),
    (#""from": "09:00""#, #""from": "9:00""#, "not a time"),
    (#""from": "09:00", "to": "20:00""#, #""from": "09:00", "to": "09:00""#, "not a window"),
    (#""opt_in": true"#, #""optin": true"#, "unknown key"),
    (#""unknown_tz": ["Asia/Shanghai"]"#, #""unknown_tz": ["Asia/Beijing"]"#, "unknown_zone"),
    (#""unknown_tz": ["Asia/Shanghai"]"#, #""unknown_tz": []"#, "no zone"),
    (#""n": 7, "hours": 168"#, #""n": 7"#, "hours"),
    (#""kind": "statutory""#, #""kind": "law""#, "kind"),
  ])
  func `a profile that says nonsense is not taken`(from: String, to: String, error: String) throws {
    let text = PurposeProfileText.shippedText.replacing(from, with: to)
    #expect(text != PurposeProfileText.shippedText)
    var lines = try Shipped.lines()
    let line = "#profile\t" + text.replacing("\n", with: "")
    guard case .bad(let id, let message) = lines.read(Array(line.utf8)) else {
      Issue.record("taken")
      return
    }
    #expect(id == "#profile")
    #expect(message.contains(error), "\(message)")
  }
}
