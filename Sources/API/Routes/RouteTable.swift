/// Which operation a method and a path name. Literal segments win over parameters.
struct RouteTable: Sendable {
  enum Match: Sendable {
    case found(Route, [String: String])
    /// The path exists, the method does not.
    case otherMethods([Route.Method])
    case none
  }

  private final class Node: Sendable {
    let literals: [String: Node]
    let parameter: (name: String, node: Node)?
    let routes: [Route.Method: Route]
    init(literals: [String: Node], parameter: (name: String, node: Node)?, routes: [Route.Method: Route]) {
      self.literals = literals
      self.parameter = parameter
      self.routes = routes
    }
  }
  private let root: Node
  let routes: [Route]

  /// Two operations of one name, or of one method and path, are a mistake of the programmer.
  init(_ routes: [Route]) {
    self.routes = routes
    precondition(Set(routes.map(\.operationID)).count == routes.count, "operation ids are unique")
    root = Self.node(routes.map { (Self.segments($0.path)[...], $0) })
  }

  private static func node(_ entries: [(path: ArraySlice<Substring>, route: Route)]) -> Node {
    var here: [Route.Method: Route] = [:]
    var below: [String: [(path: ArraySlice<Substring>, route: Route)]] = [:]
    var captured: [(path: ArraySlice<Substring>, route: Route)] = []
    var name: String?
    for entry in entries {
      guard let first = entry.path.first else {
        precondition(here.updateValue(entry.route, forKey: entry.route.method) == nil, "\(entry.route.path) twice")
        continue
      }
      if first.hasPrefix("{") {
        let parameter = String(first.dropFirst().dropLast())
        precondition(name == nil || name == parameter, "one place, one parameter name: \(entry.route.path)")
        name = parameter
        captured.append((entry.path.dropFirst(), entry.route))
      } else {
        below[String(first), default: []].append((entry.path.dropFirst(), entry.route))
      }
    }
    return Node(
      literals: below.mapValues { node($0) }, parameter: name.map { ($0, node(captured)) }, routes: here)
  }

  private static func segments(_ path: String) -> [Substring] {
    path.split(separator: "/", omittingEmptySubsequences: true)
  }

  /// `path` as sent; nil as method is one that no operation has.
  func match(_ method: Route.Method?, _ path: String) -> Match {
    guard path.utf8.first == UInt8(ascii: "/"), !path.utf8.dropFirst().elementsEqual([]) || root.routes.isEmpty == false
    else { return .none }
    var node = root
    var parameters: [String: String] = [:]
    for segment in path.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
      // An empty segment names nothing, also at the end.
      guard !segment.isEmpty, let text = String(segment).percentDecoded(plusIsSpace: false) else { return .none }
      if let next = node.literals[text] {
        node = next
      } else if let parameter = node.parameter {
        parameters[parameter.name] = text
        node = parameter.node
      } else {
        return .none
      }
    }
    guard !node.routes.isEmpty else { return .none }
    guard let method, let route = node.routes[method] else {
      return .otherMethods(node.routes.keys.sorted { $0.rawValue < $1.rawValue })
    }
    return .found(route, parameters)
  }
}

extension String {
  /// RFC 3986 §2.1; nil for a broken escape or what is not UTF-8 afterwards.
  func percentDecoded(plusIsSpace: Bool) -> String? {
    guard utf8.contains(where: { $0 == 0x25 || $0 == 0x2b && plusIsSpace }) else { return self }
    var out: [UInt8] = []
    out.reserveCapacity(utf8.count)
    var iterator = utf8.makeIterator()
    while let byte = iterator.next() {
      if byte == 0x25 {
        guard let high = iterator.next().flatMap(hexValue), let low = iterator.next().flatMap(hexValue) else {
          return nil
        }
        out.append(high << 4 | low)
      } else {
        out.append(byte == 0x2b && plusIsSpace ? 0x20 : byte)
      }
    }
    return String(validating: out, as: UTF8.self)
  }
}

private func hexValue(_ byte: UInt8) -> UInt8? {
  switch byte {
  case 0x30...0x39: byte - 0x30
  case 0x41...0x46: byte - 0x41 + 10
  case 0x61...0x66: byte - 0x61 + 10
  default: nil
  }
}
