import Outbound
import Testing

@Suite struct WordsTests {
  @Test(arguments: Language.allCases) func `every reason has words of its own`(language: Language) {
    let words = Reason.allCases.map { $0.words(in: language) }
    #expect(Set(words).count == Reason.allCases.count)
    #expect(words.allSatisfy { !$0.isEmpty && $0.utf8.count < 120 })
  }

  @Test func `a decision reads as a sentence`() throws {
    let decision = try Shipped.decision(
      #"{"purpose":"marketing","candidates":["email","phone"],"now":"2026-03-10T10:00:00+08:00","tz":"Asia/Shanghai","#
        + #""addr":{"phone":{},"email":{}},"prefs":[{"ch":"email","v":"deny","at":"2026-02-01T09:00:00Z","#
        + #""src":"customer"},"#
        + #"{"ch":"phone","purpose":"marketing","v":"allow","at":"2026-02-01T09:00:00Z","src":"customer"}]}"#)
    #expect(
      decision.words(in: .en)
        == "Send by phone: it is first in the purpose's order. Not by e-mail: the customer does not want it.")
    #expect(decision.words(in: .zh) == "通过电话发送：按此用途的默认顺序。不用 电子邮件：客户不愿通过该渠道接收。")
  }
}
