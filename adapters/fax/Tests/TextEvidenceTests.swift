import Testing

@testable import Fax

@Suite struct TextEvidenceTests {
  @Test(arguments: [
    ("客户号：C-20418837，请尽快挂失", ["C-20418837", "20418837"]),
    ("Customer No. 30077125\n电话 01055550199", ["30077125"]),
    ("客户编号 (C-20418837)", ["C-20418837", "20418837"]),
    ("客户编号：#-00092014", ["00092014"]),
    ("客户号：123", []), ("账号 6222020200012345678", []), ("客户号：", []), ("", []),
    ("客户号 ABCDE12345", []),
  ])
  func `only a number behind the word for it is evidence`(text: String, numbers: [String]) {
    #expect(TextEvidence.customerNumbers(in: text) == numbers)
  }

  @Test func `a page full of numbers gives a handful`() {
    let page = (0..<1_000).map { "客户号：\(10_000_000 + $0)\n" }.joined()
    #expect(TextEvidence.customerNumbers(in: page).count == TextEvidence.most)
  }
}
