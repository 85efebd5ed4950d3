/// Reads one JSON text strictly, with bounds on what arrives.
///
/// Stricter than RFC 8259 where a lenient reading could be understood in two ways or cannot be stored: a name twice
/// in one object, invalid UTF-8, a lone surrogate, U+0000 (PostgreSQL stores none), a number beyond a double, and
/// anything deeper than `maximumDepth` are errors. The bytes are bounded by whoever received them.
/// Source: RFC 8259; the duplicates of §4 as RFC 7493 §2.3.
public struct JSONReader {
  public struct Failure: Error, Hashable, Sendable {
    public enum Code: String, Hashable, Sendable, CaseIterable {
      case syntax, encoding, depth, duplicate
      case numberRange = "number_range"
      case nul
    }
    public var code: Code
    /// Offset in bytes at which it was noticed.
    public var offset: Int
  }

  public static let maximumDepth = 32

  private let bytes: [UInt8]
  private var index = 0

  private init(_ bytes: [UInt8]) { self.bytes = bytes }

  public static func read(_ bytes: [UInt8]) throws(Failure) -> JSONValue {
    var reader = JSONReader(bytes)
    if bytes.starts(with: [0xef, 0xbb, 0xbf]) { reader.index = 3 }
    let value = try reader.value(depth: 0)
    reader.skipSpace()
    guard reader.index == bytes.count else { throw reader.failure(.syntax) }
    return value
  }

  private func failure(_ code: Failure.Code) -> Failure { Failure(code: code, offset: index) }

  private mutating func skipSpace() {
    while index < bytes.count, bytes[index] == 0x20 || bytes[index] == 0x0a || bytes[index] == 0x0d || bytes[index] == 9
    {
      index += 1
    }
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard index < bytes.count, bytes[index] == byte else { return false }
    index += 1
    return true
  }

  private mutating func word(_ word: StaticString) -> Bool {
    let matches = word.withUTF8Buffer { buffer in
      index + buffer.count <= bytes.count && bytes[index..<index + buffer.count].elementsEqual(buffer)
    }
    if matches { index += word.utf8CodeUnitCount }
    return matches
  }

