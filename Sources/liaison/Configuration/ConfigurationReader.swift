import Foundation
import Yams

/// One thing wrong with a configuration file, with its place.
struct ConfigurationProblem: Error, Hashable, CustomStringConvertible {
  var file: String
  /// 1-based; nil when the fault is in the environment or in the file as a whole.
  var line: Int?
  var text: String
  var description: String { line.map { "\(file):\($0): \(text)" } ?? "\(file): \(text)" }
}

/// Everything wrong with it, in the order of the file; never empty.
struct ConfigurationProblems: Error, CustomStringConvertible {
  var problems: [ConfigurationProblem]
  var description: String { problems.map(\.description).joined(separator: "\n") }
}

/// Reads one mapping of a YAML file key by key, gathers every problem instead of stopping at the first, and in the end
/// names each key nobody asked for, with its line and the nearest valid key.
///
/// `store.url` may be overridden by the environment variable `LIAISON_STORE_URL`; entries of lists may not.
final class ConfigurationReader {
  final class Context {
    let file: String
    let environment: [String: String]
    var problems: [ConfigurationProblem] = []
    /// Every key path that exists, as `store.url` or `channels[].name`; the documentation is held against it.
    var knownPaths: Set<String> = []
    init(file: String, environment: [String: String]) {
      self.file = file
      self.environment = environment
    }
  }

  private let mapping: Node.Mapping?
  private let line: Int?
  private let path: String
  private let overridable: Bool
  let context: Context
  private var asked: [String] = []

  /// The root of `text`. A text that is no YAML mapping is one problem and reads as empty.
  init(yaml text: String, file: String, environment: [String: String]) {
    context = Context(file: file, environment: environment)
    path = ""
    overridable = true
    var mapping: Node.Mapping?
    var line: Int?
    do {
      if let node = try Yams.compose(yaml: text) {
        if let found = node.mapping {
          mapping = found
          line = node.mark?.line
        } else {
          context.problems.append(.init(file: file, line: node.mark?.line, text: "expected keys and values"))
        }
      }
    } catch let error as YamlError {
      context.problems.append(
        .init(file: file, line: ConfigurationReader.line(of: error), text: "not valid YAML: \(error)"))
    } catch {
      context.problems.append(.init(file: file, line: nil, text: "not valid YAML: \(error)"))
    }
    self.mapping = mapping
    self.line = line
  }

  private init(mapping: Node.Mapping?, line: Int?, path: String, overridable: Bool, context: Context) {
    self.mapping = mapping
    self.line = line
    self.path = path
    self.overridable = overridable
    self.context = context
  }

  // MARK: Values

  func string(_ key: String, default fallback: String? = nil, allowed: [String]? = nil) -> String {
    guard let (text, line) = scalar(key) else {
      if let fallback { return fallback }
      problem(self.line, "\(shown(key)) is required")
      return ""
    }
    if let allowed, !allowed.contains(text) {
      problem(line, "\(shown(key)): \(text) is none of \(allowed.joined(separator: ", "))")
    }
    return text
  }

  func optionalString(_ key: String) -> String? { scalar(key)?.text }

  func integer(_ key: String, default fallback: Int, in range: ClosedRange<Int>) -> Int {
    guard let (text, line) = scalar(key) else { return fallback }
    guard let value = Int(text), range.contains(value) else {
      problem(line, "\(shown(key)): \(text) is not a whole number from \(range.lowerBound) to \(range.upperBound)")
      return fallback
    }
    return value
  }

  func bool(_ key: String, default fallback: Bool) -> Bool {
    guard let (text, line) = scalar(key) else { return fallback }
    switch text {
    case "true", "yes", "on": return true
    case "false", "no", "off": return false
    default:
      problem(line, "\(shown(key)): \(text) is neither true nor false")
      return fallback
    }
  }

