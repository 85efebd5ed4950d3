import CGMime
import Glibc
import Synchronization

/// Bytes to text, by label where the label tells the truth and by the bytes where it does not.
///
/// In order: (1) a label of the GB family means GB18030, Big5 means Big5-HKSCS; HZ is unfolded by us, the rest is
/// iconv's; (2) a label the bytes contradict gives way: text that is valid UTF-8 with three-byte sequences is UTF-8
/// whatever it is called, a UTF-8 label over invalid bytes yields to GB18030; (3) without a label, or under us-ascii
/// and iso-8859-1 with 8-bit bytes: UTF-8, then GB18030 if a sign of Chinese speaks for it, else windows-1252, for
/// valid Latin-1 often *is* valid GB18030. What cannot be decoded becomes U+FFFD, never an error: a mail with one
/// bad byte is still a mail. Source: specs/email.md §3.
enum Charset {
  /// Something beside the text itself that makes Chinese likely: a .cn sender, a GB label elsewhere in the mail.
  struct Hints: Sendable {
    var chinese = false
    /// The label of the body, for raw 8-bit headers.
    var bodyLabel: String?
  }

  static func decode(_ bytes: [UInt8], label: String?, hints: Hints = Hints()) -> String {
    bytes.withUnsafeBufferPointer { decode($0, label: label, hints: hints) }
  }

  static func decode(_ bytes: UnsafeBufferPointer<UInt8>, label: String?, hints: Hints = Hints()) -> String {
    let name = label.map(canonical) ?? ""
    let isASCII = !bytes.contains { $0 >= 0x80 }
    if isASCII, !escapeBased.contains(name), !wide.contains(name) {
      if name.isEmpty || name == "us-ascii" || name == "utf-8" || name == "iso-8859-1", hasISO2022Escape(bytes) {
        return decodeISO2022(bytes)
      }
      return String(decoding: bytes, as: UTF8.self)
    }
    if name == "hz-gb-2312" { return convert(unfoldHZ(bytes), from: "GB18030") ?? lossyUTF8(bytes) }
    if wide.contains(name) { return convert(Array(bytes), from: name.uppercased()) ?? lossyUTF8(bytes) }
    if escapeBased.contains(name) {
      if !isASCII, let text = strictUTF8(bytes) { return text }
      return convert(Array(bytes), from: iconvName(name)) ?? lossyUTF8(bytes)
    }
    if looksLikeUTF8(bytes) { return String(decoding: bytes, as: UTF8.self) }
    switch name {
    case "utf-8", "", "us-ascii", "iso-8859-1", "windows-1252", "unknown":
      if let text = strictUTF8(bytes) {
        // A handful of Latin letters can be valid UTF-8 by chance; only an 8-bit Latin label makes that worth a doubt.
        return text
      }
      return guess(bytes, name: name, hints: hints)
    case "gb18030":
      if GBStatistics(bytes).looksLikeBig5, let text = strict(bytes, "BIG5-HKSCS") { return text }
      return strict(bytes, "GB18030") ?? strictUTF8(bytes) ?? strict(bytes, "BIG5-HKSCS")
        ?? convert(Array(bytes), from: "GB18030") ?? lossyUTF8(bytes)
    case "big5-hkscs":
      if let text = strict(bytes, "BIG5-HKSCS"), !GBStatistics(bytes).looksLikeGB { return text }
      return strict(bytes, "GB18030") ?? convert(Array(bytes), from: "BIG5-HKSCS") ?? lossyUTF8(bytes)
    default:
      return convert(Array(bytes), from: iconvName(name)) ?? guess(bytes, name: "", hints: hints)
    }
  }

