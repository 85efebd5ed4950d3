/// What the text of a field must look like: a small regular language, matched in time linear in the text.
///
/// Branches parted by `|`, each a row of single characters: a literal, `.`, `\d`, `\w`, `\s`, an escaped punctuation
/// mark, or a class `[a-z0-9]` / `[^…]`; each may be followed by `?`, `*`, `+`, `{n}`, `{n,}` or `{n,m}`. No groups and
/// no look-around: the same text then serves the browser's `pattern` attribute, and no value can make matching slow.
public struct FieldPattern: Sendable, Hashable {
  public let source: String
  private let branches: [[Element]]

  /// What is wrong with a pattern, for whoever wrote it.
  public struct Malformed: Error, Hashable {
    public var text: String
  }

  private struct Element: Hashable {
    var set: CharacterSet
    var minimum: Int
    /// Nil: any number.
    var maximum: Int?
  }
  private struct CharacterSet: Hashable {
    var negated = false
    var ranges: [ClosedRange<UInt32>] = []
    func contains(_ scalar: Unicode.Scalar) -> Bool { ranges.contains { $0.contains(scalar.value) } != negated }
  }

  public init(_ source: String) throws(Malformed) {
    var parser = Parser(scalars: Array(source.unicodeScalars))
    branches = try parser.branches()
    self.source = source
  }

  /// The whole text fits.
  public func matches(_ text: String) -> Bool {
    let scalars = Array(text.unicodeScalars)
    return branches.contains { Self.matches(scalars, $0) }
  }

  /// The set of places in the row that can be reached, one step a character.
  private static func matches(_ scalars: [Unicode.Scalar], _ elements: [Element]) -> Bool {
    var steps: [(set: CharacterSet, skippable: Bool, repeats: Bool)] = []
    for element in elements {
      for _ in 0..<element.minimum { steps.append((element.set, false, false)) }
      if let maximum = element.maximum {
        for _ in element.minimum..<maximum { steps.append((element.set, true, false)) }
      } else {
        steps.append((element.set, true, true))
      }
    }
    var reached = [Bool](repeating: false, count: steps.count + 1)
    func skipAhead() {
      for (i, step) in steps.enumerated() where reached[i] && step.skippable { reached[i + 1] = true }
    }
    reached[0] = true
    skipAhead()
    for scalar in scalars {
      var next = [Bool](repeating: false, count: steps.count + 1)
      for (i, step) in steps.enumerated() where reached[i] && step.set.contains(scalar) {
        next[step.repeats ? i : i + 1] = true
      }
      reached = next
      skipAhead()
    }
    return reached[steps.count]
  }

  /// For the `pattern` attribute, whose dialect is JavaScript's with the flag `v` (HTML §4.10.5.3.6).
  public var htmlPattern: String {
    branches.map { $0.map(Self.html).joined() }.joined(separator: "|")
  }

  private static func html(_ element: Element) -> String {
    let set = element.set
    var out: String
    if !set.negated, set.ranges.count == 1, set.ranges[0].count == 1 {
      out = escaped(set.ranges[0].lowerBound, in: "^$\\.*+?()[]{}|/")
    } else {
      let reserved = "^$\\.*+?()[]{}|/&-!#%,:;<=>@`~"
      out = set.negated ? "[^" : "["
      for range in set.ranges {
        out += escaped(range.lowerBound, in: reserved)
        if range.count > 1 { out += "-" + escaped(range.upperBound, in: reserved) }
      }
      out += "]"
    }
    switch (element.minimum, element.maximum) {
    case (1, 1): break
    case (0, 1): out += "?"
    case (0, nil): out += "*"
    case (1, nil): out += "+"
    case (let n, nil): out += "{\(n),}"
    case (let n, let m?) where n == m: out += "{\(n)}"
    case (let n, let m?): out += "{\(n),\(m)}"
    }
    return out
  }

  private static func escaped(_ value: UInt32, in reserved: String) -> String {
    guard let scalar = Unicode.Scalar(value) else { return "" }
    if value < 0x20 || value == 0x7f { return "\\x" + (value < 16 ? "0" : "") + String(value, radix: 16) }
    return (reserved.unicodeScalars.contains(scalar) ? "\\" : "") + String(Character(scalar))
  }

  private struct Parser {
    let scalars: [Unicode.Scalar]
    var index = 0
    /// Steps after expansion; bounds the work of a match.
    var steps = 0

