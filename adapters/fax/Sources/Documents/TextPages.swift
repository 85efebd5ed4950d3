import Channels

/// Text laid out on A4 pages as PDF, Latin and Chinese.
///
/// HylaFAX itself turns text into PostScript by enscript, which has no Chinese (specs/fax.md trap 20). Latin is set in
/// Helvetica, everything else in a Chinese font by name; Ghostscript has or substitutes both (Debian: fonts-urw-base35,
/// fonts-droid-fallback, poppler-data).
struct TextPages {
  private static let size = 12.0
  private static let leading = 18.0
  private static let margin = 64.0
  private static let (width, height) = (595.0, 842.0)

  private var pages: [[UInt8]] = []
  private var lines: [UInt8] = []
  private var y = height - margin - size

  /// The head of a cover page: whom it is for, from whom, about what.
  mutating func cover(
    to: String, from: String, fromNumber: String, subject: String?, language: String?, at now: Timestamp
  ) {
    let chinese = language.map { $0.hasPrefix("zh") } ?? true
    let words = chinese ? ["传真", "收件", "发件", "日期", "事由"] : ["FAX", "To", "From", "Date", "Subject"]
    put(words[0], size: 24)
    y -= TextPages.leading
    put("\(words[1]): \(to)")
    let sender = [from, fromNumber].filter { !$0.isEmpty }.joined(separator: "  ")
    if !sender.isEmpty { put("\(words[2]): \(sender)") }
    put("\(words[3]): \(now.description.prefix(10))")
    if let subject, !subject.isEmpty { put("\(words[4]): \(subject)") }
    y -= TextPages.leading
  }

  mutating func add(_ text: String) {
    for paragraph in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline) {
      if paragraph.isEmpty { advance(TextPages.leading) } else { put(String(paragraph)) }
    }
  }

  mutating func pdf() -> [UInt8] {
    endPage()
    var builder = PDFBuilder()
    let latin = builder.add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    let descendant = builder.add(
      "<< /Type /Font /Subtype /CIDFontType0 /BaseFont /STSong-Light /DW 1000 "
        + "/CIDSystemInfo << /Registry (Adobe) /Ordering (GB1) /Supplement 4 >> "
        + "/FontDescriptor << /Type /FontDescriptor /FontName /STSong-Light /Flags 6 /FontBBox [-25 -254 1000 880] "
        + "/ItalicAngle 0 /Ascent 880 /Descent -120 /CapHeight 880 /StemV 93 >> >>")
    let chinese = builder.add(
      "<< /Type /Font /Subtype /Type0 /BaseFont /STSong-Light-UniGB-UTF16-H /Encoding /UniGB-UTF16-H "
        + "/DescendantFonts [\(descendant) 0 R] >>")
    for page in pages {
      builder.addPage(
        widthPoints: TextPages.width, heightPoints: TextPages.height, content: page,
        fonts: "/L \(latin) 0 R /C \(chinese) 0 R")
    }
    return builder.finished()
  }

  /// One paragraph, broken where it does not fit: at a space if there is one, else between any two characters.
  private mutating func put(_ paragraph: String, size: Double = TextPages.size) {
    let room = TextPages.width - 2 * TextPages.margin
    var line: [Character] = []
    var used = 0.0
    var lastSpace: Int?
    for character in paragraph {
      let wide = TextPages.advance(character) * size / 1_000
      if used + wide > room, !line.isEmpty {
        let end = lastSpace.map { $0 + 1 } ?? line.count
        write(Array(line[..<end]), size: size)
        line = Array(line[end...])
        used = line.reduce(0) { $0 + TextPages.advance($1) * size / 1_000 }
        lastSpace = nil
      }
      if character == " " { lastSpace = line.count }
      line.append(character)
      used += wide
    }
    write(line, size: size)
  }

  private mutating func write(_ line: [Character], size: Double) {
    if y < TextPages.margin { endPage() }
    var operators = "BT \(Int(TextPages.margin)) \(Int(y)) Td "
    var rest = line[...]
    while let first = rest.first {
      let latin = TextPages.isLatin(first)
      let run = rest.prefix { TextPages.isLatin($0) == latin }
      rest = rest.dropFirst(run.count)
      operators += "/\(latin ? "L" : "C") \(Int(size)) Tf <"
      operators += latin ? hexadecimal(run.map { $0.asciiValue ?? 0x3f }) : TextPages.utf16(run)
      operators += "> Tj "
    }
    lines.append(contentsOf: Array((operators + "ET\n").utf8))
    advance(size == TextPages.size ? TextPages.leading : size * 1.5)
  }

  private mutating func advance(_ distance: Double) {
    y -= distance
    if y < TextPages.margin - TextPages.leading { endPage() }
  }

  private mutating func endPage() {
    if !lines.isEmpty { pages.append(lines) }
    lines = []
    y = TextPages.height - TextPages.margin - TextPages.size
  }

  private static func isLatin(_ character: Character) -> Bool {
    character.asciiValue.map { $0 >= 0x20 && $0 < 0x7f } ?? false
  }

  private static func utf16(_ run: ArraySlice<Character>) -> String {
    hexadecimal(
      run.flatMap { character in
        // A tab or control is a blank; the font has nothing beyond the basic plane: a box stands for it.
        let scalar = character.unicodeScalars.first?.value ?? 0x20
        let unit = scalar < 0x20 ? 0x3000 : scalar > 0xffff ? 0x25a1 : scalar
        return [UInt8(unit >> 8), UInt8(unit & 0xff)]
      })
  }

  /// In thousandths of the size.
  private static func advance(_ character: Character) -> Double {
    guard isLatin(character), let code = character.asciiValue else { return 1_000 }
    return Double(helvetica[Int(code) - 0x20])
  }

  /// Advance widths of Helvetica, 0x20 to 0x7e. Source: Adobe Font Metrics, Helvetica 002.000.
  private static let helvetica: [Int] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278,
    556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556,
    1_015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778,
    667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556,
    333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556,
    556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
  ]
}
