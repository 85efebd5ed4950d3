import Foundation

/// Values as JSON in snake case, the one form in which they are stored and shown.
public enum JSONText {
  /// Keys sorted, so that equal values have equal text and digests.
  public static func encode(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
  }

  /// The bodies of events, written without a coder: the same text, a tenth of the time.
  public static func encode(_ value: [String: String]) throws -> String {
    var out: [UInt8] = [0x7b]
    for (index, member) in value.sorted(by: { $0.key < $1.key }).enumerated() {
      if index > 0 { out.append(0x2c) }
      append(member.key, to: &out)
      out.append(0x3a)
      append(member.value, to: &out)
    }
    out.append(0x7d)
    return String(decoding: out, as: UTF8.self)
  }

  private static func append(_ text: String, to out: inout [UInt8]) {
    out.append(0x22)
    for octet in text.utf8 {
      switch octet {
      case 0x22: out += [0x5c, 0x22]
      case 0x5c: out += [0x5c, 0x5c]
      case 0x08: out += [0x5c, 0x62]
      case 0x0c: out += [0x5c, 0x66]
      case 0x0a: out += [0x5c, 0x6e]
      case 0x0d: out += [0x5c, 0x72]
      case 0x09: out += [0x5c, 0x74]
      case 0..<0x20:
        let digits = Array("0123456789abcdef".utf8)
        out += Array("\\u00".utf8) + [digits[Int(octet >> 4)], digits[Int(octet & 15)]]
      default: out.append(octet)
      }
    }
    out.append(0x22)
  }

  public static func decode<Value: Decodable>(_ type: Value.Type, from text: String) throws -> Value {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(type, from: Data(text.utf8))
  }
}
