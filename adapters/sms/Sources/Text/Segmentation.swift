/// How one text is cut into the short messages that carry it, and what that costs.
///
/// The coding is the cheapest the link allows; then units are counted (septets, UTF-16 units or octets). What fits one
/// short message goes whole. Else parts are filled in order, never cutting an escape from its septet, a surrogate from
/// its pair, or an octet from its GB18030 character. Pure.
/// Source: 3GPP TS 23.038 §6, TS 23.040 §9.2.3.24.1, specs/sms.md §5.11.
public struct Segmentation: Hashable, Sendable {
  /// How the parts of a long text are told apart on the wire.
  public enum Method: String, Hashable, Sendable, Codable, CaseIterable {
    /// User data header with an 8-bit reference: 6 octets of each part.
    case udh8
    /// With a 16-bit reference: 7 octets.
    case udh16
    /// sar_msg_ref_num and its companions (SMPP 3.4 §5.3.2.22); the SMSC makes the header, so parts are as for udh8.
    case sar
    /// One PDU with message_payload (SMPP 3.4 §5.3.2.32); the SMSC cuts.
    case payload
  }

  public struct Part: Hashable, Sendable {
    /// Text octets without any header.
    public var octets: [UInt8]
    /// Nil for a text in one piece.
    public var concatenation: Concatenation?
  }

  public enum Failure: Error, Hashable, Sendable {
    /// More parts than the link allows, or than a reference can count.
    case tooManyParts(Int)
    /// A character that no coding of the link has.
    case notEncodable
  }

  public var coding: TextCoding
  /// National tables of the GSM alphabet that the header of every part must name.
  public var tables: NationalTables
  /// What is written to the wire, one entry a PDU; a single one for `payload`.
  public var parts: [Part]
  /// Short messages that are charged; differs from `parts.count` for `payload` and where the gateway adds a signature.
  public var chargedParts: Int
  /// Septets, UTF-16 units or octets of the whole text.
  public var units: Int
  /// Of these, in the last part.
  public var unitsInLastPart: Int

  /// Units that fit one short message alone, and one part of several.
  public static func limits(
    of coding: TextCoding, method: Method, tables: NationalTables = .none
  ) -> (single: Int, part: Int) {
    let wide = method == .udh16
    if tables != .none {
      // Three octets an element, and the header's own length.
      let more = 3 * tables.elements.count
      return ((1_120 - 8 * (1 + more)) / 7, (1_120 - 8 * ((wide ? 7 : 6) + more)) / 7)
    }
    switch coding {
    case .gsm7, .ascii, .latin1: return (160, wide ? 152 : 153)
    case .ucs2: return (70, wide ? 66 : 67)
    default: return (140, wide ? 133 : 134)
    }
  }

  /// `counted` is the text as it will reach the handset (with a signature the gateway adds); `text` is what we send.
  public init(
    text: String, counted: String? = nil, codings: [TextCoding], languages: [NationalLanguage] = [], method: Method,
    reference: UInt16, maximumParts: Int
  ) throws(Failure) {
    var chosen: (TextCoding, [UInt8])?
    var tables = NationalTables.none
    for coding in codings {
      // A link whose default alphabet is Latin-1 still sends septets over the air: both must have the character.
      if coding == .latin1 || coding == .ascii, GSMAlphabet.encode(text) == nil { continue }
      if let counted, coding.encode(counted) == nil { continue }
      if let octets = coding.encode(text) {
        chosen = (coding, octets)
        break
      }
      if coding == .gsm7, method == .udh8 || method == .udh16,
        let found = Self.tables(for: text, and: counted, among: languages)
      {
        (tables, chosen) = (found.tables, (.gsm7, found.octets))
        break
      }
    }
    guard let (coding, octets) = chosen else { throw .notEncodable }
    self.coding = coding
    self.tables = tables
    let limits = Self.limits(of: coding, method: method, tables: tables)
    let atoms = Atoms(text: text, coding: coding, tables: tables)
    units = atoms.units
    let (cut, last) = atoms.cut(single: limits.single, part: limits.part)
    unitsInLastPart = last
    var charged = cut.count
    if let counted {
      charged =
        Atoms(text: counted, coding: coding, tables: tables).cut(single: limits.single, part: limits.part).octets.count
    }
    chargedParts = charged
    guard max(charged, cut.count) <= min(maximumParts, 255) else { throw .tooManyParts(max(charged, cut.count)) }
    if cut.count == 1 || method == .payload {
      parts = [Part(octets: octets, concatenation: nil)]
      return
    }
    var position = 0
    var built: [Part] = []
    for (index, length) in cut.enumerated() {
      built.append(
        Part(
          octets: Array(octets[position..<position + length]),
          concatenation: Concatenation(
            reference: method == .udh16 || method == .sar ? reference : reference & 0xff,
            wide: method == .udh16 || method == .sar, total: UInt8(cut.count), number: UInt8(index + 1))))
      position += length
    }
    parts = built
  }

  /// The tables that need the fewest septets for it, the shorter header on a tie; nil if none has all characters.
  private static func tables(
    for text: String, and counted: String?, among languages: [NationalLanguage]
  ) -> (tables: NationalTables, octets: [UInt8])? {
    var best: (tables: NationalTables, octets: [UInt8])?
    for language in languages {
      var candidates = [NationalTables(single: language)]
      if language.hasLockingTable {
        candidates += [NationalTables(locking: language), NationalTables(single: language, locking: language)]
      }
      for tables in candidates {
        guard let octets = tables.encode(text), counted.map({ tables.encode($0) != nil }) ?? true else { continue }
        let cost = octets.count + 4 * tables.elements.count
        if best.map({ cost < $0.octets.count + 4 * $0.tables.elements.count }) ?? true { best = (tables, octets) }
      }
    }
    return best
  }

  /// The lengths of the uncuttable pieces of one text.
  private struct Atoms {
    /// Per character: units counted against the limit, octets on the wire.
    private var pieces: [(units: Int, octets: Int)] = []
    private(set) var units = 0

    init(text: String, coding: TextCoding, tables: NationalTables) {
      pieces.reserveCapacity(text.utf8.count)
      for scalar in text.unicodeScalars {
        let piece: (units: Int, octets: Int)
        switch coding {
        case .gsm7:
          let count = (tables == .none ? GSMAlphabet.septets(of: scalar) : tables.septets(of: scalar))?.count ?? 1
          piece = (count, count)
        case .ascii, .latin1:
          piece = (GSMAlphabet.septets(of: scalar)?.count ?? 1, 1)
        case .ucs2:
          let count = UTF16.width(scalar)
          piece = (count, count * 2)
        case .gb18030:
          let count = scalar.value < 0x80 ? 1 : TextCoding.gb18030.encode(String(scalar))?.count ?? 1
          piece = (count, count)
        default:
          let count = coding.encode(String(scalar))?.count ?? 1
          piece = (count, count)
        }
        units += piece.units
        pieces.append(piece)
      }
    }

    /// Octets of each part (one entry, perhaps 0, if all fits a single message), and the units of the last.
    func cut(single: Int, part: Int) -> (octets: [Int], unitsInLast: Int) {
      if units <= single { return ([pieces.reduce(0) { $0 + $1.octets }], units) }
      var out: [Int] = []
      var unitsUsed = 0
      var octets = 0
      for piece in pieces {
        if unitsUsed + piece.units > part {
          out.append(octets)
          unitsUsed = 0
          octets = 0
        }
        unitsUsed += piece.units
        octets += piece.octets
      }
      out.append(octets)
      return (out, unitsUsed)
    }
  }
}
