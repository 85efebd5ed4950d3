import Channels
import ContactModel

/// Reads the text of a criterion.
///
///     any    = all *( ("or" / "或") all )
///     all    = one *( ("and" / "且") one )
///     one    = ("not" / "非") one / "(" any ")" / test
///     test   = field comparison value / field "in" "(" value *( "," value ) ")"
///            / "has" [ "verified" ] ( "phone" / "email" / "fax" )
///            / "accounts" [ "(" system ")" ] comparison number
///            / "relation" "(" code ")" / "group" "(" code ")"
///            / "contacts" [ "(" [channel] [ "inbound" / "outbound" ] ")" ] comparison number "within" number "days"
///     field  = "type" / "status" / "level" / "language" / "department" / "manager" / "age" / "since"
///
/// Chinese names of fields and words are read too (类型, 状态, 层级, 语言, 部门, 客户经理, 年龄, 入行, 账户, 关系, 客户群,
/// 联系, 有, 已验证, 属于, 内, 天). Values are codes, numbers, dates (2026-01-31) or quoted text. At most 4,000 characters,
/// 20 levels.
struct CriterionReader {
  static let maximumLength = 4_000
  static let maximumDepth = 20

  private struct Token {
    enum Kind: Hashable { case word(String), text(String), symbol(String), end }
    var kind: Kind
    var position: Int
  }
  private var tokens: [Token] = []
  private var index = 0

  static func read(_ text: String) throws(CriterionFault) -> Criterion {
    var reader = CriterionReader()
    try reader.split(text)
    guard reader.tokens.count > 1 else { throw CriterionFault(.empty, at: 1, expected: "type = retail") }
    let criterion = try reader.any(depth: 0)
    let rest = reader.tokens[reader.index]
    guard rest.kind == .end else { throw CriterionFault(.unexpected, at: rest.position, expected: "and, or") }
    return criterion
  }

  // MARK: Tokens

  private mutating func split(_ text: String) throws(CriterionFault) {
    let characters = Array(text)
    guard characters.count <= Self.maximumLength else {
      throw CriterionFault(.tooLong, at: Self.maximumLength, expected: "≤ \(Self.maximumLength)")
    }
    var at = 0
    func isWord(_ character: Character) -> Bool {
      character.isLetter || character.isNumber || character == "_" || character == "-" || character == "."
    }
    while at < characters.count {
      let character = characters[at]
      let start = at
      if character.isWhitespace {
        at += 1
      } else if character == "\"" || character == "“" || character == "'" {
        let closing: Character = character == "“" ? "”" : character
        at += 1
        while at < characters.count, characters[at] != closing { at += 1 }
        guard at < characters.count else { throw CriterionFault(.openQuote, at: start + 1, expected: "\(closing)") }
        tokens.append(Token(kind: .text(String(characters[(start + 1)..<at])), position: start + 1))
        at += 1
      } else if isWord(character) {
        while at < characters.count, isWord(characters[at]) { at += 1 }
        tokens.append(Token(kind: .word(String(characters[start..<at])), position: start + 1))
      } else {
        let two = at + 1 < characters.count ? String(characters[at...(at + 1)]) : ""
        let symbol: String
        switch (two, character) {
        case ("<=", _), (">=", _), ("!=", _): symbol = two
        case ("<>", _): symbol = "!="
        case (_, "≤"): symbol = "<="
        case (_, "≥"): symbol = ">="
        case (_, "≠"): symbol = "!="
        case (_, "（"): symbol = "("
        case (_, "）"): symbol = ")"
        case (_, "，"), (_, "、"): symbol = ","
        case (_, "="), (_, "<"), (_, ">"), (_, "("), (_, ")"), (_, ","): symbol = String(character)
        default: throw CriterionFault(.unexpected, at: start + 1, expected: "= != < <= > >= ( ) ,")
        }
        at += two == "<=" || two == ">=" || two == "!=" || two == "<>" ? 2 : 1
        tokens.append(Token(kind: .symbol(symbol), position: start + 1))
      }
    }
    tokens.append(Token(kind: .end, position: characters.count + 1))
  }

