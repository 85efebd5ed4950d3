import Channels
import ContactModel

/// The customers, agents and queues of a small invented bank. The same every time; nobody in it exists.
///
/// Mobile numbers lie in unassigned ranges (DOMAIN's data sets use the same), mailboxes end in `.example`, identity
/// numbers have right check digits and unassigned county codes.
public enum DemoBank {
  public struct Person: Sendable, Hashable {
    public var customer: Customer
    public var identityNo: String
    public var birthDate: String
    public var phone: String
    public var email: String
    public var account: String
    /// Of every fourth customer.
    public var fax: String?
  }

  public static let agents: [(id: AgentID, name: String, device: String)] = [
    (AgentID("1001")!, "李静", "PJSIP/1001"), (AgentID("1002")!, "王磊", "PJSIP/1002"),
    (AgentID("1003")!, "Anna Keller", "PJSIP/1003"),
  ]

  /// `count` customers from number 7000001 on.
  public static func customers(_ count: Int) -> [Person] {
    var random = SplitMix64(state: 20_261_124)
    return (1...count).map { person(number: 7_000_000 + $0, &random) }
  }

  private static func person(number: Int, _ random: inout SplitMix64) -> Person {
    let isChinese = Int.random(in: 0..<100, using: &random) < 80
    let name: String
    if isChinese {
      let given = (0..<Int.random(in: 1...2, using: &random)).map { _ in pick(givenZh, &random) }.joined()
      name = pick(surnamesZh, &random) + given
    } else {
      name = pick(givenEn, &random) + " " + pick(surnamesEn, &random)
    }
    let year = Int.random(in: 1948...2004, using: &random)
    let month = two(Int.random(in: 1...12, using: &random))
    let day = two(Int.random(in: 1...28, using: &random))
    let serial = String(String(Int.random(in: 1_000...1_999, using: &random)).dropFirst())
    let stem = "990199\(year)\(month)\(day)\(serial)"
    let mobile = "+86100\(String(10_000_000 + number % 90_000_000))"
    let level = Int.random(in: 0..<100, using: &random) < 5 ? 1 : Int.random(in: 3...7, using: &random)
    return Person(
      customer: Customer(
        customerNo: CustomerNumber(String(number))!, type: Code("retail")!, level: level, name: name,
        language: isChinese ? "zh-Hans" : "en", manager: level == 1 ? agents[number % agents.count].id : nil),
      identityNo: stem + checkDigit(stem), birthDate: "\(year)-\(month)-\(day)", phone: mobile,
      email: "c\(number)@mail.example", account: "6299\(String(100_000_000_000 + number * 7_919))",
      fax: number % 4 == 0 ? "+86105\(String(5_000_000 + number % 1_000_000))" : nil)
  }

  /// GB 11643: ISO 7064 MOD 11-2.
  private static func checkDigit(_ stem: String) -> String {
    let sum = stem.utf8.reduce(0) { ($0 + Int($1 - 0x30)) * 2 % 11 }
    let check = (12 - sum) % 11
    return check == 10 ? "X" : String(check)
  }
}

/// A small generator whose sequence is fixed by its seed (Vigna, "SplitMix64").
public struct SplitMix64: RandomNumberGenerator, Sendable {
  private var state: UInt64
  public init(state: UInt64) { self.state = state }
  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z >> 31
  }
}

private func two(_ value: Int) -> String { value < 10 ? "0\(value)" : String(value) }
private func pick(_ words: [String], _ random: inout SplitMix64) -> String {
  words[Int.random(in: 0..<words.count, using: &random)]
}
private let surnamesZh = "王 李 张 刘 陈 杨 赵 黄 周 吴 徐 孙 胡 朱 高 林 何 郭 马 罗 梁 宋 郑 谢 韩 唐 冯 于 董 萧".split(
  separator: " "
).map(String.init)
private let givenZh = "伟 芳 娜 秀 敏 静 丽 强 磊 军 洋 勇 艳 杰 娟 涛 明 超 兰 霞 平 刚 桂 文 辉 玲 鑫 宇 晨 佳".split(separator: " ")
  .map(String.init)
private let surnamesEn = "Meier Keller Frei Brunner Steiner Widmer Roth Huber Schmid Baumann Gerber Moser".split(
  separator: " "
).map(String.init)
private let givenEn = "Anna Beat Lea Urs Eva Max Nina Paul Rita Simon Tom Vera".split(separator: " ").map(String.init)
