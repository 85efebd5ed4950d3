/// Reads the parameters a route declares out of path, query and fields; collects everything that is wrong.
///
/// A query parameter that is not declared, or given twice, is refused: a misspelt filter that is silently ignored
/// shows a person the wrong list.
func readParameters(
  of route: Route, path: [String: String], query: String?, field: (String) -> String?
) throws(Problem) -> [String: JSONValue] {
  var values: [String: JSONValue] = [:]
  var violations: [Violation] = []
  func take(_ parameter: Route.Parameter, _ text: String) {
    let value = parameter.schema.value(ofText: text)
    let found = parameter.schema.violations(of: value)
    if found.isEmpty {
      values[parameter.name] = value
    } else {
      violations += found.map { Violation(place(of: parameter), $0.code, expected: $0.expected) }
    }
  }
  for parameter in route.parameters {
    switch parameter.place {
    case .path:
      guard let text = path[parameter.name] else { continue }
      // What cannot be the name of anything is simply not there.
      let value = parameter.schema.value(ofText: text)
      guard parameter.schema.violations(of: value).isEmpty else { throw Problem(.notFound) }
      values[parameter.name] = value
    case .header: if let text = field(parameter.name) { take(parameter, text) }
    case .query: break
    }
  }
  var seen = Set<String>()
  for pair in (query ?? "").split(separator: "&").prefix(101) {
    let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    guard let name = String(parts[0]).percentDecoded(plusIsSpace: true),
      let text = parts.count == 2 ? String(parts[1]).percentDecoded(plusIsSpace: true) : ""
    else { throw Problem(.malformedRequest, LocalizedText(zh: "查询串编码有误", en: "the query is not well encoded")) }
    guard seen.count < 100, let parameter = route.parameters.first(where: { $0.place == .query && $0.name == name })
    else {
      violations.append(Violation(.parameter(String(name.prefix(80))), .unknownMember))
      continue
    }
    guard seen.insert(name).inserted else {
      violations.append(Violation(.parameter(name), .tooMany, expected: "1"))
      continue
    }
    take(parameter, text)
  }
  for parameter in route.parameters where parameter.required && values[parameter.name] == nil {
    if !violations.contains(where: { $0.place == place(of: parameter) }) {
      violations.append(Violation(place(of: parameter), .required))
    }
  }
  guard violations.isEmpty else {
    throw Problem(.invalidInput, violations: Array(violations.prefix(Schema.maximumViolations)))
  }
  return values
}

private func place(of parameter: Route.Parameter) -> Violation.Place {
  parameter.place == .header ? .header(parameter.name) : .parameter(parameter.name)
}

extension Schema {
  /// A parameter's text as the type its schema wants; left a string, and so a violation, when it is not that.
  fileprivate func value(ofText text: String) -> JSONValue {
    switch self {
    case .integer: Int64(text).map(JSONValue.integer) ?? .string(text)
    case .number: Double(text).map(JSONValue.number) ?? .string(text)
    case .boolean: text == "true" ? true : text == "false" ? false : .string(text)
    case .array(let element, _):
      .array(text.split(separator: ",", omittingEmptySubsequences: false).map { element.value(ofText: String($0)) })
    case .nullable(let schema), .named(_, let schema): schema.value(ofText: text)
    case .any, .string, .word, .object, .map: .string(text)
    }
  }
}
