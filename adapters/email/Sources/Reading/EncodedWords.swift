/// Header text: RFC 2047 encoded words, raw 8-bit bytes, and what senders make of both.
///
/// Adjacent words of one charset are joined as bytes before decoding, because many senders cut inside a character;
/// padding inside a word is no end of it (GMime 3.2.13 drops the rest); blanks inside a Q word, missing padding, a
/// language tag (RFC 2231 §5) and words inside quotes are taken. Not a decoder of the letter of the RFC but of mail.
enum EncodedWords {
  static func decode(_ value: [UInt8], hints: Charset.Hints) -> String {
    value.withUnsafeBufferPointer { decode($0, hints: hints) }
  }

  static func decode(_ bytes: UnsafeBufferPointer<UInt8>, hints: Charset.Hints) -> String {
    guard containsWordStart(bytes) else { return plain(bytes, hints) }
    var out = ""
    var pending: [UInt8] = []
    var pendingLabel = ""
    var index = 0
    var plainStart = 0
    func flush() {
      guard !pending.isEmpty else { return }
      out += Charset.decode(pending, label: pendingLabel, hints: hints)
      pending.removeAll(keepingCapacity: true)
    }
    while index < bytes.count {
      guard bytes[index] == 0x3d, let word = word(in: bytes, at: index) else {
        index += 1
        continue
      }
      let between = UnsafeBufferPointer(rebasing: bytes[plainStart..<index])
      let onlyBlanks = between.allSatisfy(isSpace)
      if !(onlyBlanks && plainStart > 0) || (pending.isEmpty && out.isEmpty) {
        flush()
        out += plain(between, hints)
      }
      let label = Charset.canonical(word.label)
      if label != pendingLabel { flush() }
      pendingLabel = label
      pending += word.bytes
      index = word.end
      plainStart = index
    }
    flush()
    if plainStart < bytes.count { out += plain(UnsafeBufferPointer(rebasing: bytes[plainStart...]), hints) }
    return out
  }

  /// As `decode`, with every run of white space folded to one blank and the ends trimmed.
  static func folded(_ value: [UInt8], hints: Charset.Hints) -> String { foldBlanks(decode(value, hints: hints)) }

  private static func plain(_ bytes: UnsafeBufferPointer<UInt8>, _ hints: Charset.Hints) -> String {
    if bytes.contains(where: { $0 >= 0x80 }) { return Charset.decode(bytes, label: nil, hints: hints) }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func containsWordStart(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    guard bytes.count > 5 else { return false }
    for index in 0..<bytes.count - 1 where bytes[index] == 0x3d && bytes[index + 1] == 0x3f { return true }
    return false
  }

  private struct Word {
    var label: String
    var bytes: [UInt8]
    var end: Int
  }

  /// `=?label?B?text?=` at `start`, or nil. The text may hold blanks and, in Q, question marks.
  private static func word(in bytes: UnsafeBufferPointer<UInt8>, at start: Int) -> Word? {
    guard start + 6 < bytes.count, bytes[start + 1] == 0x3f else { return nil }
    var index = start + 2
    while index < bytes.count, bytes[index] != 0x3f {
      if isSpace(bytes[index]) || index - start > 60 { return nil }
      index += 1
    }
    guard index + 3 < bytes.count, index > start + 2, bytes[index + 2] == 0x3f else { return nil }
    let encoding = lowered(bytes[index + 1])
    guard encoding == 0x62 || encoding == 0x71 else { return nil }
    let label = String(decoding: bytes[(start + 2)..<index], as: UTF8.self)
    let textStart = index + 3
    var end = textStart
    while true {
      guard end + 1 < bytes.count, end - textStart < 16_384 else { return nil }
      if bytes[end] == 0x3f, bytes[end + 1] == 0x3d {
        // In Q, `?=41` is a question mark and an encoded byte of a sender who forgot to encode the mark.
        if encoding == 0x71, end + 3 < bytes.count, isHex(bytes[end + 2]), isHex(bytes[end + 3]),
          laterEnd(bytes, end + 2)
        {
          end += 2
          continue
        }
        break
      }
      // The start of another word ends the search: this one was never closed.
      if encoding == 0x62, bytes[end] == 0x3d, bytes[end + 1] == 0x3f, end + 2 < bytes.count, bytes[end + 2] != 0x3d {
        return nil
      }
      end += 1
    }
    let text = UnsafeBufferPointer(rebasing: bytes[textStart..<end])
    return Word(label: label, bytes: encoding == 0x62 ? Base64.decode(text) : decodeQ(text), end: end + 2)
  }

  private static func laterEnd(_ bytes: UnsafeBufferPointer<UInt8>, _ from: Int) -> Bool {
    var index = from
    while index + 1 < bytes.count {
      if bytes[index] == 0x3f, bytes[index + 1] == 0x3d { return true }
      if bytes[index] == 0x3d, bytes[index + 1] == 0x3f { return false }
      if isSpace(bytes[index]) { return false }
      index += 1
    }
    return false
  }

  private static func decodeQ(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(text.count)
    var index = 0
    while index < text.count {
      let byte = text[index]
      if byte == 0x5f {
        out.append(0x20)
      } else if byte == 0x3d, index + 2 < text.count, let high = hexValue(text[index + 1]),
        let low = hexValue(text[index + 2])
      {
        out.append(high << 4 | low)
        index += 2
      } else {
        out.append(byte)
      }
      index += 1
    }
    return out
  }
}

func hexValue(_ byte: UInt8) -> UInt8? {
  switch byte {
  case 0x30...0x39: return byte - 0x30
  case 0x41...0x46: return byte - 0x37
  case 0x61...0x66: return byte - 0x57
  default: return nil
  }
}
func isHex(_ byte: UInt8) -> Bool { hexValue(byte) != nil }

private func foldedASCII(_ text: String) -> String {
  String(unsafeUninitializedCapacity: text.utf8.count) { out in
    var count = 0
    var isPending = false
    for byte in text.utf8 {
      if isSpace(byte) {
        isPending = count > 0
        continue
      }
      if isPending {
        out[count] = 0x20
        count += 1
        isPending = false
      }
      out[count] = byte
      count += 1
    }
    return count
  }
}

/// Every run of white space, also no-break and ideographic blanks, becomes one blank; the ends are trimmed.
func foldBlanks(_ text: String) -> String {
  if text.utf8.allSatisfy({ $0 < 0x80 }) { return foldedASCII(text) }
  var out = String.UnicodeScalarView()
  var pendingBlank = false
  for scalar in text.unicodeScalars {
    if scalar.properties.isWhitespace {
      pendingBlank = !out.isEmpty
    } else {
      if pendingBlank { out.append(" ") }
      pendingBlank = false
      out.append(scalar)
    }
  }
  return String(out)
}
