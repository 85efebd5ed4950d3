import Foundation
import Outbound
import Testing

@Suite struct WorkedCasesTests {
  private static let shared = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appending(path: "../../../shared/datasets/preference/cases.tsv").standardizedFileURL

  @Test func `every worked case is decided exactly as written`() throws {
    let expectations = try WorkedCases.expectations(in: WorkedCases.fixture)
    let answers = try WorkedCases.answers(to: WorkedCases.fixture)
    #expect(expectations.count == 78)
    for expected in expectations { #expect(answers[expected.id] == expected.answer, "\(expected)") }
  }

  @Test(.enabled(if: FileManager.default.fileExists(atPath: shared.path), "no ../shared: the copy is tested alone"))
  func `the shared cases are decided exactly as written`() throws {
    let answers = try WorkedCases.answers(to: Self.shared)
    for expected in try WorkedCases.expectations(in: Self.shared) {
      #expect(answers[expected.id] == expected.answer, "\(expected)")
    }
  }
}