  /// The label in the form this file compares: lower case, aliases folded, quotes and white space gone.
  static func canonical(_ label: String) -> String {
    var name = label.lowercased().filter { !$0.isWhitespace && $0 != "\"" && $0 != "'" }
    if let star = name.firstIndex(of: "*") { name = String(name[..<star]) }
    switch name {
    case "utf8", "utf-8", "unicode-1-1-utf-8", "x-utf-8", "utf_8", "utf-8n", "utf8mb4", "cp65001": return "utf-8"
    case "gb2312", "gbk", "x-gbk", "cp936", "gb18030", "gb_2312-80", "gb2312-80", "gb_2312", "chinese", "x-cp936",
      "ms936", "windows-936", "csgb2312", "euc-cn", "x-euc-cn", "gb-2312", "gb-18030", "hgb", "gb2312.gbk",
      "csiso58gb231280", "iso-ir-58", "gb1988", "936":
      return "gb18030"
    case "big5", "big-5", "cn-big5", "x-x-big5", "csbig5", "cp950", "windows-950", "x-big5", "big5-hkscs", "big5hkscs",
      "big5-eten":
      return "big5-hkscs"
    case "ascii", "us-ascii", "ansi_x3.4-1968", "7bit", "iso646-us", "us": return "us-ascii"
    case "8bit", "default", "unknown-8bit", "x-unknown", "unknown", "binary", "none", "default_charset",
      "x-user-defined", "_autodetect", "_autodetect_all", "auto", "null", "invalid":
      return "unknown"
    case "latin1", "iso8859-1", "iso_8859-1", "iso-8859-1", "l1", "cp819": return "iso-8859-1"
    case "cp1252", "windows-1252", "ansi", "x-ansi", "win-1252": return "windows-1252"
    case "hz", "hz-gb2312", "hz-gb-2312": return "hz-gb-2312"
    case "unicode-1-1-utf-7", "utf7", "utf-7", "x-unicode-1-1-utf-7": return "utf-7"
    case "utf-16", "utf16", "unicode", "ucs-2": return "utf-16"
    case "utf-16le", "utf16le", "ucs-2le": return "utf-16le"
    case "utf-16be", "utf16be", "ucs-2be": return "utf-16be"
    default: return name
    }
  }

  private static let escapeBased: Set<String> = [
    "iso-2022-jp", "iso-2022-jp-1", "iso-2022-jp-2", "iso-2022-jp-3", "iso-2022-jp-ms", "iso-2022-kr", "iso-2022-cn",
    "iso-2022-cn-ext", "csiso2022jp", "csiso2022kr", "utf-7", "hz-gb-2312",
  ]
  private static let wide: Set<String> = ["utf-16", "utf-16le", "utf-16be", "utf-32", "utf-32le", "utf-32be"]

  private static func iconvName(_ name: String) -> String {
    switch name {
    case "shift_jis", "shift-jis", "sjis", "x-sjis", "ms_kanji", "windows-31j", "cp932": return "CP932"
    case "ks_c_5601-1987", "ks_c_5601", "ksc5601", "euc-kr", "ks_c_5601-1989", "korean", "cp949", "uhc": return "CP949"
    case "csiso2022jp", "iso-2022-jp-ms", "iso-2022-jp", "iso-2022-jp-1": return "ISO-2022-JP-3"
    case "iso-2022-cn": return "ISO-2022-CN-EXT"
    case "x-mac-cyrillic", "x-mac-ukrainian": return "MAC-CYRILLIC"
    case "macintosh", "x-mac-roman", "mac": return "MACINTOSH"
    case "iso-8859-8-i", "iso-8859-8-e", "visual": return "ISO-8859-8"
    case "iso-8859-9", "latin5": return "WINDOWS-1254"
    case "tis-620", "iso-8859-11", "windows-874": return "WINDOWS-874"
    case "x-euc-tw": return "EUC-TW"
    case "x-euc-jp", "eucjp": return "EUC-JP"
    default:
      if name.hasPrefix("x-"), name.count > 2 { return name.dropFirst(2).uppercased() }
      if name.hasPrefix("iso8859-") { return "ISO-8859-" + name.dropFirst(8) }
      if name.hasPrefix("win-125") { return "WINDOWS-" + name.dropFirst(4) }
      return name.uppercased()
    }
  }
}

// MARK: The bytes' own word

extension Charset {
  /// Valid UTF-8 with at least two sequences of three bytes in the ranges of CJK, or one and nothing else 8-bit of
  /// two bytes: text of another charset is practically never that.
  private static func looksLikeUTF8(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    var three = 0
    var two = 0
    var index = 0
    while index < bytes.count {
      let byte = bytes[index]
      if byte < 0x80 {
        index += 1
        continue
      }
      let length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc2 ? 2 : 0
      if length == 0 || byte > 0xf4 { return false }
      guard index + length <= bytes.count else {
        // Cut in the middle of a character at the very end: no contradiction.
        for position in (index + 1)..<max(index + 1, bytes.count) where bytes[position] & 0xc0 != 0x80 { return false }
        break
      }
      for position in 1..<length where bytes[index + position] & 0xc0 != 0x80 { return false }
      if length >= 3 { three += 1 } else { two += 1 }
      index += length
    }
    return three >= 2 || (three == 1 && two == 0)
  }

  private static func strictUTF8(_ bytes: UnsafeBufferPointer<UInt8>) -> String? {
    String(validating: bytes, as: UTF8.self)
  }

