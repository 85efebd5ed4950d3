import Channels

/// One fax to be sent, as the server is told of it.
public struct FaxJob: Hashable, Sendable {
  /// As it is dialled: digits, `+` in front at most.
  public var number: String
  /// As people know it; shown in the server's queues and kept with the job.
  public var external: String
  /// JOBINFO: the wire identity, by which the job is found again in queues and journal.
  public var tag: String
  /// The document's pages as we counted and decoded them.
  public var pages: Int
  public var isFine: Bool
  /// From now until the server gives up; JSUBM is refused without it (specs/fax.md trap 10).
  public var lifetime: Duration
  /// Calls, and calls that connected. 1 and 1: Liaison repeats by itself, and knows each attempt.
  public var dials: Int
  public var tries: Int
  /// A modem or modem group of the server; nil for any.
  public var modem: String?
  /// Shown in the server's queues.
  public var sender: String?
  /// The header line HylaFAX prints on each page; nil for the server's own. Its font has no Chinese.
  public var headerLine: String?

  public init(
    number: String, external: String? = nil, tag: String, pages: Int, isFine: Bool, lifetime: Duration, dials: Int = 1,
    tries: Int = 1,
    modem: String? = nil, sender: String? = nil, headerLine: String? = nil
  ) {
    self.number = number
    self.external = external ?? number
    self.tag = tag
    self.pages = pages
    self.isFine = isFine
    self.lifetime = lifetime
    self.dials = dials
    self.tries = tries
    self.modem = modem
    self.sender = sender
    self.headerLine = headerLine
  }

  /// The number as HylaFAX may dial it. Letters would be turned into digits (trap 29), a comma or `w` into a pause:
  /// nil for
  /// anything but 3 to 20 digits with `+` in front at most, blanks, dots, hyphens and brackets between them left out.
  public static func dialable(_ text: String) -> String? {
    var out = ""
    for character in text.unicodeScalars {
      switch character {
      case "0"..."9": out.unicodeScalars.append(character)
      case "+" where out.isEmpty: out.append("+")
      case " ", "-", ".", "(", ")", "/": continue
      default: return nil
      }
    }
    let digits = out.utf8.count - (out.hasPrefix("+") ? 1 : 0)
    return (3...20).contains(digits) ? out : nil
  }

  /// `ddhhmm`, at least a minute, at most seven days: the server refuses jobs that live longer than a year.
  var lastTime: String {
    let minutes = max(1, min(7 * 24 * 60, Int(lifetime.wholeMilliseconds / 60_000)))
    func two(_ value: Int) -> String { (value < 10 ? "0" : "") + String(value) }
    return two(minutes / 1_440) + two(minutes / 60 % 24) + two(minutes % 60)
  }

  /// The parameters in the order they are sent. DOCUMENT and JSUBM follow.
  func parameters() throws(Command.Failure) -> [Command] {
    var out: [Command] = [
      try .parameter("FROMUSER", sender ?? "Liaison"),
      try .parameter("LASTTIME", word: lastTime),
      .parameter("MAXDIALS", dials),
      .parameter("MAXTRIES", tries),
      .parameter("SCHEDPRI", 127),
      try .parameter("DIALSTRING", number),
      try .parameter("EXTERNAL", external),
      try .parameter("JOBINFO", tag),
      try .parameter("TOLOCATION", "pages=\(pages)"),
      .parameter("VRES", isFine ? 196 : 98),
      .parameter("PAGEWIDTH", 209),
      .parameter("PAGELENGTH", 296),
      try .parameter("NOTIFY", "none"),
      try .parameter("PAGECHOP", "none"),
    ]
    if let modem { out.append(try .parameter("MODEM", modem)) }
    if let headerLine { out.append(try .parameter("TAGLINE", headerLine)) }
    return out
  }
}