  private var position: Int { tokens[index].position }

  /// The next word in lower case, if it is one.
  private var word: String? {
    if case .word(let word) = tokens[index].kind { return word.lowercased() }
    return nil
  }

  private mutating func take(words: String...) -> Bool {
    guard let word, words.contains(word) else { return false }
    index += 1
    return true
  }

  private mutating func take(_ symbol: String) -> Bool {
    guard tokens[index].kind == .symbol(symbol) else { return false }
    index += 1
    return true
  }

  private mutating func need(_ symbol: String) throws(CriterionFault) {
    guard take(symbol) else { throw CriterionFault(.unexpected, at: position, expected: symbol) }
  }

  // MARK: Grammar

  private mutating func any(depth: Int) throws(CriterionFault) -> Criterion {
    var parts = [try all(depth: depth)]
    while take(words: "or", "或", "或者") { parts.append(try all(depth: depth)) }
    return parts.count == 1 ? parts[0] : .any(parts)
  }

  private mutating func all(depth: Int) throws(CriterionFault) -> Criterion {
    var parts = [try one(depth: depth)]
    while take(words: "and", "且", "并且") { parts.append(try one(depth: depth)) }
    return parts.count == 1 ? parts[0] : .all(parts)
  }

  private mutating func one(depth: Int) throws(CriterionFault) -> Criterion {
    guard depth < Self.maximumDepth else {
      throw CriterionFault(.tooDeep, at: position, expected: "≤ \(Self.maximumDepth)")
    }
    if take(words: "not", "非", "不") { return .not(try one(depth: depth + 1)) }
    if take("(") {
      let inner = try any(depth: depth + 1)
      try need(")")
      return inner
    }
    return try test()
  }

  private mutating func test() throws(CriterionFault) -> Criterion {
    let start = position
    guard let name = word else { throw CriterionFault(.unexpected, at: start, expected: Self.fields) }
    index += 1
    switch name {
    case "has", "有":
      let verified = take(words: "verified", "已验证")
      let at = position
      guard let kind = word else { throw CriterionFault(.unexpected, at: at, expected: "phone, email, fax") }
      index += 1
      switch kind {
      case "phone", "电话": return .has(.phone, verified: verified)
      case "email", "邮箱": return .has(.email, verified: verified)
      case "fax", "传真": return .has(.fax, verified: verified)
      default: throw CriterionFault(.badValue, at: at, expected: "phone, email, fax")
      }
    case "accounts", "账户":
      var system: String?
      if take("(") {
        system = try value()
        try need(")")
      }
      return .accounts(system: system, try comparison(), try number(0...1_000_000))
    case "relation", "关系": return .relation(try inBrackets())
    case "group", "客户群", "属于": return .group(try inBrackets())
    case "contacts", "联系": return try contacts()
    case "age", "年龄": return .age(try comparison(), try number(0...150))
    case "since", "入行":
      let comparison = try comparison()
      let at = position
      let text = try value()
      guard text.count == 10, let day = Timestamp("\(text)T00:00:00Z") else {
        throw CriterionFault(.badValue, at: at, expected: "2026-01-31")
      }
      return .since(comparison, day)
    default:
      guard let attribute = Self.attributes[name] else {
        throw CriterionFault(.unknownField, at: start, expected: Self.fields)
      }
      return try compare(attribute)
    }
  }

  private mutating func compare(_ attribute: Criterion.Attribute) throws(CriterionFault) -> Criterion {
    let isNegated = take(words: "not")
    if take(words: "in", "是", "属于") {
      try need("(")
      var values = [try value(of: attribute)]
      while take(",") { values.append(try value(of: attribute)) }
      try need(")")
      return .attribute(attribute, isNegated ? .notEqual : .equal, values)
    }
    guard !isNegated else { throw CriterionFault(.unexpected, at: position, expected: "in") }
    let at = position
    let comparison = try comparison()
    if attribute != .level, comparison != .equal, comparison != .notEqual {
      throw CriterionFault(.badValue, at: at, expected: "= != in")
    }
    return .attribute(attribute, comparison, [try value(of: attribute)])
  }

