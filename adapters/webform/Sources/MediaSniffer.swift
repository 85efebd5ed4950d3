/// What the bytes of an attachment are, whatever its sender called them.
///
/// A container of Office Open XML or OFD (GB/T 33190) is told by the names in its first local headers.
/// Source: WHATWG MIME Sniffing §6, and the formats' own signatures.
enum MediaSniffer {
  /// What a file field takes when its definition names no types.
  static let usualTypes = [
    "application/pdf", "image/jpeg", "image/png", "image/heic", "image/webp", "image/tiff", "text/plain",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/ofd",
  ]

  /// The type told by the bytes; where they tell nothing, the declared one unless it claims to be a type we would have
  /// recognised, then `application/octet-stream`.
  static func mediaType(of bytes: [UInt8], declared: String?) -> String {
    if let known = signature(bytes) { return known }
    if isText(bytes) { return looksLikeMarkup(bytes) ? "text/html" : "text/plain" }
    guard let declared, let type = MediaType(declared)?.essence else { return "application/octet-stream" }
    // A text in GBK is no UTF-8 and yet a text.
    if type == "text/plain", hasNoControls(bytes), !looksLikeMarkup(bytes) { return type }
    return recognised(type) ? "application/octet-stream" : type
  }

  private static func recognised(_ type: String) -> Bool {
    type.hasPrefix("text/") || type.hasPrefix("image/") || type == "application/pdf" || usualTypes.contains(type)
  }

  private static func signature(_ bytes: [UInt8]) -> String? {
    func at(_ offset: Int, _ text: String) -> Bool {
      let wanted = Array(text.utf8)
      return bytes.count >= offset + wanted.count && bytes[offset..<offset + wanted.count].elementsEqual(wanted)
    }
    func starts(_ wanted: [UInt8]) -> Bool { bytes.starts(with: wanted) }
    if at(0, "%PDF-") { return "application/pdf" }
    if starts([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]) { return "image/png" }
    if starts([0xff, 0xd8, 0xff]) { return "image/jpeg" }
    if at(0, "GIF87a") || at(0, "GIF89a") { return "image/gif" }
    if at(0, "RIFF"), at(8, "WEBP") { return "image/webp" }
    if at(0, "RIFF"), at(8, "WAVE") { return "audio/wav" }
    if starts([0x49, 0x49, 0x2a, 0]) || starts([0x4d, 0x4d, 0, 0x2a]) { return "image/tiff" }
    if at(4, "ftypheic") || at(4, "ftypheix") || at(4, "ftypmif1") || at(4, "ftypmsf1") { return "image/heic" }
    if at(4, "ftyp") { return "video/mp4" }
    if at(0, "BM"), bytes.count > 26, bytes[6...9].allSatisfy({ $0 == 0 }) { return "image/bmp" }
    if starts([0x50, 0x4b, 3, 4]) || starts([0x50, 0x4b, 5, 6]) { return zip(bytes) }
    if starts([0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1]) { return "application/x-ole-storage" }
    if at(0, "{\\rtf") { return "application/rtf" }
    if starts([0x1f, 0x8b]) { return "application/gzip" }
    if at(0, "Rar!") { return "application/vnd.rar" }
    if starts([0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c]) { return "application/x-7z-compressed" }
    if at(0, "MZ") { return "application/vnd.microsoft.portable-executable" }
    if starts([0x7f, 0x45, 0x4c, 0x46]) { return "application/x-elf" }
    if at(0, "#!") { return "text/x-script" }
    return nil
  }

  private static func zip(_ bytes: [UInt8]) -> String {
    let office = "application/vnd.openxmlformats-officedocument."
    var offset = 0
    for _ in 0..<32 {
      guard offset + 30 <= bytes.count, bytes[offset..<offset + 4].elementsEqual([0x50, 0x4b, 3, 4]) else { break }
      func number(_ at: Int, _ count: Int) -> Int {
        (0..<count).reduce(0) { $0 | Int(bytes[offset + at + $1]) << (8 * $1) }
      }
      let nameEnd = min(bytes.count, offset + 30 + number(26, 2))
      let name = String(decoding: bytes[offset + 30..<nameEnd], as: UTF8.self)
      if name.hasPrefix("word/") { return office + "wordprocessingml.document" }
      if name.hasPrefix("xl/") { return office + "spreadsheetml.sheet" }
      if name.hasPrefix("ppt/") { return office + "presentationml.presentation" }
      if name == "OFD.xml" { return "application/ofd" }
      offset = nameEnd + number(28, 2) + number(18, 4)
    }
    return "application/zip"
  }

  private static func isText(_ bytes: [UInt8]) -> Bool {
    guard !bytes.isEmpty, String(validating: bytes, as: UTF8.self) != nil else { return false }
    return hasNoControls(bytes)
  }

  private static func hasNoControls(_ bytes: [UInt8]) -> Bool {
    bytes.allSatisfy { $0 >= 0x20 || $0 == 9 || $0 == 10 || $0 == 13 || $0 == 12 }
  }

  private static func looksLikeMarkup(_ bytes: [UInt8]) -> Bool {
    let start = trimmed(String(decoding: bytes.prefix(512), as: UTF8.self)).lowercased()
    return ["<!doctype", "<html", "<script", "<svg", "<?xml", "<body", "<iframe", "<!--"].contains {
      start.hasPrefix($0)
    }
  }
}