  private mutating func value(depth: Int) throws(Failure) -> JSONValue {
    guard depth < Self.maximumDepth else { throw failure(.depth) }
    skipSpace()
    guard index < bytes.count else { throw failure(.syntax) }
    switch bytes[index] {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): if word("true") { return .bool(true) }
    case UInt8(ascii: "f"): if word("false") { return .bool(false) }
    case UInt8(ascii: "n"): if word("null") { return .null }
    case UInt8(ascii: "-"), 0x30...0x39: return try number()
    default: break
    }
    throw failure(.syntax)
  }

  private mutating func array(depth: Int) throws(Failure) -> JSONValue {
    index += 1
    var elements: [JSONValue] = []
    skipSpace()
    if take(UInt8(ascii: "]")) { return .array(elements) }
    while true {
      elements.append(try value(depth: depth + 1))
      skipSpace()
      if take(UInt8(ascii: "]")) { return .array(elements) }
      guard take(UInt8(ascii: ",")) else { throw failure(.syntax) }
    }
  }

  private mutating func object(depth: Int) throws(Failure) -> JSONValue {
    index += 1
    var members: [JSONObject.Member] = []
    var names = Set<String>()
    skipSpace()
    if take(UInt8(ascii: "}")) { return .object(JSONObject()) }
    while true {
      skipSpace()
      guard index < bytes.count, bytes[index] == UInt8(ascii: "\"") else { throw failure(.syntax) }
      let name = try string()
      guard names.insert(name).inserted else { throw failure(.duplicate) }
      skipSpace()
      guard take(UInt8(ascii: ":")) else { throw failure(.syntax) }
      members.append(JSONObject.Member(name: name, value: try value(depth: depth + 1)))
      skipSpace()
      if take(UInt8(ascii: "}")) { return .object(JSONObject(members)) }
      guard take(UInt8(ascii: ",")) else { throw failure(.syntax) }
    }
  }

  private mutating func number() throws(Failure) -> JSONValue {
    let start = index
    var isInteger = true
    _ = take(UInt8(ascii: "-"))
    if take(UInt8(ascii: "0")) {
    } else {
      guard digits() else { throw failure(.syntax) }
    }
    if take(UInt8(ascii: ".")) {
      isInteger = false
      guard digits() else { throw failure(.syntax) }
    }
    if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
      isInteger = false
      if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
      guard digits() else { throw failure(.syntax) }
    }
    let text = String(decoding: bytes[start..<index], as: UTF8.self)
    if isInteger, let integer = Int64(text) { return .integer(integer) }
    guard let number = Double(text), number.isFinite else { throw failure(.numberRange) }
    return .number(number)
  }

  private mutating func digits() -> Bool {
    let start = index
    while index < bytes.count, (0x30...0x39).contains(bytes[index]) { index += 1 }
    return index > start
  }

  private mutating func string() throws(Failure) -> String {
    index += 1
    let start = index
    // Most strings have no escape: they are one slice.
    while index < bytes.count, bytes[index] != 0x22, bytes[index] != 0x5c {
      guard bytes[index] >= 0x20 else { throw failure(.syntax) }
      index += 1
    }
    if index < bytes.count, bytes[index] == 0x22 {
      guard let text = String(validating: bytes[start..<index], as: UTF8.self) else { throw failure(.encoding) }
      index += 1
      return text
    }
    var content = Array(bytes[start..<index])
    while true {
      guard index < bytes.count else { throw failure(.syntax) }
      let byte = bytes[index]
      switch byte {
      case 0x22:
        guard let text = String(validating: content, as: UTF8.self) else { throw failure(.encoding) }
        index += 1
        return text
      case 0x5c: try escape(into: &content)
      case 0..<0x20: throw failure(.syntax)
      default:
        content.append(byte)
        index += 1
      }
    }
  }

  private mutating func escape(into content: inout [UInt8]) throws(Failure) {
    index += 1
    guard index < bytes.count else { throw failure(.syntax) }
    let byte = bytes[index]
    index += 1
    switch byte {
    case 0x22, 0x5c, 0x2f: content.append(byte)
    case UInt8(ascii: "b"): content.append(0x08)
    case UInt8(ascii: "f"): content.append(0x0c)
    case UInt8(ascii: "n"): content.append(0x0a)
    case UInt8(ascii: "r"): content.append(0x0d)
    case UInt8(ascii: "t"): content.append(0x09)
    case UInt8(ascii: "u"):
      let unit = try fourHexDigits()
      guard unit != 0 else { throw failure(.nul) }
      var code = UInt32(unit)
      if (0xd800..<0xdc00).contains(unit) {
        guard take(0x5c), take(UInt8(ascii: "u")) else { throw failure(.encoding) }
        let low = try fourHexDigits()
        guard (0xdc00..<0xe000).contains(low) else { throw failure(.encoding) }
        code = 0x10000 + (UInt32(unit) - 0xd800) << 10 + (UInt32(low) - 0xdc00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw failure(.encoding) }
      content.append(contentsOf: Character(scalar).utf8)
    default: throw failure(.syntax)
    }
  }

  private mutating func fourHexDigits() throws(Failure) -> UInt16 {
    guard index + 4 <= bytes.count else { throw failure(.syntax) }
    var value: UInt16 = 0
    for byte in bytes[index..<index + 4] {
      let digit: UInt8
      switch byte {
      case 0x30...0x39: digit = byte - 0x30
      case 0x41...0x46: digit = byte - 0x41 + 10
      case 0x61...0x66: digit = byte - 0x61 + 10
      default: throw failure(.syntax)
      }
      value = value << 4 | UInt16(digit)
    }
    index += 4
    return value
  }
}