    init(scalars: [Unicode.Scalar]) { self.scalars = scalars }
    var peek: Unicode.Scalar? { index < scalars.count ? scalars[index] : nil }
    func fail(_ text: String) -> Malformed { Malformed(text: "\(text) at character \(index + 1)") }

    mutating func branches() throws(Malformed) -> [[Element]] {
      guard scalars.count <= 500 else { throw Malformed(text: "longer than 500 characters") }
      var out: [[Element]] = [[]]
      while let next = peek {
        if next == "|" {
          index += 1
          out.append([])
        } else {
          let set = try atom(next)
          let (minimum, maximum) = try quantifier()
          steps += max(minimum, maximum ?? minimum + 1)
          guard steps <= 2_000 else { throw fail("repeats more than 2000 characters in all") }
          out[out.count - 1].append(Element(set: set, minimum: minimum, maximum: maximum))
        }
      }
      return out
    }

    private mutating func atom(_ next: Unicode.Scalar) throws(Malformed) -> CharacterSet {
      switch next {
      case "(", ")": throw fail("groups are not supported; write \"\\\(next)\" for the character")
      case "^", "$": throw fail("the whole value is matched anyway: leave out \"\(next)\"")
      case "?", "*", "+", "{", "}", "]": throw fail("nothing to repeat before \"\(next)\"")
      case "[": return try characterClass()
      case ".":
        index += 1
        return CharacterSet(negated: true, ranges: [10...10, 13...13])
      case "\\": return CharacterSet(ranges: try escape())
      default:
        index += 1
        return CharacterSet(ranges: [next.value...next.value])
      }
    }

    private mutating func escape() throws(Malformed) -> [ClosedRange<UInt32>] {
      index += 1
      guard let next = peek else { throw fail("a lone \"\\\"") }
      index += 1
      switch next {
      case "d": return [48...57]
      case "w": return [48...57, 65...90, 95...95, 97...122]
      case "s": return [9...13, 32...32, 0xa0...0xa0, 0x3000...0x3000]
      default:
        guard next.isASCII, !next.properties.isAlphabetic, !(48...57).contains(next.value) else {
          index -= 1
          throw fail("\"\\\(next)\" is not known")
        }
        return [next.value...next.value]
      }
    }

    private mutating func characterClass() throws(Malformed) -> CharacterSet {
      index += 1
      var set = CharacterSet()
      if peek == "^" {
        set.negated = true
        index += 1
      }
      while let next = peek, next != "]" {
        let low = try member(next)
        if low.count == 1, low[0].count == 1, peek == "-", index + 1 < scalars.count, scalars[index + 1] != "]" {
          index += 1
          let high = try member(scalars[index])
          guard high.count == 1, high[0].count == 1, high[0].lowerBound >= low[0].lowerBound else {
            throw fail("a range that runs backwards")
          }
          set.ranges.append(low[0].lowerBound...high[0].lowerBound)
        } else {
          set.ranges += low
        }
      }
      guard peek == "]" else { throw fail("a class without \"]\"") }
      guard !set.ranges.isEmpty else { throw fail("an empty class") }
      index += 1
      return set
    }

    /// One character of a class, or the set an escape stands for.
    private mutating func member(_ next: Unicode.Scalar) throws(Malformed) -> [ClosedRange<UInt32>] {
      if next == "\\" { return try escape() }
      index += 1
      return [next.value...next.value]
    }

    private mutating func quantifier() throws(Malformed) -> (Int, Int?) {
      switch peek {
      case "?":
        index += 1
        return (0, 1)
      case "*":
        index += 1
        return (0, nil)
      case "+":
        index += 1
        return (1, nil)
      case "{":
        index += 1
        let minimum = try number()
        var maximum: Int? = minimum
        if peek == "," {
          index += 1
          maximum = peek == "}" ? nil : try number()
        }
        guard peek == "}" else { throw fail("\"}\" is missing") }
        index += 1
        guard maximum ?? minimum >= minimum else { throw fail("a range that runs backwards") }
        return (minimum, maximum)
      default: return (1, 1)
      }
    }

    private mutating func number() throws(Malformed) -> Int {
      var value: Int?
      while let next = peek, (48...57).contains(next.value), value ?? 0 < 10_000 {
        value = (value ?? 0) * 10 + Int(next.value - 48)
        index += 1
      }
      guard let value, value <= 1_000 else { throw fail("a number from 0 to 1000 is expected") }
      return value
    }
  }
}
