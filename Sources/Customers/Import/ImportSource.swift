import Crypto
import Foundation

/// A file to bring in, read in pieces however large it is, as UTF-8: with or without a byte order mark, or GB18030,
/// which banks' systems still write.
///
/// What is valid UTF-8 is UTF-8; GB18030 text of any length practically never is. So the file is read once before, for
/// its digest and to know which it is, and then piece by piece. Source: GB 18030-2022; RFC 3629.
public struct ImportSource: Sendable {
  struct NotText: Error {}
  static let pieceBytes = 1 << 18

  /// SHA-256 of the bytes as they are, in lower-case hexadecimal.
  public let digest: String
  public let size: Int
  private let place: Place
  private let isUTF8: Bool
  private enum Place { case file(String), memory([UInt8]) }

  public init(file path: String) throws { try self.init(.file(path)) }
  public init(_ bytes: [UInt8]) throws { try self.init(.memory(bytes)) }

  /// Throws `ImportFault(.notText)` for what is neither.
  private init(_ place: Place) throws {
    var hash = SHA256()
    var check = UTF8Check()
    var size = 0
    var pieces = try Pieces(place)
    while let piece = try pieces.next() {
      hash.update(data: piece)
      check.take(piece)
      size += piece.count
    }
    digest = hash.finalize().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    self.size = size
    self.place = place
    isUTF8 = check.isValid
    guard !isUTF8 else { return }
    var texts = try self.texts()
    do { while try texts.next() != nil { continue } } catch is NotText { throw ImportFault(.notText) }
  }

  /// The text from the beginning.
  func texts() throws -> Texts { try Texts(self) }

  /// Bytes as they are, piece by piece.
  private struct Pieces {
    private let file: FileHandle?
    private var memory: ArraySlice<UInt8>
    init(_ place: Place) throws {
      switch place {
      case .file(let path):
        file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
        memory = []
      case .memory(let bytes):
        file = nil
        memory = bytes[...]
      }
    }
    mutating func next() throws -> [UInt8]? {
      if let file {
        guard let data = try file.read(upToCount: ImportSource.pieceBytes), !data.isEmpty else {
          try file.close()
          return nil
        }
        return Array(data)
      }
      guard !memory.isEmpty else { return nil }
      defer { memory = memory.dropFirst(ImportSource.pieceBytes) }
      return Array(memory.prefix(ImportSource.pieceBytes))
    }
  }

  /// UTF-8 without its mark, piece by piece.
  struct Texts {
    private var pieces: Pieces
    private var converter: Converter?
    private var isFirst = true
    fileprivate init(_ source: ImportSource) throws {
      pieces = try Pieces(source.place)
      if !source.isUTF8 { converter = try Converter() }
    }
    mutating func next() throws -> [UInt8]? {
      guard let piece = try pieces.next() else {
        try converter?.finish()
        return nil
      }
      var text = try converter?.convert(piece) ?? piece
      if isFirst, text.starts(with: [0xef, 0xbb, 0xbf]) { text.removeFirst(3) }
      isFirst = false
      // An empty piece is not the end.
      return text.isEmpty ? try next() : text
    }
  }

  /// GB18030 into UTF-8; a character cut by the end of a piece waits for the next.
  private final class Converter {
    private let handle: iconv_t
    private var rest: [UInt8] = []
    init() throws {
      guard let handle = iconv_open("UTF-8", "GB18030"), handle != iconv_t(bitPattern: -1) else { throw NotText() }
      self.handle = handle
    }
    deinit { iconv_close(handle) }

    func convert(_ piece: [UInt8]) throws -> [UInt8] {
      var input = (rest + piece).map { CChar(bitPattern: $0) }
      // A character of one or two bytes becomes at most three.
      var output = [CChar](repeating: 0, count: input.count * 3 + 16)
      var (left, written) = (input.count, 0)
      var isWrong = false
      input.withUnsafeMutableBufferPointer { source in
        output.withUnsafeMutableBufferPointer { target in
          var (from, to) = (source.baseAddress, target.baseAddress)
          var room = target.count
          let result = iconv(handle, &from, &left, &to, &room)
          written = target.count - room
          // EINVAL: the last character is not whole yet.
          isWrong = result == -1 && errno != EINVAL
        }
      }
      guard !isWrong, left < 4 else { throw NotText() }
      rest = input.suffix(left).map { UInt8(bitPattern: $0) }
      return output.prefix(written).map { UInt8(bitPattern: $0) }
    }
    func finish() throws { guard rest.isEmpty else { throw NotText() } }
  }
}

/// Whether bytes that come in pieces are UTF-8 (RFC 3629 §4).
private struct UTF8Check {
  private var rest: [UInt8] = []
  private var isBroken = false

  mutating func take(_ piece: [UInt8]) {
    guard !isBroken else { return }
    let bytes = rest + piece
    // What may be the beginning of a character cut by the end: at most three bytes from a leading one on.
    var end = bytes.count
    for back in 1...3 where bytes.count >= back {
      let byte = bytes[bytes.count - back]
      if byte & 0xc0 == 0xc0 {
        let length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
        if back < length { end = bytes.count - back }
        break
      }
      if byte < 0x80 { break }
    }
    if String(validating: bytes[..<end], as: UTF8.self) == nil { isBroken = true }
    rest = Array(bytes[end...])
  }
  var isValid: Bool { !isBroken && rest.isEmpty }
}
