import Channels

/// Where a received fax came from, as HylaFAX writes it into the TIFF: the only way to learn it from the file alone.
///
/// ImageDescription (tag 270) is the TSI, then one line per CallIDPattern of the modem's configuration (specs/fax.md
/// §2).
/// TSI is free text of the sender; a caller number comes from the exchange and may be withheld or forged.
public struct FaxOrigin: Hashable, Sendable, Codable {
  /// Transmitting subscriber identification: what the sending machine calls itself.
  public var tsi: String?
  public var caller: String?
  public var callerName: String?
  /// The number of ours that was dialled.
  public var did: String?

  public init(tsi: String? = nil, caller: String? = nil, callerName: String? = nil, did: String? = nil) {
    self.tsi = tsi
    self.caller = caller
    self.callerName = callerName
    self.did = did
  }

  /// Nil unless HylaFAX received this page: another writer's description is just a text.
  public init?(_ header: TIFFPageHeader, order: CallIDOrder = .standard) {
    guard let text = header.imageDescription,
      header.receiveParameters != nil || header.software?.contains("HylaFAX") == true
    else { return nil }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
    self.init(tsi: FaxOrigin.given(lines.first))
    take(Array(lines.dropFirst()), order: order)
  }

  /// The values of the CallIDPattern lines, in the order of the modem's configuration.
  public mutating func take(_ callIDs: [String], order: CallIDOrder) {
    for (field, value) in zip(order.fields, callIDs) {
      guard let value = FaxOrigin.given(value) else { continue }
      switch field {
      case .number: caller = value
      case .name: callerName = value
      case .dialled: did = value
      case .other: break
      }
    }
  }

  /// The text without blanks around it; nil for `<NONE>`, which HylaFAX puts for a value the modem did not report.
  static func given(_ text: String?) -> String? {
    guard let text else { return nil }
    let kept = text.drop { $0.isWhitespace }
    let trimmed = String(kept.reversed().drop { $0.isWhitespace || $0 == "\0" }.reversed())
    return trimmed.isEmpty || trimmed == "<NONE>" ? nil : String(trimmed.prefix(120))
  }
}

/// What the CallIDPattern lines of a modem's configuration stand for, in their order.
public struct CallIDOrder: Hashable, Sendable {
  public enum Field: String, Hashable, Sendable, CaseIterable { case number, name, dialled, other }
  public var fields: [Field]
  public init(_ fields: [Field]) { self.fields = fields }
  /// NMBR=, NAME=, ANID=, NDID=.
  public static let standard = CallIDOrder([.number, .name, .other, .dialled])
}
