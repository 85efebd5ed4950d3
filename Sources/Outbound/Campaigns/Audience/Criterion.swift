import Channels
import ContactModel

/// Who is meant, as a concept group says it: `type = retail and age >= 60 and has email`.
///
/// A closed language: comparisons of a customer's attributes, addresses, accounts, relations, groups and contacts, joined
/// by `and`, `or`, `not`. It is read into this tree, shown back in words, and compiled to SQL in which every value is a
/// parameter (`CriterionSQL`): nothing a person writes becomes text of a statement. Source: DOMAIN "客户群".
public indirect enum Criterion: Hashable, Sendable {
  case all([Criterion])
  case any([Criterion])
  case not(Criterion)
  /// An attribute against one value, or one of several (`in`).
  case attribute(Attribute, Comparison, [String])
  /// Whole years.
  case age(Comparison, Int)
  /// Since when he is a customer here: midnight UTC of a day.
  case since(Comparison, Timestamp)
  /// He has an address of this kind, proved if `verified`.
  case has(Address.Kind, verified: Bool)
  /// Number of accounts in force, of one business system where named.
  case accounts(system: String?, Comparison, Int)
  /// He stands in this relation to somebody, on either side.
  case relation(String)
  /// He is a member of an entity group, or of a time group on its latest day.
  case group(String)
  /// Contacts within so many days, of one kind of channel and one direction where named.
  case contacts(channel: String?, direction: Contact.Direction?, Comparison, Int, days: Int)

  public enum Attribute: String, Hashable, Sendable, CaseIterable {
    case type, status, level, language, department, manager
  }
  public enum Comparison: String, Hashable, Sendable, CaseIterable {
    case equal = "="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case more = ">"
    case moreOrEqual = ">="
  }
}

/// Why a criterion cannot be used, and where: `position` counts characters from 1.
public struct CriterionFault: Error, Hashable, Sendable {
  public enum Code: String, Hashable, Sendable, CaseIterable {
    case empty
    case tooLong = "too_long"
    case tooDeep = "too_deep"
    case unexpected
    case unknownField = "unknown_field"
    case badValue = "bad_value"
    case openQuote = "open_quote"
    case unknownGroup = "unknown_group"
  }
  public var code: Code
  public var position: Int
  /// What would have fitted.
  public var expected: String

  public init(_ code: Code, at position: Int, expected: String) {
    self.code = code
    self.position = position
    self.expected = expected
  }

  public func words(in language: Language) -> String {
    switch language {
    case .zh:
      let what =
        switch code {
        case .empty: "条件为空"
        case .tooLong: "条件过长"
        case .tooDeep: "括号或“非”嵌套过深"
        case .unexpected: "此处不应出现该内容"
        case .unknownField: "没有这个字段"
        case .badValue: "值不符合要求"
        case .openQuote: "引号没有结束"
        case .unknownGroup: "没有这个客户群"
        }
      return "第 \(position) 个字符：\(what)；应为 \(expected)"
    case .en:
      let what =
        switch code {
        case .empty: "the criterion is empty"
        case .tooLong: "the criterion is too long"
        case .tooDeep: "brackets or `not` are nested too deeply"
        case .unexpected: "this does not belong here"
        case .unknownField: "there is no such field"
        case .badValue: "this is not a value the field can have"
        case .openQuote: "a quotation mark is not closed"
        case .unknownGroup: "there is no such group"
        }
      return "character \(position): \(what); expected \(expected)"
    }
  }
}

extension Criterion {
  /// Groups it refers to.
  public var groups: [String] {
    switch self {
    case .all(let parts), .any(let parts): parts.flatMap(\.groups)
    case .not(let part): part.groups
    case .group(let code): [code]
    case .attribute, .age, .since, .has, .accounts, .relation, .contacts: []
    }
  }

  /// The criterion in words, for the person who approves it.
  public func words(in language: Language) -> String { words(in: language, within: nil) }

  private enum Outer { case all, any, not }