  private static func lossyUTF8(_ bytes: UnsafeBufferPointer<UInt8>) -> String {
    String(decoding: bytes, as: UTF8.self)
  }

  private static func guess(_ bytes: UnsafeBufferPointer<UInt8>, name: String, hints: Hints) -> String {
    if let label = hints.bodyLabel {
      let body = canonical(label)
      if !["utf-8", "us-ascii", "unknown", "iso-8859-1", ""].contains(body) {
        return decode(bytes, label: label, hints: Hints(chinese: hints.chinese))
      }
    }
    let statistics = GBStatistics(bytes)
    if statistics.looksLikeBig5, let text = strict(bytes, "BIG5-HKSCS") { return text }
    if statistics.looksLikeGB || (hints.chinese && statistics.couldBeGB), let text = strict(bytes, "GB18030") {
      return text
    }
    if name == "utf-8" {
      // Mostly UTF-8 with damage: keep what is good. Otherwise an 8-bit Latin text under the wrong label.
      let text = lossyUTF8(bytes)
      let bad = text.unicodeScalars.lazy.filter { $0 == "\u{fffd}" }.count
      let good = text.unicodeScalars.lazy.filter { $0.value >= 0x80 && $0 != "\u{fffd}" }.count
      if good >= bad || hints.chinese { return text }
    }
    if hints.chinese, statistics.pairs > 2 * statistics.invalid {
      return convert(Array(bytes), from: "GB18030") ?? lossyUTF8(bytes)
    }
    return convert(Array(bytes), from: "WINDOWS-1252") ?? lossyUTF8(bytes)
  }

  /// How much 8-bit bytes look like GB2312 and like Big5.
  ///
  /// Both are runs of pairs; GB2312 has both bytes ≥ A1, Big5 has about half of its second bytes in 40–7E. Latin text
  /// has lone 8-bit letters between ASCII, which make most pairs invalid or put an ASCII letter second.
  private struct GBStatistics {
    var pairs = 0
    var lowSecond = 0
    var common = 0
    var big5Common = 0
    var invalid = 0

    init(_ bytes: UnsafeBufferPointer<UInt8>) {
      var index = 0
      while index < bytes.count {
        let first = bytes[index]
        if first < 0x80 {
          index += 1
          continue
        }
        guard index + 1 < bytes.count else { break }
        let second = bytes[index + 1]
        if first == 0x80 || first == 0xff || second < 0x30 || second == 0x7f || second == 0xff {
          invalid += 1
          index += 1
          continue
        }
        if second < 0x40 {
          // A four-byte code of GB18030: first, digit, first, digit.
          if index + 3 < bytes.count, bytes[index + 2] >= 0x81, bytes[index + 3] >= 0x30, bytes[index + 3] <= 0x39 {
            pairs += 1
            index += 4
          } else {
            invalid += 1
            index += 1
          }
          continue
        }
        pairs += 1
        if second < 0xa1 {
          lowSecond += 1
          if first >= 0xa4, first <= 0xc6, second < 0x7f { big5Common += 1 }
        } else if (first >= 0xb0 && first <= 0xd7) || (first >= 0xa1 && first <= 0xa3) {
          common += 1
        }
        index += 2
      }
    }

    /// Nothing speaks against GB18030.
    var couldBeGB: Bool { invalid == 0 && pairs > 0 }
    /// Level-1 characters and full-width punctuation dominate, as in any Chinese text.
    var looksLikeGB: Bool { invalid == 0 && pairs >= 2 && common * 10 >= pairs * 7 && lowSecond * 10 <= pairs }
    var looksLikeBig5: Bool {
      invalid == 0 && pairs >= 4 && big5Common * 10 >= pairs * 2 && lowSecond * 10 >= pairs * 2
    }
  }
}

// MARK: iconv

/// Converters that were opened: opening one loads a library, which takes longer than a line of text. One is out of the table while it is used.
private final class Converters: Sendable {
  static let shared = Converters()
  private static let most = 32
  private let idle = Mutex<[String: [UInt]]>([:])

  func take(_ name: String) -> iconv_t? {
    let kept = idle.withLock { $0[name]?.popLast() }
    if let kept { return iconv_t(bitPattern: kept) }
    guard let opened = iconv_open("UTF-8", name), Int(bitPattern: opened) != -1 else { return nil }
    return opened
  }

  func giveBack(_ converter: iconv_t, _ name: String) {
    // Back to its first state, whatever was cut off in the middle.
    _ = iconv(converter, nil, nil, nil, nil)
    let isKept = idle.withLock { idle in
      guard idle.values.reduce(0, { $0 + $1.count }) < Self.most else { return false }
      idle[name, default: []].append(UInt(bitPattern: converter))
      return true
    }
    if !isKept { iconv_close(converter) }
  }
}

