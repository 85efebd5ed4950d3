/// One command line to hfaxd, known to be within what the server reads.
///
/// hfaxd reads a line into a small buffer: 9,000 characters were cut at about 500 and the connection closed
/// (specs/fax.md
/// trap 12). A line feed in a value would begin a second command. Both are refused here, before anything is sent.
public struct Command: Hashable, Sendable, CustomStringConvertible {
  public enum Failure: Error, Hashable, Sendable {
    case valueTooLong(String)
    case controlCharacter(String)
  }
  public static let maximumValue = 400

  /// Without line end.
  public let line: String
  public var verb: String { String(line.prefix { $0 != " " }) }
  /// As it may be logged: without passwords.
  public var description: String { ["PASS", "ADMIN"].contains(verb) ? "\(verb) …" : line }

  private init(_ line: String) { self.line = line }

  /// A command whose text is fixed in the program.
  static func fixed(_ line: StaticString) -> Command { Command("\(line)") }

  static func word(_ verb: StaticString, _ argument: String) throws(Failure) -> Command {
    try check("\(verb)", argument)
    return Command("\(verb) \(argument)")
  }
  static func job(_ verb: StaticString, _ job: JobID) -> Command { Command("\(verb) \(job.number)") }

  /// `JPARM name "value"`. UTF-8 is kept byte for byte (trap 13).
  static func parameter(_ name: String, _ value: String) throws(Failure) -> Command {
    try check(name, value)
    return Command("JPARM \(name) \(quoted(value))")
  }
  static func parameter(_ name: String, _ value: Int) -> Command { Command("JPARM \(name) \(value)") }
  /// Parameters whose value is a word of the protocol, not a quoted text.
  static func parameter(_ name: String, word value: String) throws(Failure) -> Command {
    try check(name, value)
    return Command("JPARM \(name) \(value)")
  }
  static func query(_ name: StaticString) -> Command { Command("JPARM \(name)") }

  /// A format string; its octal escapes are the server's to read (hfaxd/Parser.c++, nextToken).
  static func format(_ verb: StaticString, _ format: String) -> Command { Command("\(verb) \"\(format)\"") }

  static func path(_ verb: StaticString, _ folder: String, _ name: String) throws(Failure) -> Command {
    try check("\(verb)", name)
    guard !name.contains("/"), !name.contains(" "), !name.hasPrefix(".") else { throw .controlCharacter(name) }
    return Command("\(verb) \(folder)/\(name)")
  }

  private static func check(_ name: String, _ value: String) throws(Failure) {
    guard value.utf8.count <= maximumValue else { throw .valueTooLong(name) }
    guard value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else { throw .controlCharacter(name) }
  }

  private static func quoted(_ value: String) -> String {
    var out = "\""
    for character in value.unicodeScalars {
      if character == "\"" || character == "\\" { out.unicodeScalars.append("\\") }
      out.unicodeScalars.append(character)
    }
    return out + "\""
  }
}

/// A job's number on one server.
public struct JobID: Hashable, Sendable, Comparable, CustomStringConvertible {
  public let number: Int
  public init(_ number: Int) { self.number = number }
  public init?(_ text: some StringProtocol) {
    guard let number = Int(text), number > 0 else { return nil }
    self.number = number
  }
  public var description: String { String(number) }
  public static func < (a: JobID, b: JobID) -> Bool { a.number < b.number }
}
