import Channels

/// The text of faxed pages, by tesseract as a child process: a suggestion for search and category, never evidence
/// alone.
///
/// Pages are given with square pixels: a standard page as it is comes out as garbage, and the letter before a number is
/// its weakest character (specs/fax.md §5). Orientation is asked first where its data is installed, so that an upside-
/// down
/// page can be shown and read the right way. Blocking, about half a second a page.
public struct TextRecognition: Hashable, Sendable {
  public var tesseract = "tesseract"
  public var languages = "chi_sim+eng"
  /// The first pages of a fax; the rest is not read.
  public var maximumPages = 10
  public var pageTimeLimit = Duration.seconds(20)
  /// Of all pages of one fax together.
  public var timeLimit = Duration.seconds(60)

  public init() {}

  public struct Page: Hashable, Sendable {
    public var text: String
    /// How the page has to be turned to stand upright.
    public var rotation: PageImage.Rotation
  }

  public enum Failure: Error, Hashable, Sendable {
    case notInstalled
    case failed(String)
  }

  /// `square` must have square pixels.
  public func read(_ square: PageImage) throws(Failure) -> Page {
    let rotation = orientation(of: square)
    let upright = rotation == .none ? square : square.rotated(rotation)
    let result = try run(["-", "-", "-l", languages, "--dpi", dpi(square), "--psm", "3"], upright.png())
    return Page(text: TextRecognition.tidied(result), rotation: rotation)
  }

  /// `.none` too when it cannot be told: little text, or no orientation data installed.
  private func orientation(of image: PageImage) -> PageImage.Rotation {
    guard image.blackness > 0.002,
      let said = try? run(["-", "-", "-l", "osd", "--dpi", dpi(image), "--psm", "0"], image.png())
    else { return .none }  // without orientation the page is read as it stands
    var degrees = 0
    var confidence = 0.0
    for line in said.split(whereSeparator: \.isNewline) {
      let parts = line.split(separator: ":").map { String($0).trimmed }
      guard parts.count == 2 else { continue }
      if parts[0] == "Rotate" { degrees = Int(parts[1]) ?? 0 }
      if parts[0] == "Orientation confidence" { confidence = Double(parts[1]) ?? 0 }
    }
    return confidence >= 2 ? PageImage.Rotation(rawValue: degrees) ?? .none : .none
  }

  private func dpi(_ image: PageImage) -> String { String(Int(image.xResolution.rounded())) }

  private func run(_ arguments: [String], _ png: [UInt8]) throws(Failure) -> String {
    var process = ChildProcess(program: tesseract, arguments: arguments)
    process.limits.wall = pageTimeLimit
    process.limits.outputBytes = 1 << 20
    do throws(ChildProcess.Failure) {
      let result = try process.run(input: png)
      if result.status == 127 { throw ChildProcess.Failure.cannotStart(2) }
      guard result.status == 0 else { return try refuse(result.errors) }
      return String(decoding: result.output, as: UTF8.self)
    } catch {
      if case .cannotStart = error { throw .notInstalled }
      throw .failed("\(error)")
    }
  }

  private func refuse(_ errors: String) throws(ChildProcess.Failure) -> String {
    throw .ended(signal: 0)
  }

  /// Without the blanks tesseract puts between Chinese characters, runs of empty lines and the form feed at the end.
  static func tidied(_ text: String) -> String {
    var lines: [String] = []
    for raw in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline) {
      var line: [Character] = []
      let characters = Array(String(raw).trimmed)
      for (index, character) in characters.enumerated() {
        if character == " ", index > 0, index + 1 < characters.count, isHan(characters[index - 1]),
          isHan(characters[index + 1])
        {
          continue
        }
        line.append(character)
      }
      if line.isEmpty, lines.last?.isEmpty ?? true { continue }
      lines.append(String(line))
    }
    while lines.last?.isEmpty == true { lines.removeLast() }
    return lines.joined(separator: "\n")
  }

  private static func isHan(_ character: Character) -> Bool {
    guard let value = character.unicodeScalars.first?.value else { return false }
    return (0x3000...0x30ff).contains(value) || (0x3400...0x9fff).contains(value) || (0xff00...0xffef).contains(value)
  }
}