extension Charset {
  private static func strict(_ bytes: UnsafeBufferPointer<UInt8>, _ name: String) -> String? {
    convert(bytes, from: name, replacing: false)
  }

  /// Every byte accounted for: what iconv refuses becomes U+FFFD. Nil only if iconv does not know the name.
  static func convert(_ bytes: [UInt8], from name: String) -> String? {
    bytes.withUnsafeBufferPointer { convert($0, from: name, replacing: true) }
  }

  private static func convert(_ bytes: UnsafeBufferPointer<UInt8>, from name: String, replacing: Bool) -> String? {
    guard name.utf8.count <= 40, name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != 0x2f }),
      let converter = Converters.shared.take(name)
    else { return nil }
    defer { Converters.shared.giveBack(converter, name) }
    guard let base = bytes.baseAddress, bytes.count > 0 else { return "" }
    var output = [UInt8](repeating: 0, count: bytes.count * 2 + 64)
    var written = 0
    var input: UnsafeMutablePointer<CChar>? = UnsafeMutableRawPointer(mutating: base)
      .assumingMemoryBound(to: CChar.self)
    var left = bytes.count
    while left > 0 {
      let before = left
      let room = output.count - written
      var roomLeft = room
      let failed = output.withUnsafeMutableBytes { raw -> Bool in
        var out: UnsafeMutablePointer<CChar>? = raw.baseAddress!.advanced(by: written)
          .assumingMemoryBound(to: CChar.self)
        return iconv(converter, &input, &left, &out, &roomLeft) == -1
      }
      written += room - roomLeft
      guard failed else { break }
      if errno == E2BIG {
        output.append(contentsOf: repeatElement(0, count: output.count))
        continue
      }
      // EILSEQ, or EINVAL at the end: an incomplete character at the very end is a cut, not a contradiction.
      if !replacing {
        if errno == EINVAL, left <= 3, before > 0 { break }
        return nil
      }
      if output.count - written < 3 { output.append(contentsOf: repeatElement(0, count: 64)) }
      output[written] = 0xef
      output[written + 1] = 0xbf
      output[written + 2] = 0xbd
      written += 3
      input = input?.advanced(by: 1)
      left -= 1
      _ = iconv(converter, nil, nil, nil, nil)
    }
    return String(decoding: output[0..<written], as: UTF8.self)
  }

  private static func hasISO2022Escape(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    guard bytes.count > 4 else { return false }
    for index in 0..<bytes.count - 3 where bytes[index] == 0x1b && bytes[index + 1] == 0x24 { return true }
    return false
  }

  private static func decodeISO2022(_ bytes: UnsafeBufferPointer<UInt8>) -> String {
    for index in 0..<bytes.count - 3 where bytes[index] == 0x1b && bytes[index + 1] == 0x24 {
      let designator = bytes[index + 2] == 0x29 ? bytes[index + 3] : 0
      let name = designator == 0x43 ? "ISO-2022-KR" : designator == 0 ? "ISO-2022-JP-3" : "ISO-2022-CN-EXT"
      return convert(Array(bytes), from: name) ?? lossyUTF8(bytes)
    }
    return lossyUTF8(bytes)
  }

  /// HZ (RFC 1843): `~{` … `~}` hold GB2312 with the high bits cleared; `~~` is a tilde, `~` at a line's end joins.
  private static func unfoldHZ(_ bytes: UnsafeBufferPointer<UInt8>) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(bytes.count)
    var inGB = false
    var index = 0
    while index < bytes.count {
      let byte = bytes[index]
      let next = index + 1 < bytes.count ? bytes[index + 1] : 0
      if byte == 0x7e, !inGB, next == 0x7b {
        inGB = true
        index += 2
      } else if byte == 0x7e, next == 0x7d, inGB {
        inGB = false
        index += 2
      } else if byte == 0x7e, !inGB, next == 0x7e {
        out.append(0x7e)
        index += 2
      } else if byte == 0x7e, !inGB, next == 0x0a {
        index += 2
      } else if inGB, byte == 0x0a {
        // RFC 1843: a line end leaves GB mode.
        inGB = false
        out.append(byte)
        index += 1
      } else if inGB, byte >= 0x21, byte <= 0x7d, next >= 0x21, next <= 0x7e {
        out.append(byte | 0x80)
        out.append(next | 0x80)
        index += 2
      } else {
        out.append(byte)
        index += 1
      }
    }
    return out
  }
}