  private func words(in language: Language, within outer: Outer?) -> String {
    let zh = language == .zh
    func bracketed(_ text: String, if needed: Bool) -> String { needed ? (zh ? "（\(text)）" : "(\(text))") : text }
    switch self {
    case .all(let parts):
      return bracketed(
        parts.map { $0.words(in: language, within: .all) }.joined(separator: zh ? "，并且" : " and "), if: outer == .not)
    case .any(let parts):
      return bracketed(
        parts.map { $0.words(in: language, within: .any) }.joined(separator: zh ? "，或者" : " or "),
        if: outer == .all || outer == .not)
    case .not(let part): return (zh ? "不满足：" : "not: ") + part.words(in: language, within: .not)
    case .attribute(let attribute, let comparison, let values):
      let list = values.joined(separator: zh ? "、" : ", ")
      if values.count > 1 {
        return comparison == .notEqual
          ? (zh ? "\(attribute.zh)不是 \(list) 之一" : "\(attribute.en) is none of \(list)")
          : (zh ? "\(attribute.zh)是 \(list) 之一" : "\(attribute.en) is one of \(list)")
      }
      return zh ? "\(attribute.zh)\(comparison.zh) \(list)" : "\(attribute.en) \(comparison.en) \(list)"
    case .age(let comparison, let years):
      return zh ? "年龄\(comparison.zh) \(years) 岁" : "age \(comparison.en) \(years)"
    case .since(let comparison, let day):
      let date = day.description.prefix(10)
      return zh ? "成为客户的日期\(comparison.zh) \(date)" : "customer since \(comparison.en) \(date)"
    case .has(let kind, let verified):
      return zh
        ? "有\(verified ? "已验证的" : "")\(kind.zh)" : "has a \(verified ? "verified " : "")\(kind.en)"
    case .accounts(let system, let comparison, let count):
      return zh
        ? "\(system.map { "在 \($0) 的" } ?? "")有效账户数\(comparison.zh) \(count)"
        : "number of accounts\(system.map { " in \($0)" } ?? "") \(comparison.en) \(count)"
    case .relation(let relation): return zh ? "有关系 \(relation)" : "has a relation \(relation)"
    case .group(let code): return zh ? "属于客户群 \(code)" : "is in the group \(code)"
    case .contacts(let channel, let direction, let comparison, let count, let days):
      let way = direction.map { zh ? ($0 == .inbound ? "客户发起的" : "银行发起的") : "\($0.rawValue) " } ?? ""
      let on = channel.map { zh ? "经 \($0) " : " by \($0)" } ?? ""
      return zh
        ? "最近 \(days) 天\(on)\(way)联系次数\(comparison.zh) \(count)"
        : "\(way)contacts\(on) within \(days) days \(comparison.en) \(count)"
    }
  }
}

extension Criterion.Attribute {
  var zh: String {
    switch self {
    case .type: "客户类型"
    case .status: "客户状态"
    case .level: "客户层级"
    case .language: "语言"
    case .department: "部门"
    case .manager: "客户经理"
    }
  }
  var en: String {
    switch self {
    case .type: "customer type"
    case .status: "customer status"
    case .level: "level"
    case .language: "language"
    case .department: "department"
    case .manager: "customer manager"
    }
  }
}

extension Criterion.Comparison {
  var zh: String {
    switch self {
    case .equal: "是"
    case .notEqual: "不是"
    case .less: "小于"
    case .lessOrEqual: "不大于"
    case .more: "大于"
    case .moreOrEqual: "不小于"
    }
  }
  var en: String {
    switch self {
    case .equal: "is"
    case .notEqual: "is not"
    case .less: "is below"
    case .lessOrEqual: "is at most"
    case .more: "is above"
    case .moreOrEqual: "is at least"
    }
  }
}

extension Address.Kind {
  fileprivate var zh: String {
    switch self {
    case .phone: "电话号码"
    case .email: "电子邮箱"
    case .fax: "传真号码"
    case .shortCode: "短号码"
    case .other: "其他地址"
    }
  }
  fileprivate var en: String {
    switch self {
    case .phone: "telephone number"
    case .email: "mailbox"
    case .fax: "fax number"
    case .shortCode: "short code"
    case .other: "other address"
    }
  }
}
