import Foundation

/// The bytes of a file as UTF-8: with or without a byte order mark, or GB18030, which banks' systems still write.
///
/// What is valid UTF-8 is UTF-8; GB18030 text of any length practically never is. Source: GB 18030-2022; RFC 3629.
enum ImportText {
  struct NotText: Error {}

  static func utf8(_ bytes: [UInt8]) throws -> [UInt8] {
    let body = bytes.starts(with: [0xef, 0xbb, 0xbf]) ? Array(bytes.dropFirst(3)) : bytes
    if String(validating: body, as: UTF8.self) != nil { return body }
    return try converted(body, from: "GB18030")
  }

  private static func converted(_ bytes: [UInt8], from encoding: String) throws -> [UInt8] {
    let converter = iconv_open("UTF-8", encoding)
    guard converter != iconv_t(bitPattern: -1) else { throw NotText() }
    defer { iconv_close(converter) }
    var input = bytes.map { CChar(bitPattern: $0) }
    // A GB18030 character of one or two bytes becomes at most three.
    var output = [CChar](repeating: 0, count: bytes.count * 3 + 16)
    var written = 0
    let isWhole = input.withUnsafeMutableBufferPointer { source in
      output.withUnsafeMutableBufferPointer { target in
        var from = source.baseAddress
        var to = target.baseAddress
        var left = source.count
        var room = target.count
        let result = iconv(converter, &from, &left, &to, &room)
        written = target.count - room
        return result != -1 && left == 0
      }
    }
    guard isWhole else { throw NotText() }
    return output.prefix(written).map { UInt8(bitPattern: $0) }
  }
}