  private mutating func contacts() throws(CriterionFault) -> Criterion {
    var channel: String?
    var direction: Contact.Direction?
    if take("(") {
      while !take(")") {
        let at = position
        let text = try value().lowercased()
        if let found = Contact.Direction(rawValue: text) {
          direction = found
        } else if channel == nil, ChannelKind(rawValue: text).rawValue.count <= 40 {
          channel = text == "phone" ? ChannelKind.telephony.rawValue : text
        } else {
          throw CriterionFault(.badValue, at: at, expected: "telephony, sms, email, fax, webform, inbound, outbound")
        }
        _ = take(",")
      }
    }
    let comparison = try comparison()
    let count = try number(0...1_000_000)
    guard take(words: "within", "内") else { throw CriterionFault(.unexpected, at: position, expected: "within") }
    let days = try number(1...3_660)
    guard take(words: "days", "day", "天") else { throw CriterionFault(.unexpected, at: position, expected: "days") }
    return .contacts(channel: channel, direction: direction, comparison, count, days: days)
  }

  private mutating func inBrackets() throws(CriterionFault) -> String {
    try need("(")
    let text = try value()
    try need(")")
    return text
  }

  private mutating func comparison() throws(CriterionFault) -> Criterion.Comparison {
    if case .symbol(let symbol) = tokens[index].kind, let comparison = Criterion.Comparison(rawValue: symbol) {
      index += 1
      return comparison
    }
    throw CriterionFault(.unexpected, at: position, expected: "= != < <= > >=")
  }

  private mutating func value() throws(CriterionFault) -> String {
    switch tokens[index].kind {
    case .word(let text), .text(let text):
      guard text.utf8.count <= 200 else { throw CriterionFault(.badValue, at: position, expected: "≤ 200") }
      index += 1
      return text
    case .symbol, .end: throw CriterionFault(.unexpected, at: position, expected: "a value")
    }
  }

  private mutating func value(of attribute: Criterion.Attribute) throws(CriterionFault) -> String {
    let at = position
    let text = try value()
    switch attribute {
    case .status where Customer.Status(rawValue: text) == nil:
      throw CriterionFault(
        .badValue, at: at, expected: Customer.Status.allCases.map(\.rawValue).joined(separator: ", "))
    case .level where !(Int(text).map { (1...9).contains($0) } ?? false):
      throw CriterionFault(.badValue, at: at, expected: "1 … 9")
    case .type where Code(text) == nil, .department where Code(text) == nil:
      throw CriterionFault(.badValue, at: at, expected: "a code")
    case .manager where AgentID(text) == nil: throw CriterionFault(.badValue, at: at, expected: "an agent")
    default: return text
    }
  }

  private mutating func number(_ range: ClosedRange<Int>) throws(CriterionFault) -> Int {
    let at = position
    guard let number = Int(try value()), range.contains(number) else {
      throw CriterionFault(.badValue, at: at, expected: "\(range.lowerBound) … \(range.upperBound)")
    }
    return number
  }

  private static let fields =
    "type, status, level, language, department, manager, age, since, has, accounts, relation, group, contacts"
  private static let attributes: [String: Criterion.Attribute] = [
    "type": .type, "类型": .type, "客户类型": .type, "status": .status, "状态": .status, "level": .level, "层级": .level,
    "language": .language, "语言": .language, "department": .department, "部门": .department, "manager": .manager,
    "客户经理": .manager,
  ]
}

extension Criterion {
  /// Reads a criterion; the fault says where it is wrong.
  public init(_ text: String) throws(CriterionFault) { self = try CriterionReader.read(text) }
}
