/// What bytes are, by their first bytes: a customer's `photo.jpg` of type application/octet-stream is shown as what it
/// is, and an .exe called invoice.pdf does not pass as a document. Nil where the bytes do not tell.
/// Source: WHATWG MIME Sniffing §6, and the formats' own specifications.
func sniffedMediaType(_ bytes: [UInt8]) -> String? {
  func starts(_ mark: [UInt8], at offset: Int = 0) -> Bool {
    bytes.count >= offset + mark.count && bytes[offset..<(offset + mark.count)].elementsEqual(mark)
  }
  func starts(_ mark: StaticString, at offset: Int = 0) -> Bool {
    guard bytes.count >= offset + mark.utf8CodeUnitCount else { return false }
    for index in 0..<mark.utf8CodeUnitCount where bytes[offset + index] != mark.utf8Start[index] { return false }
    return true
  }
  func contains(_ mark: StaticString, within limit: Int) -> Bool {
    let last = min(bytes.count, limit) - mark.utf8CodeUnitCount
    guard last >= 0 else { return false }
    for offset in 0...last where bytes[offset] == mark.utf8Start[0] && starts(mark, at: offset) { return true }
    return false
  }
  if bytes.count < 2 { return nil }
  if starts("%PDF-") { return "application/pdf" }
  if starts([0xff, 0xd8, 0xff]) { return "image/jpeg" }
  if starts([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]) { return "image/png" }
  if starts("GIF87a") || starts("GIF89a") { return "image/gif" }
  if starts("RIFF"), starts("WEBP", at: 8) { return "image/webp" }
  if starts("RIFF"), starts("WAVE", at: 8) { return "audio/wav" }
  if starts([0x49, 0x49, 0x2a, 0x00]) || starts([0x4d, 0x4d, 0x00, 0x2a]) { return "image/tiff" }
  if starts("BM"), bytes.count > 14, bytes[6] == 0, bytes[7] == 0, bytes[8] == 0, bytes[9] == 0 { return "image/bmp" }
  if starts("ftypheic", at: 4) || starts("ftypheix", at: 4) || starts("ftypmif1", at: 4) { return "image/heic" }
  if starts("ftypqt", at: 4) { return "video/quicktime" }
  if starts("ftyp", at: 4) { return "video/mp4" }
  if starts([0x50, 0x4b, 0x03, 0x04]) {
    if contains("word/", within: 4_096) {
      return "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    }
    if contains("xl/", within: 4_096) { return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" }
    if contains("ppt/", within: 4_096) {
      return "application/vnd.openxmlformats-officedocument.presentationml.presentation"
    }
    if starts("mimetypeapplication/vnd.oasis.opendocument.text", at: 30) {
      return "application/vnd.oasis.opendocument.text"
    }
    if starts("OFD.xml", at: 30) { return "application/ofd" }
    return "application/zip"
  }
  if starts([0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1]) { return "application/x-ole-storage" }
  if starts([0x78, 0x9f, 0x3e, 0x22]) { return "application/ms-tnef" }
  if starts("Rar!") { return "application/vnd.rar" }
  if starts([0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c]) { return "application/x-7z-compressed" }
  if starts([0x1f, 0x8b]) { return "application/gzip" }
  if starts("BZh") { return "application/x-bzip2" }
  if starts("MZ"), bytes.count > 64 { return "application/vnd.microsoft.portable-executable" }
  if starts([0x7f, 0x45, 0x4c, 0x46]) { return "application/x-elf" }
  if starts("{\\rtf") { return "application/rtf" }
  if starts("ID3") || starts([0xff, 0xfb]) { return "audio/mpeg" }
  if starts("#!AMR") { return "audio/amr" }
  if starts("OggS") { return "audio/ogg" }
  if starts("%!PS") { return "application/postscript" }
  return nil
}

/// The sniffed type, unless the declared one says the same more precisely.
func effectiveMediaType(_ bytes: [UInt8], declared: String) -> String {
  guard let sniffed = sniffedMediaType(bytes) else { return declared }
  if sniffed == "application/x-ole-storage" {
    // One container for Word, Excel, PowerPoint and Outlook items: believe a declared one of these.
    let known = declared.hasPrefix("application/vnd.ms-") || declared == "application/msword"
    return known ? declared : sniffed
  }
  if sniffed == "application/zip", declared.hasPrefix("application/vnd.openxml") || declared.hasSuffix("+zip") {
    return declared
  }
  return sniffed
}
