import ContactModel

/// What the demo's customers write into the bank's web forms: one post's fields after another.
public struct FormTraffic: Sendable {
  public struct Post: Sendable {
    public var form: String
    /// `zh` or `en`.
    public var language: String
    public var fields: [String: String]
    public var consents: [String: Bool]
    /// How the customer wishes to be answered.
    public var replyBy: String
  }
  private var random = SplitMix64(state: 7)
  private let people: [DemoBank.Person]

  public init(people: [DemoBank.Person]) { self.people = people }

  /// The next post: mostly from customers who give their phone, every second one with more by which he is known,
  /// every sixth from somebody the bank does not know.
  public mutating func next() -> Post {
    let person = people[Int.random(in: 0..<people.count, using: &random)]
    let isZh = person.customer.language == "zh-Hans"
    let isStranger = Int.random(in: 0..<6, using: &random) == 0
    var fields = [
      "name": isStranger ? (isZh ? "陌生人" : "A Stranger") : person.customer.name,
      "phone": isStranger ? "+8610099999\(Int.random(in: 100...999, using: &random))" : person.phone,
    ]
    if !isStranger, Bool.random(using: &random) { fields["customer_no"] = person.customer.customerNo.description }
    let text: (zh: String, en: String)
    let form: String
    switch Int.random(in: 0..<3, using: &random) {
    case 0:
      form = "complaint"
      fields["nature"] = "complaint"
      text = ("昨天在网点排队两个小时，柜员态度很差，希望得到答复。", "I waited two hours at the branch yesterday; please explain.")
      fields["description"] = isZh ? text.zh : text.en
    default:
      form = "consultation"
      text = ("请问三年期定期存款现在的利率是多少？可以在手机上办理吗？", "What is the rate for a three-year deposit, and can I open it online?")
      fields["question"] = isZh ? text.zh : text.en
      fields["topic"] = "deposit"
    }
    return Post(
      form: form, language: isZh ? "zh" : "en", fields: fields, consents: ["personal_data": true],
      replyBy: "phone")
  }
}