  /// `250ms`, `30s`, `15m`, `12h`, `7d`.
  func duration(_ key: String, default fallback: Duration) -> Duration {
    guard let (text, line) = scalar(key) else { return fallback }
    for (suffix, unit) in [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)] {
      if text.hasSuffix(suffix), let count = Int(text.dropLast(suffix.count)), (0...10_000_000).contains(count) {
        return .milliseconds(count * unit)
      }
    }
    problem(line, "\(shown(key)): \(text) is no duration such as 250ms, 30s, 15m, 12h or 7d")
    return fallback
  }

  /// `host:port`, `[v6]:port`; port 0 lets the system choose.
  func listener(_ key: String, default fallback: ListenAddress) -> ListenAddress {
    guard let (text, line) = scalar(key) else { return fallback }
    guard let value = ListenAddress(text) else {
      problem(line, "\(shown(key)): \(text) is no listening address such as 127.0.0.1:8080")
      return fallback
    }
    return value
  }

  func strings(_ key: String, default fallback: [String] = []) -> [String] {
    note(key)
    guard let node = mapping?[key] else { return fallback }
    guard let sequence = node.sequence else {
      problem(node.mark?.line, "\(shown(key)): expected a list")
      return fallback
    }
    return sequence.compactMap { item in
      if let text = item.scalar?.string { return text }
      problem(item.mark?.line, "\(shown(key)): expected a plain value")
      return nil
    }
  }

  /// A secret: written out is refused; `{ file: /path }` or `{ env: NAME }` name where it is. Nil when absent.
  func secret(_ key: String) -> String? {
    note(key)
    guard let node = mapping?[key] else { return nil }
    guard let source = node.mapping else {
      problem(
        node.mark?.line, "\(shown(key)): a secret does not stand in this file; write { file: /path } or { env: NAME }")
      return nil
    }
    if let name = source["env"]?.scalar?.string {
      guard let value = context.environment[name], !value.isEmpty else {
        problem(node.mark?.line, "\(shown(key)): the environment variable \(name) is not set")
        return nil
      }
      return value
    }
    if let file = source["file"]?.scalar?.string {
      do {
        return try String(contentsOfFile: file, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
      } catch {
        problem(node.mark?.line, "\(shown(key)): cannot read \(file)")
        return nil
      }
    }
    problem(node.mark?.line, "\(shown(key)): expected { file: /path } or { env: NAME }")
    return nil
  }

  /// A secret that must be there; empty if it is not, which is told.
  func requiredSecret(_ key: String) -> String {
    if mapping?[key] == nil { problem(line, "\(shown(key)) is required") }
    return secret(key) ?? ""
  }

  /// A mapping whose keys are data, in the order of the file: keyword → category, code → meaning.
  func words(_ key: String) -> [(key: String, value: String)] {
    note(key)
    guard let node = mapping?[key], node.scalar?.string != "" else { return [] }
    guard let words = node.mapping else {
      problem(node.mark?.line, "\(shown(key)): expected keys and values")
      return []
    }
    return words.compactMap { word, value in
      guard let word = word.scalar?.string, let text = value.scalar?.string, !text.isEmpty else {
        problem(value.mark?.line, "\(shown(key)): expected plain keys and values")
        return nil
      }
      return (word, text)
    }
  }

  // MARK: Structure

  func section<Value>(_ key: String, _ read: (ConfigurationReader) -> Value) -> Value {
    note(key)
    let node = mapping?[key]
    if let node, node.mapping == nil, node.scalar?.string != "" {
      problem(node.mark?.line, "\(shown(key)): expected keys and values")
    }
    let reader = ConfigurationReader(
      mapping: node?.mapping, line: node?.mark?.line ?? line, path: joined(key), overridable: overridable,
      context: context)
    let value = read(reader)
    reader.reportUnknownKeys()
    return value
  }

  func optionalSection<Value>(_ key: String, _ read: (ConfigurationReader) -> Value) -> Value? {
    if mapping?[key] == nil {
      note(key)
      return nil
    }
    return section(key, read)
  }

  func list<Value>(_ key: String, _ read: (ConfigurationReader) -> Value?) -> [Value] {
    note(key)
    guard let node = mapping?[key], node.scalar?.string != "" else { return [] }
    guard let sequence = node.sequence else {
      problem(node.mark?.line, "\(shown(key)): expected a list")
      return []
    }
    return sequence.compactMap { item in
      guard let mapping = item.mapping else {
        problem(item.mark?.line, "\(shown(key)): expected keys and values")
        return nil
      }
      let reader = ConfigurationReader(
        mapping: mapping, line: item.mark?.line, path: joined(key) + "[]", overridable: false, context: context)
      let value = read(reader)
      reader.reportUnknownKeys()
      return value
    }
  }

  /// True if the file has this key, whatever its value.
  func isGiven(_ key: String) -> Bool { mapping?[key] != nil }

  /// A problem with the value of `key`, found by whoever gives it meaning.
  func problem(at key: String, _ text: String) {
    problem(mapping?[key]?.mark?.line ?? line, "\(shown(key)): \(text)")
  }

  /// Reports what nobody asked for and throws if anything was wrong.
  func finish() throws {
    reportUnknownKeys()
    guard context.problems.isEmpty else {
      throw ConfigurationProblems(problems: context.problems.sorted { ($0.line ?? 0) < ($1.line ?? 0) })
    }
  }

  // MARK: Parts

  private func scalar(_ key: String) -> (text: String, line: Int?)? {
    note(key)
    if overridable {
      let name = "LIAISON_" + joined(key).uppercased().replacingOccurrences(of: ".", with: "_")
      if let text = context.environment[name] { return (text, nil) }
    }
    guard let node = mapping?[key] else { return nil }
    guard let text = node.scalar?.string else {
      problem(node.mark?.line, "\(shown(key)): expected a plain value")
      return nil
    }
    return text.isEmpty || text == "~" || text == "null" ? nil : (text, node.mark?.line)
  }

  private func note(_ key: String) {
    asked.append(key)
    context.knownPaths.insert(joined(key))
  }

  private func reportUnknownKeys() {
    for (node, value) in mapping ?? [:] {
      guard let key = node.scalar?.string, !asked.contains(key) else { continue }
      let nearest = asked.min { editDistance($0, key) < editDistance($1, key) }
      let hint = nearest.map { editDistance($0, key) <= max(2, key.count / 2) ? "; did you mean \($0)?" : "" } ?? ""
      problem(node.mark?.line ?? value.mark?.line, "unknown key \(shown(key))\(hint)")
    }
  }

  private func problem(_ line: Int?, _ text: String) {
    context.problems.append(.init(file: context.file, line: line, text: text))
  }
  private func joined(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }
  private func shown(_ key: String) -> String { joined(key).replacingOccurrences(of: "[]", with: "") }

  private static func line(of error: YamlError) -> Int? {
    switch error {
    case .scanner(_, _, let mark, _), .parser(_, _, let mark, _), .composer(_, _, let mark, _): return mark.line
    default: return nil
    }
  }
}

/// Where a listener binds.
struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
  var host: String
  var port: Int
  init(host: String, port: Int) {
    self.host = host
    self.port = port
  }
  init?(_ text: String) {
    guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
      (0...65_535).contains(port)
    else { return nil }
    var host = String(text[..<colon])
    if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
    guard !host.isEmpty else { return nil }
    self.init(host: host, port: port)
  }
  var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// Levenshtein's distance, for hints only.
private func editDistance(_ a: String, _ b: String) -> Int {
  let b = Array(b)
  var row = Array(0...b.count)
  for (i, x) in a.enumerated() {
    var corner = row[0]
    row[0] = i + 1
    for (j, y) in b.enumerated() {
      let cost = min(row[j + 1] + 1, row[j] + 1, corner + (x == y ? 0 : 1))
      corner = row[j + 1]
      row[j + 1] = cost
    }
  }
  return row[b.count]
}
