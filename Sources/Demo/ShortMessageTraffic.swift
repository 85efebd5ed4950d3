import ContactModel
import SMS

/// What the demo's customers write in short messages.
public struct ShortMessageTraffic: Sendable {
  public struct Message: Sendable {
    /// Digits with the country code, as an SMSC writes them.
    public var from: String
    /// In the order in which they are sent; more than one for a long message.
    public var parts: [(text: String, concatenation: Concatenation?)]
  }
  private var random = SplitMix64(state: 11)
  private var reference: UInt16 = 0
  private let people: [DemoBank.Person]

  public init(people: [DemoBank.Person]) { self.people = people }

  /// The next: questions, a keyword command, now and then a stop, every eighth long, every sixth from a stranger.
  public mutating func next() -> Message {
    let person = people[Int.random(in: 0..<people.count, using: &random)]
    let isZh = person.customer.language == "zh-Hans"
    let isStranger = Int.random(in: 0..<6, using: &random) == 0
    let from = isStranger ? "8610099999\(Int.random(in: 100...999, using: &random))" : String(person.phone.dropFirst())
    switch Int.random(in: 0..<8, using: &random) {
    case 0: return Message(from: from, parts: [(isZh ? "余额" : "YE", nil)])
    case 1: return Message(from: from, parts: [(isZh ? "退订" : "STOP", nil)])
    case 2:
      reference &+= 1
      let texts =
        isZh
        ? [
          "您好，我的信用卡昨天在境外有一笔消费我不认识，金额三百二十元，时间是晚上十一点左右。我本人当时在家里，卡也在身边，没有借给别人。请帮我查一下这笔交易，",
          "如果是盗刷请先冻结这张卡，并回电告诉我需要办什么手续。谢谢。",
        ]
        : [
          "Hello, there is a card payment of 320.00 yesterday at eleven in the evening that I do not know. I was at home and the card was with me all the time. Please look ",
          "into it, block the card if it was stolen, and call me back.",
        ]
      let parts = texts.enumerated().map { index, text in
        (
          text: text,
          concatenation: Concatenation(
            reference: reference & 0xff, wide: false, total: 2, number: UInt8(index + 1))
        )
      }
      // The network brings parts in any order.
      return Message(from: from, parts: Bool.random(using: &random) ? parts : parts.reversed())
    case 3, 4:
      return Message(from: from, parts: [(isZh ? "请问三年期定期存款的利率是多少？" : "What is the rate for three years?", nil)])
    default:
      return Message(from: from, parts: [(isZh ? "请把上个月的对账单发给我" : "Please send me last month's statement {pdf}", nil)])
    }
  }
}
