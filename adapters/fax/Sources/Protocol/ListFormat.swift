/// The rows of LIST under a format given with JOBFMT, RCVFMT or MDMFMT.
///
/// A format is literals and fields `%[-][width][.precision]letter`, as of printf. Values may hold anything, the
/// separator
/// too (specs/fax.md trap 2), so Liaison's own formats separate by the octal escape `\037` (unit separator) and
/// put the free text last; a row with too many separators gives the surplus to the last field.
/// Source: man hfaxd, "JOBFMT"; hfaxd/Jobs.c++ Jprintf.
public struct ListFormat: Hashable, Sendable {
  private enum Part: Hashable, Sendable {
    case literal([UInt8])
    case field(letter: Character, width: Int, precision: Int?)
  }
  private var parts: [Part] = []
  public let text: String

  /// `text` as it stands between the quotes of the command: `\037` is one byte.
  public init(_ text: String) {
    self.text = text
    var bytes = ListFormat.unescaped(Array(text.utf8))[...]
    var literal: [UInt8] = []
    while let byte = bytes.popFirst() {
      guard byte == 0x25 else {
        literal.append(byte)
        continue
      }
      if bytes.first == 0x25 {
        bytes.removeFirst()
        literal.append(0x25)
        continue
      }
      if !literal.isEmpty { parts.append(.literal(literal)) }
      literal = []
      if bytes.first == 0x2d { bytes.removeFirst() }
      let width = ListFormat.number(&bytes) ?? 0
      var precision: Int?
      if bytes.first == 0x2e {
        bytes.removeFirst()
        precision = ListFormat.number(&bytes) ?? 0
      }
      guard let letter = bytes.popFirst() else { break }
      parts.append(.field(letter: Character(Unicode.Scalar(letter)), width: width, precision: precision))
    }
    if !literal.isEmpty { parts.append(.literal(literal)) }
  }

  /// The values of one row by their letters, blanks around them removed. A short row has fewer.
  public func row(_ line: some Collection<UInt8>) -> [Character: String] {
    var rest = Array(line)[...]
    var row: [Character: String] = [:]
    for (index, part) in parts.enumerated() {
      switch part {
      case .literal(let literal):
        if rest.starts(with: literal) { rest.removeFirst(literal.count) }
      case .field(let letter, let width, let precision):
        let value: ArraySlice<UInt8>
        if let precision, precision == width, width > 0 {
          value = rest.prefix(width)
        } else if index + 1 < parts.count, case .literal(let next) = parts[index + 1], index + 2 < parts.count {
          let end = ListFormat.firstRange(of: next, in: rest.dropFirst(min(width, rest.count))) ?? rest.endIndex
          value = rest[rest.startIndex..<end]
        } else if index + 1 < parts.count, case .field = parts[index + 1] {
          value = rest.prefix(max(1, width))  // no separator: the width is all there is
        } else {
          value = rest
        }
        rest = rest[value.endIndex...]
        row[letter] = String(decoding: value.trimmedSpaces, as: UTF8.self)
      }
    }
    return row
  }

  /// All rows of a transfer; empty lines are none.
  public func rows(_ bytes: [UInt8]) -> [[Character: String]] {
    bytes.split(separator: 0x0a).compactMap { line in
      let line = line.last == 0x0d ? line.dropLast() : line
      return line.isEmpty ? nil : row(line)
    }
  }

  private static func number(_ bytes: inout ArraySlice<UInt8>) -> Int? {
    var value: Int?
    while let byte = bytes.first, (0x30...0x39).contains(byte) {
      value = min(10_000, (value ?? 0) * 10 + Int(byte - 0x30))
      bytes.removeFirst()
    }
    return value
  }

  private static func unescaped(_ bytes: [UInt8]) -> [UInt8] {
    var out: [UInt8] = []
    var index = 0
    while index < bytes.count {
      guard bytes[index] == 0x5c, index + 1 < bytes.count else {
        out.append(bytes[index])
        index += 1
        continue
      }
      index += 1
      var value = 0
      var digits = 0
      while digits < 3, index < bytes.count, (0x30...0x37).contains(bytes[index]) {
        value = value * 8 + Int(bytes[index] - 0x30)
        index += 1
        digits += 1
      }
      if digits > 0 {
        out.append(UInt8(truncatingIfNeeded: value))
      } else {
        out.append(bytes[index])
        index += 1
      }
    }
    return out
  }

  private static func firstRange(of needle: [UInt8], in bytes: ArraySlice<UInt8>) -> Int? {
    guard let first = needle.first, bytes.count >= needle.count else { return nil }
    var index = bytes.startIndex
    while index + needle.count <= bytes.endIndex {
      if bytes[index] == first, bytes[index...].starts(with: needle) { return index }
      index += 1
    }
    return nil
  }
}

extension ArraySlice<UInt8> {
  fileprivate var trimmedSpaces: ArraySlice<UInt8> {
    var out = drop { $0 == 0x20 }
    while out.last == 0x20 { out.removeLast() }
    return out
  }
}
