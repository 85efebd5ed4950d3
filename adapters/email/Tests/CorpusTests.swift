import Foundation
import Testing

@testable import Email

/// The shared corpus of real and generated mail, where it is present; `MailReaderTests` has what must hold without.
private let corpus = "../shared/corpus/email"
private let hasCorpus = FileManager.default.fileExists(atPath: corpus + "/INDEX.tsv")

@Suite(.enabled(if: hasCorpus, "../shared/corpus/email is absent"))
struct CorpusTests {
  struct Row: Sendable {
    var fields: [String: String]
    subscript(name: String) -> String { fields[name] ?? "" }
  }

  static func rows() throws -> [Row] {
    let text = try String(contentsOfFile: corpus + "/INDEX.tsv", encoding: .utf8)
    let lines = text.split(separator: "\n").map { $0.split(separator: "\t", omittingEmptySubsequences: false) }
    let names = lines[0].map(String.init)
    return lines.dropFirst().map { line in
      var fields: [String: String] = [:]
      for (name, value) in zip(names, line) { fields[name] = unescaped(value) }
      return Row(fields: fields)
    }
  }

  private static func unescaped(_ field: Substring) -> String {
    var out = ""
    var escaped = false
    for character in field {
      if escaped {
        out.append(character == "t" ? "\t" : character == "n" ? "\n" : character == "r" ? "\r" : character)
        escaped = false
      } else if character == "\\" {
        escaped = true
      } else {
        out.append(character)
      }
    }
    return out
  }

  @Test func `every asserted field of every mail of the corpus is read as expected`() async throws {
    let reader = MailReader()
    var checked = 0
    for row in try Self.rows() {
      let raw = [UInt8](try Data(contentsOf: URL(fileURLWithPath: corpus + "/" + row["file"])))
      let mail = try await reader.read(raw)
      let file = row["file"]
      #expect(mail.unreadableReason == nil, "\(file)")
      #expect(mail.from == row["from"], "\(file)")
      #expect(mail.subject == row["subject"], "\(file)")
      #expect(mail.charset == row["charset"], "\(file)")
      let names = try JSONDecoder().decode([String].self, from: Data(row["attachment_names"].utf8))
      #expect(mail.attachments.map(\.name) == names, "\(file)")
      #expect(mail.attachments.count == Int(row["n_attachments"]), "\(file)")
      #expect(mail.messageID == row["message_id"], "\(file)")
      #expect(mail.inReplyTo == row["in_reply_to"], "\(file)")
      #expect(mail.references == row["references"], "\(file)")
      #expect(mail.isBounce == (row["bounce"] == "1"), "\(file)")
      #expect(mail.isAutomaticAnswer == (row["auto"] == "1"), "\(file)")
      if let range = row["notes"].range(of: "body_contains=") {
        let start = row["notes"][range.upperBound...]
        #expect(mail.text.contains(start), "\(file)")
      }
      if let range = row["notes"].range(of: "customer=") {
        let number = row["notes"][range.upperBound...].prefix { $0 != " " && $0 != ";" && $0 != "," }
        #expect(CustomerNumberClaim.find(in: mail.subject + "\n" + mail.text).contains(String(number)), "\(file)")
      }
      checked += 1
    }
    #expect(checked > 400)
  }

  @Test func `bounces name their recipients and say whether the address is dead`() async throws {
    struct Detail: Decodable {
      var rcpt: String
      var hard: Int?
    }
    let reader = MailReader()
    var named = 0
    var wrongly = 0
    var hardRight = 0
    for row in try Self.rows() where row["bounce"] == "1" && !row["bounce_details"].isEmpty {
      let details = try JSONDecoder().decode([Detail].self, from: Data(row["bounce_details"].utf8))
      let raw = [UInt8](try Data(contentsOf: URL(fileURLWithPath: corpus + "/" + row["file"])))
      let mail = try await reader.read(raw)
      if mail.bouncedRecipients.map(\.address).sorted() == details.map(\.rcpt).sorted() {
        named += 1
      } else {
        wrongly += 1
      }
      if details.allSatisfy({ $0.hard != nil }),
        details.map(\.hard) == mail.bouncedRecipients.map({ $0.isHard ? 1 : 0 })
      {
        hardRight += 1
      }
    }
    #expect(wrongly == 0)
    #expect(named > 40)
    #expect(hardRight * 10 >= named * 9)
  }

  @Test func `nine of ten replies are trimmed exactly`() throws {
    var right = 0
    var total = 0
    for name in try FileManager.default.contentsOfDirectory(atPath: corpus + "/replies/full").sorted() {
      let full = try String(contentsOfFile: corpus + "/replies/full/" + name, encoding: .utf8)
      let wanted = try String(contentsOfFile: corpus + "/replies/trimmed/" + name, encoding: .utf8)
      total += 1
      let blanks = CharacterSet.whitespacesAndNewlines
      if ReplyText.trim(full).trimmingCharacters(in: blanks) == wanted.trimmingCharacters(in: blanks) { right += 1 }
    }
    #expect(total == 64)
    #expect(right * 10 >= total * 9, "\(right) of \(total)")
  }

  /// By environment LIAISON_SLOW_TESTS=1 every prefix of the 200 smallest files and 10,000 mutations; else a part.
  @Test func `no prefix and no mutation of a mail makes the reader fail`() async throws {
    let isSlow = ProcessInfo.processInfo.environment["LIAISON_SLOW_TESTS"] != nil
    let reader = MailReader()
    var generator = SplitMix(state: 20_261_124)
    var sources: [[UInt8]] = []
    for row in try Self.rows() {
      sources.append([UInt8](try Data(contentsOf: URL(fileURLWithPath: corpus + "/" + row["file"]))))
    }
    var read = 0
    sources.sort { $0.count < $1.count }
    for source in sources.prefix(200) {
      for length in stride(from: 0, to: source.count, by: isSlow ? 1 : 47) {
        _ = try await reader.read(Array(source[..<length]))
        read += 1
      }
    }
    #expect(read > 2_000)
    for _ in 0..<(isSlow ? 10_000 : 800) {
      guard var mutated = sources.prefix(380).randomElement(using: &generator) else { break }
      for _ in 0..<Int.random(in: 1...12, using: &generator) where !mutated.isEmpty {
        let at = Int.random(in: 0..<mutated.count, using: &generator)
        switch Int.random(in: 0..<3, using: &generator) {
        case 0: mutated[at] = UInt8.random(in: 0...255, using: &generator)
        case 1: mutated.remove(at: at)
        default: mutated.insert(UInt8.random(in: 0...255, using: &generator), at: at)
        }
      }
      _ = try await reader.read(mutated)
    }
  }
}

/// A small generator with a fixed seed, so that a failing mutation can be made again. Source: Steele et al., SplitMix64.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
