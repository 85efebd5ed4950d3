/// One line of the server's journal `log/xferfaxlog`: what became of one call. Source: man 5 xferfaxlog.
///
/// The only place on port 4559 that says that a reception was cut off (specs/fax.md trap 5), and that knows a job
/// after the
/// queues have been cleaned. It can be read by `RETR log/xferfaxlog` where its file mode allows.
public struct JournalEntry: Hashable, Sendable {
  public enum Kind: String, Hashable, Sendable, CaseIterable { case send = "SEND", receive = "RECV" }
  public var kind: Kind
  /// `11/22/26 21:24`, in the server's zone.
  public var date: String
  public var communication: String
  public var modem: String
  public var job: JobID?
  /// The file name without `recvq/`, of receptions.
  public var file: String?
  public var tag: String?
  /// The number dialled, of sendings; our own, of receptions.
  public var number: String
  /// CSI of the receiver or TSI of the sender.
  public var station: String?
  public var pages: Int
  /// Empty when the call ended well.
  public var reason: String
  public var callerName: String?
  public var caller: String?
  /// The number that was dialled, of receptions: the last part of `<NONE>::55550100`.
  public var did: String?

  /// Nil for CALL, PAGE and poll records and for a line that is cut.
  public init?(_ line: String) {
    let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map { JournalEntry.unquoted(String($0)) }
    guard fields.count >= 14, let kind = Kind(rawValue: fields[1]) else { return nil }
    self.kind = kind
    date = fields[0]
    communication = fields[2]
    modem = fields[3]
    number = fields[7]
    station = FaxOrigin.given(fields[8])
    pages = Int(fields[10]) ?? 0
    reason = fields[13]
    switch kind {
    case .send:
      job = JobID(fields[4])
      tag = fields[5].isEmpty ? nil : fields[5]
    case .receive:
      file = fields[4].hasPrefix("recvq/") ? String(fields[4].dropFirst(6)) : fields[4]
      callerName = fields.count > 14 ? FaxOrigin.given(fields[14]) : nil
      caller = fields.count > 15 ? FaxOrigin.given(fields[15]) : nil
      did = fields.count > 16 ? FaxOrigin.given(fields[16].split(separator: ":").last.map(String.init)) : nil
    }
  }

  public static func entries(_ bytes: [UInt8]) -> [JournalEntry] {
    bytes.split(separator: 0x0a).compactMap { JournalEntry(String(decoding: $0, as: UTF8.self)) }
  }

  private static func unquoted(_ field: String) -> String {
    guard field.count >= 2, field.hasPrefix("\""), field.hasSuffix("\"") else { return field }
    return String(field.dropFirst().dropLast())
  }
}
