import Channels
import ContactModel
import Store

/// Parameters of a statement as they are collected; answers the placeholder of each.
public struct SQLParameters: Sendable {
  public private(set) var values: [SQLValue]
  public init(_ values: [SQLValue] = []) { self.values = values }
  public mutating func add(_ value: SQLValue) -> String {
    values.append(value)
    return "$\(values.count)"
  }
  mutating func text(_ value: String) -> String { "CAST(\(add(.text(value))) AS TEXT)" }
  mutating func int(_ value: Int64) -> String { "CAST(\(add(.int(value))) AS {{int}})" }
}

extension Criterion {
  /// The condition on one row `c` of `customer`, in the common SQL of both engines. Values are parameters, always.
  func condition(_ parameters: inout SQLParameters, at now: Timestamp) -> String {
    switch self {
    case .all(let parts): return joined(parts, " AND ", &parameters, now)
    case .any(let parts): return joined(parts, " OR ", &parameters, now)
    case .not(let part):
      return "(NOT coalesce(\(part.condition(&parameters, at: now)), {{sqlite:0}}{{postgres:false}}))"
    case .attribute(let attribute, let comparison, let values):
      return Self.attribute(attribute, comparison, values, &parameters)
    case .age(let comparison, let years): return Self.age(comparison, years, &parameters, now)
    case .since(let comparison, let day):
      if comparison == .equal || comparison == .notEqual {
        let end = Timestamp(microseconds: day.microseconds + 86_400_000_000)
        let within =
          "(c.created_at >= \(parameters.int(day.microseconds)) AND c.created_at < \(parameters.int(end.microseconds)))"
        return comparison == .equal ? within : "(NOT \(within))"
      }
      // The whole day belongs to the day: until its end, from its beginning, after its end, before its beginning.
      let next = Timestamp(microseconds: day.microseconds + 86_400_000_000)
      switch comparison {
      case .lessOrEqual: return "(c.created_at < \(parameters.int(next.microseconds)))"
      case .more: return "(c.created_at >= \(parameters.int(next.microseconds)))"
      default: return "(c.created_at \(comparison.rawValue) \(parameters.int(day.microseconds)))"
      }
    case .has(let kind, let verified):
      return """
        (EXISTS (SELECT 1 FROM customer_contact_point x WHERE x.customer_no = c.customer_no
          AND x.kind = \(parameters.text(kind.rawValue))\(verified ? " AND x.verified_at IS NOT NULL" : "")))
        """
    case .accounts(let system, let comparison, let count):
      let of = system.map { " AND a.business_system = \(parameters.text($0))" } ?? ""
      return """
        ((SELECT count(*) FROM customer_account x JOIN account a ON a.account_no = x.account_no
          WHERE x.customer_no = c.customer_no AND x.to_at IS NULL\(of)) \(comparison.sql) \(parameters.int(Int64(count))))
        """
    case .relation(let relation):
      let name = parameters.text(relation)
      let until = parameters.int(now.microseconds)
      return """
        (EXISTS (SELECT 1 FROM customer_relation x WHERE (x.customer_no = c.customer_no OR x.customer_no_r = c.customer_no)
          AND x.relation = \(name) AND (x.to_at IS NULL OR x.to_at > \(until))))
        """
    case .group(let code):
      let name = parameters.text(code)
      let day = parameters.text(String(now.description.prefix(10)))
      return """
        (EXISTS (SELECT 1 FROM group_customer x WHERE x.group_code = \(name) AND x.customer_no = c.customer_no)
          OR EXISTS (SELECT 1 FROM group_customer_time x WHERE x.group_code = \(name) AND x.customer_no = c.customer_no
            AND x.day = (SELECT max(y.day) FROM group_customer_time y WHERE y.group_code = \(name) AND y.day <= \(day))))
        """
    case .contacts(let channel, let direction, let comparison, let count, let days):
      let since = parameters.int(now.microseconds - Int64(days) * 86_400_000_000)
      let of = channel.map { " AND x.channel_kind = \(parameters.text($0))" } ?? ""
      let way = direction.map { " AND x.direction = \(parameters.text($0.rawValue))" } ?? ""
      return """
        ((SELECT count(*) FROM contact x WHERE x.customer_no = c.customer_no AND x.received_at > \(since)\(of)\(way))
          \(comparison.sql) \(parameters.int(Int64(count))))
        """
    }
  }

  private func joined(
    _ parts: [Criterion], _ word: String, _ parameters: inout SQLParameters, _ now: Timestamp
  ) -> String {
    var texts: [String] = []
    for part in parts { texts.append(part.condition(&parameters, at: now)) }
    return "(" + texts.joined(separator: word) + ")"
  }

  private static func attribute(
    _ attribute: Attribute, _ comparison: Comparison, _ values: [String], _ parameters: inout SQLParameters
  ) -> String {
    let column =
      switch attribute {
      case .type: "c.customer_type"
      case .status: "c.status"
      case .level: "c.level"
      case .language: "c.language"
      case .department: "c.department"
      case .manager: "c.manager"
      }
    var list: [String] = []
    for value in values {
      list.append(attribute == .level ? parameters.int(Int64(value) ?? 0) : parameters.text(value))
    }
    if values.count > 1 || comparison == .notEqual {
      let isIn = "\(column) IN (\(list.joined(separator: ", ")))"
      return comparison == .notEqual ? "(\(column) IS NULL OR NOT (\(isIn)))" : "(\(isIn))"
    }
    return "(\(column) \(comparison.sql) \(list[0]))"
  }

  /// Compared by birthdays, which are ISO dates: who turns 60 today is 60.
  private static func age(
    _ comparison: Comparison, _ years: Int, _ parameters: inout SQLParameters, _ now: Timestamp
  ) -> String {
    let date = now.description.prefix(10)
    func birthday(_ years: Int) -> String {
      let year = (Int(date.prefix(4)) ?? 0) - years
      let digits = String(max(0, year))
      return parameters.text(String(repeating: "0", count: 4 - digits.count) + digits + date.dropFirst(4))
    }
    let born = "c.birth_date"
    switch comparison {
    case .moreOrEqual: return "(\(born) <= \(birthday(years)))"
    case .more: return "(\(born) <= \(birthday(years + 1)))"
    case .less: return "(\(born) > \(birthday(years)))"
    case .lessOrEqual: return "(\(born) > \(birthday(years + 1)))"
    case .equal: return "(\(born) <= \(birthday(years)) AND \(born) > \(birthday(years + 1)))"
    case .notEqual: return "(\(born) > \(birthday(years)) OR \(born) <= \(birthday(years + 1)))"
    }
  }
}

extension Criterion.Comparison {
  fileprivate var sql: String { self == .notEqual ? "<>" : rawValue }
}
