import Channels
import ContactModel
import Fax

/// What the demo's customers fax: loss reports, changes of address and questions, typed and signed.
public struct FaxTraffic: Sendable {
  public struct Letter: Sendable {
    public var caller: StandInHylaFAX.Caller
    public var dialled: String
    public var text: String
    /// What the journal says when the line broke.
    public var error: String
  }
  /// The bank's fax number.
  public static let number = "+861055550100"
  private var random = SplitMix64(state: 11)
  private let people: [DemoBank.Person]

  public init(people: [DemoBank.Person]) { self.people = people.filter { $0.fax != nil } }

  /// The next one: of a customer who has a fax; every seventh breaks off, every fifth comes from an unknown number.
  public mutating func next() -> Letter? {
    guard let person = people.randomElement(using: &random), let fax = person.fax else { return nil }
    let isZh = person.customer.language == "zh-Hans"
    let number = person.customer.customerNo
    let name = person.customer.name
    let text: String
    switch Int.random(in: 0..<3, using: &random) {
    case 0:
      text =
        isZh
        ? "挂失申请\n\n客户号：\(number)\n姓名：\(name)\n\n本人的银行卡于昨日丢失，请立即办理挂失，并请回电确认。\n\n此致\n\(name)"
        : "Report of a lost card\n\nCustomer No: \(number)\nName: \(name)\n\nMy card is a lost card since yesterday. Please "
          + "block it at once and confirm by telephone.\n\n\(name)"
    case 1:
      text =
        isZh
        ? "地址变更\n\n客户号：\(number)\n姓名：\(name)\n\n我已搬家，请将通信地址更改为新地址：北京路18号1203室。\n\n\(name)"
        : "Change of address\n\nCustomer No: \(number)\nName: \(name)\n\nI have moved house. My new address is 18 Bank Road, "
          + "flat 1203.\n\n\(name)"
    default:
      text =
        isZh
        ? "账单\n\n客户号：\(number)\n\n请将上月的对账单传真至本号码。\n\n\(name)"
        : "Statement\n\nCustomer No: \(number)\n\nPlease fax last month's statement to this number.\n\n\(name)"
    }
    let isUnknown = Int.random(in: 0..<5, using: &random) == 0
    let isBroken = Int.random(in: 0..<7, using: &random) == 0
    let caller = isUnknown ? "+861055999\(Int.random(in: 100...999, using: &random))" : fax
    return Letter(
      caller: .init(number: caller, station: caller), dialled: Self.number, text: text,
      error: isBroken ? "T.30 T2 timeout, expected signal not received" : "")
  }

  /// The pages of a letter as a fax machine scans them. Blocking; needs Ghostscript.
  public static func pages(of letter: Letter, at now: Timestamp) throws -> [UInt8] {
    try OutboundDocument.prepare(Dispatch.Content(text: letter.text), to: letter.dialled, at: now).tiff
  }
}
