import Channels

/// What Liaison makes of a recorded session: one JSON object a PDU in the order of the recording, then one a message.
///
/// Field names are the specifications'. A PDU that does not read has `defects`; octets that cannot be framed have
/// `error`. Messages come after the PDUs: parts joined, answers and receipts (which may come before the answer) found by
/// their ids. Pure. Source: SMPP 3.4 §4, §5; specs/sms.md §8.
public struct Inspection {
  public enum Wire: String, Sendable, CaseIterable { case smpp, cmpp }

  public struct Options: Sendable {
    /// Nil: told from the recording.
    public var wire: Wire?
    public var profile: TextProfile
    public var numbers: NumberPlan
    public var keywords: KeywordTable
    /// How long parts of one message may be apart, by the recording's own times.
    public var timeLimit: Duration
    public init(
      wire: Wire? = nil, profile: TextProfile = TextProfile(), numbers: NumberPlan = .china,
      keywords: KeywordTable = KeywordTable(), timeLimit: Duration = .seconds(1_800)
    ) {
      self.wire = wire
      self.profile = profile
      self.numbers = numbers
      self.keywords = keywords
      self.timeLimit = timeLimit
    }
  }

  private let options: Options
  private let file: String?
  private let wire: Wire
  private var version = CMPPPDU.Version.v20
  private var splitters: [Recording.Side: FrameSplitter]
  private var broken: Set<Recording.Side> = []
  private var lines: [JSONText] = []
  private var trace: MessageTrace

  /// JSON lines for one recording; never fails: what is wrong with it is in them.
  public static func lines(of text: String, file: String? = nil, options: Options = Options()) -> [String] {
    let recording = Recording(text)
    var inspection = Inspection(recording, file: file, options: options)
    inspection.run(recording)
    return inspection.lines.map(\.line)
  }

  private init(_ recording: Recording, file: String?, options: Options) {
    self.options = options
    self.file = file
    wire = options.wire ?? Self.guess(recording)
    let minimum = wire == .smpp ? SMPPPDU.headerLength : CMPPPDU.headerLength
    splitters = [.client: FrameSplitter(minimum: minimum), .server: FrameSplitter(minimum: minimum)]
    trace = MessageTrace(options: options)
  }

  /// The wire whose framing and commands fit more of the octets.
  private static func guess(_ recording: Recording) -> Wire {
    var scores: [Wire: Int] = [:]
    for wire in Wire.allCases {
      var score = 0
      let minimum = wire == .smpp ? SMPPPDU.headerLength : CMPPPDU.headerLength
      var splitters: [Recording.Side: FrameSplitter] = [:]
      for entry in recording.entries.prefix(40) {
        guard case .segment(let side, let octets) = entry.event else { continue }
        var splitter = splitters[side] ?? FrameSplitter(minimum: minimum)
        splitter.append(octets)
        // A length out of bounds only ends this count: the recording may be of just that.
        while let frame = try? splitter.next() {
          let sound: Bool
          switch wire {
          case .smpp:
            let pdu = SMPPPDU(frame: frame)
            sound = pdu.defects.isEmpty && !pdu.command.name.hasPrefix("command_")
          case .cmpp:
            let pdu = CMPPPDU(frame: frame, version: .v20)
            sound = pdu.defects.isEmpty && !pdu.command.name.hasPrefix("command_")
          }
          score += sound ? 1 : -1
        }
        splitters[side] = splitter
      }
      scores[wire] = score
    }
    return (scores[.cmpp] ?? 0) > (scores[.smpp] ?? 0) ? .cmpp : .smpp
  }

  private mutating func run(_ recording: Recording) {
    for entry in recording.entries {
      switch entry.event {
      case .unreadable(let reason):
        append(entry, side: nil, [("record", .string("error")), ("error", .string(reason))])
      case .closes(let side):
        finish(side, at: entry)
        // A later segment belongs to a new connection.
        let minimum = wire == .smpp ? SMPPPDU.headerLength : CMPPPDU.headerLength
        splitters[side] = FrameSplitter(minimum: minimum)
        broken.remove(side)
        trace.connectionEnded(side)
      case .segment(let side, let octets):
        guard !broken.contains(side) else {
          append(
            entry, side: side,
            [
              ("record", .string("error")), ("error", .string("not framed: follows a bad length")),
              ("octets", .string(octets.hex)),
            ])
          continue
        }
        splitters[side]?.append(octets)
        readFrames(side, at: entry)
      }
    }
    for side in [Recording.Side.client, .server] { finish(side, at: nil) }
    for message in trace.finish() { lines.append(.object(prefix(side: nil, entry: nil) + message)) }
  }

  private mutating func readFrames(_ side: Recording.Side, at entry: Recording.Entry) {
    do throws(FrameSplitter.BadLength) {
      while let frame = try splitters[side]?.next() {
        switch wire {
        case .smpp:
          let pdu = SMPPPDU(frame: frame)
          append(entry, side: side, SMPPDescription(pdu, length: frame.count, options: options, side: side).members)
          trace.note(pdu, from: side, at: entry.time)
        case .cmpp:
          let pdu = CMPPPDU(frame: frame, version: version)
          if case .connected(_, _, let agreed) = pdu.body { version = agreed >= 0x30 ? .v30 : .v20 }
          if case .connect(_, _, let asked, _) = pdu.body { version = asked >= 0x30 ? .v30 : .v20 }
          append(entry, side: side, CMPPDescription(pdu, length: frame.count, options: options).members)
          trace.note(pdu, from: side, at: entry.time)
        }
      }
    } catch {
      broken.insert(side)
      let field = wire == .smpp ? "command_length" : "Total_Length"
      append(
        entry, side: side,
        [
          ("record", .string("error")),
          (
            "error",
            .string("bad \(field) \(error.length) (\(error.length.hexLiteral)): out of bounds, the stream ends here")
          ),
          (field, .int(Int(error.length))), ("octets", .string((splitters[side]?.leftOver ?? []).hex)),
        ])
    }
  }

  private mutating func finish(_ side: Recording.Side, at entry: Recording.Entry?) {
    guard !broken.contains(side), let rest = splitters[side]?.leftOver, !rest.isEmpty else { return }
    splitters[side] = FrameSplitter(minimum: wire == .smpp ? SMPPPDU.headerLength : CMPPPDU.headerLength)
    append(
      entry, side: side,
      [
        ("record", .string("error")), ("error", .string("cut short: the stream ends within a PDU")),
        ("octets", .string(rest.hex)),
      ])
  }

  private mutating func append(_ entry: Recording.Entry?, side: Recording.Side?, _ members: [(String, JSONText)]) {
    lines.append(.object(prefix(side: side, entry: entry) + members))
  }

  private func prefix(side: Recording.Side?, entry: Recording.Entry?) -> [(String, JSONText)] {
    var out: [(String, JSONText)] = []
    if let file { out.append(("file", .string(file))) }
    if let entry { out.append(("line", .int(entry.line))) }
    out.append(("protocol", .string(wire.rawValue)))
    if let side { out.append(("direction", .string(side.rawValue))) }
    if let time = entry?.time { out.append(("time", .number(time))) }
    return out
  }
}
