import Glibc

/// One iconv descriptor, for the character sets nobody should write a table for: GB18030 and the like.
///
/// Strict: octets that are no character of the set are an error (`convert`) or replaced and counted
/// (`decodeReplacing`), never passed over. Lives within one call, on one thread.
struct CharsetConverter: ~Copyable {
  private let descriptor: iconv_t

  /// Nil if the C library lacks the pair.
  init?(from source: String, to target: String) {
    let opened = iconv_open(target, source)
    // iconv_open reports failure as (iconv_t)-1, which Swift imports as a pointer with all bits set.
    guard Int(bitPattern: opened) != -1, let opened else { return nil }
    descriptor = opened
  }

  deinit { iconv_close(descriptor) }

  /// Nil at the first octet that cannot be converted.
  func convert(_ octets: [UInt8]) -> [UInt8]? {
    let (out, consumed) = run(octets, from: 0)
    return consumed == octets.count ? out : nil
  }

  /// For conversion to UTF-8. Each octet that is no character is replaced by U+FFFD.
  func decodeReplacing(_ octets: [UInt8]) -> (text: String, defects: Int) {
    var text = ""
    var defects = 0
    var position = 0
    while position < octets.count {
      let (out, consumed) = run(octets, from: position)
      text += String(decoding: out, as: UTF8.self)
      position += consumed
      if position < octets.count {
        text += "\u{fffd}"
        defects += 1
        position += 1
      }
    }
    return (text, defects)
  }

  /// Converts as far as possible; answers what came out and how many octets went in.
  private func run(_ octets: [UInt8], from start: Int) -> (out: [UInt8], consumed: Int) {
    iconv(descriptor, nil, nil, nil, nil)
    let length = octets.count - start
    guard length > 0 else { return ([], 0) }
    // No character of these sets needs more than four octets of target for one of source; 16 covers shift sequences.
    let capacity = length * 4 + 16
    var consumed = 0
    let out = [UInt8](unsafeUninitializedCapacity: capacity) { buffer, written in
      var source = octets
      source.withUnsafeMutableBytes { raw in
        var input: UnsafeMutablePointer<CChar>? = raw.baseAddress?.advanced(by: start).assumingMemoryBound(
          to: CChar.self)
        var inputLeft = length
        let base = UnsafeMutableRawPointer(buffer.baseAddress)
        var output: UnsafeMutablePointer<CChar>? = base?.assumingMemoryBound(to: CChar.self)
        var outputLeft = capacity
        iconv(descriptor, &input, &inputLeft, &output, &outputLeft)
        iconv(descriptor, nil, nil, &output, &outputLeft)
        consumed = length - inputLeft
        written = capacity - outputLeft
      }
    }
    return (out, consumed)
  }
}
