import Channels

/// What a receipt says about one submitted part, from parameters and text together.
public struct ReceiptReading: Hashable, Sendable {
  /// Where the state came from, and whether the two sources disagree.
  public enum Agreement: String, Hashable, Sendable {
    case textOnly = "text_only"
    case parametersOnly = "parameters_only"
    case agree
    /// The parameter (a defined number) is believed over the text (free form), unless only the text is final.
    case contradict
  }

  /// As the peer wrote it: the text's id, else receipted_message_id.
  public var rawID: String?
  /// receipted_message_id, where it differs from the text's id.
  public var otherID: String?
  /// The word behind `state`: `DELIVRD`, `MK:0001`.
  public var word: String?
  public var state: DeliveryReport.State
  public var agreement: Agreement
  public var errorCode: String?
  /// In the SMSC's local time if it says none; nil if missing or no date.
  public var doneAt: Timestamp?
  /// An intermediate notification (esm_class 0x20): never final, whatever its words.
  public var intermediate: Bool
  public var text: ReceiptText?
}

/// Decides whether a deliver_sm or data_sm is a receipt and what it says. Pure.
///
/// A receipt is: esm_class bits say so (0x04, 0x08, 0x10, 0x20); or receipted_message_id is present; or (esm_class 0) the
/// text is unmistakably one. A customer's own message that quotes a receipt has no such bits and does not begin with
/// `id:` plus dates, so it stays a message. Source: SMPP 3.4 §5.2.12, appendix B; specs/sms.md §5.4, §5.5.
public struct ReceiptReader: Hashable, Sendable {
  /// The link's own words beyond the specification's, upper case.
  public var extraWords: [String: DeliveryReport.State]
  /// Receipts without esm_class bits are recognised by their text.
  public var trustsTextAlone: Bool
  /// What the SMSC's clock shows, east of Greenwich, for the dates in receipts.
  public var utcOffsetSeconds: Int

  public init(
    extraWords: [String: DeliveryReport.State] = [:], trustsTextAlone: Bool = true, utcOffsetSeconds: Int = 0
  ) {
    self.extraWords = extraWords
    self.trustsTextAlone = trustsTextAlone
    self.utcOffsetSeconds = utcOffsetSeconds
  }

  /// Nil if it is an ordinary message.
  public func read(esmClass: UInt8, octets: [UInt8], coding: TextCoding, parameters: [SMPPParameter]) -> ReceiptReading?
  {
    let kind = esmClass & 0x3c
    let receiptedID = parameters[.receiptedMessageID].map { $0.string.trimmed }.flatMap { $0.isEmpty ? nil : $0 }
    let isIntermediate = kind & 0x20 != 0
    let declared = kind & 0x1c == 0x04 || isIntermediate
    let acknowledgement = kind == 0x08 || kind == 0x10
    let startsWithID = Self.beginsWithID(octets, coding: coding)
    // Most messages are none: what could not be a receipt by any rule is not searched for one.
    guard declared || receiptedID != nil || startsWithID else { return nil }
    let text = ReceiptText(octets, coding: coding)
    if !declared {
      let byParameter = receiptedID != nil && (parameters[.messageState] != nil || text != nil)
      let byText = trustsTextAlone && kind == 0 && startsWithID && text?.isUnmistakable == true
      guard byParameter || byText || (acknowledgement && receiptedID != nil) else { return nil }
    }
    let textID = text?.id.map { $0.trimmed }
    let textState = text?.stat.flatMap { self.state(ofWord: $0) }
    let stateParameter = parameters[.messageState]?.integer
    let parameterState = stateParameter.flatMap { Self.state(ofNumber: $0) }

    var state: DeliveryReport.State
    var agreement: ReceiptReading.Agreement
    var word = text?.stat?.uppercased()
    switch (parameterState, textState) {
    case (let byParameter?, let byText?) where byParameter == byText:
      state = byText
      agreement = .agree
    case (let byParameter?, let byText?):
      agreement = .contradict
      let parameterWins = byParameter != .pending || byText == .pending
      state = parameterWins ? byParameter : byText
      if parameterWins { word = stateParameter.flatMap { Self.word(ofNumber: $0) } }
    case (let byParameter?, nil):
      state = byParameter
      agreement = text?.stat == nil ? .parametersOnly : .contradict
      word = stateParameter.flatMap { Self.word(ofNumber: $0) }
    case (nil, let byText?):
      state = byText
      agreement = .textOnly
    case (nil, nil):
      // No state at all, or a word nobody knows: it decides nothing.
      state = .pending
      agreement = text?.stat == nil && stateParameter != nil ? .parametersOnly : .textOnly
    }
    if isIntermediate { state = .pending }
    return ReceiptReading(
      rawID: textID ?? receiptedID, otherID: textID != nil && receiptedID != textID ? receiptedID : nil, word: word,
      state: state, agreement: agreement, errorCode: text?.error ?? networkError(parameters),
      doneAt: text?.doneDate.flatMap { timestamp($0) }, intermediate: isIntermediate, text: text)
  }

  /// Of a CMPP report: vendor words (`MK:0001`, `CB:0007`) are failures. Source: specs/sms.md §8.
  public func read(_ report: CMPPReport) -> ReceiptReading {
    let known = state(ofWord: report.state)
    let vendor = report.state.contains(":") || report.state.hasPrefix("ID")
    return ReceiptReading(
      rawID: [UInt8](messageID: report.messageID).hex, otherID: nil, word: report.state.uppercased(),
      state: known ?? (vendor ? .undelivered : .pending), agreement: .textOnly,
      errorCode: known == nil ? report.state : nil, doneAt: timestamp(report.doneTime), intermediate: false, text: nil)
  }

  /// Nil for a word that is neither the specification's nor the link's.
  public func state(ofWord word: String) -> DeliveryReport.State? {
    let word = word.uppercased()
    if let own = extraWords[word] { return own }
    switch word {
    case "DELIVRD", "DELIVERED", "DELIVERD": return .delivered
    case "EXPIRED": return .expired
    case "DELETED", "UNDELIV", "UNDELIVERABLE", "UNDELIVERED", "REJECTD", "REJECTED", "FAILED", "SKIPPED",
      "CANCELLED":
      return .undelivered
    case "UNKNOWN", "UNKNOWED": return .unknown
    case "ACCEPTD", "ACCEPTED", "ENROUTE", "BUFFERED", "BUFFRED", "SCHEDULED", "QUEUED", "PENDING": return .pending
    default: return nil
    }
  }

  /// message_state, SMPP 3.4 §5.2.28; 0 and 9 come from 5.0.
  static func state(ofNumber number: UInt32) -> DeliveryReport.State? {
    switch number {
    case 0, 1, 6: .pending
    case 2: .delivered
    case 3: .expired
    case 4, 5, 8, 9: .undelivered
    case 7: .unknown
    default: nil
    }
  }

  static func word(ofNumber number: UInt32) -> String? {
    let words = [
      "SCHEDULED", "ENROUTE", "DELIVERED", "EXPIRED", "DELETED", "UNDELIVERABLE", "ACCEPTED", "UNKNOWN", "REJECTED",
      "SKIPPED",
    ]
    return Int(number) < words.count ? words[Int(number)] : nil
  }

  private func networkError(_ parameters: [SMPPParameter]) -> String? {
    guard let value = parameters[.networkErrorCode]?.value, value.count == 3 else { return nil }
    return "\(value[0]):\(UInt16(value[1]) << 8 | UInt16(value[2]))"
  }

  private static func beginsWithID(_ octets: [UInt8], coding: TextCoding) -> Bool {
    let head = coding == .ucs2 ? UTF16Text.decode(Array(octets.prefix(24))).text : String(latin1: octets.prefix(12))
    return head.trimmed.lowercased().hasPrefix("id:")
  }

  /// YYMMDDhhmm, YYMMDDhhmmss, or with four digits of year.
  func timestamp(_ digits: String) -> Timestamp? {
    var text = digits
    guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    switch text.utf8.count {
    case 10: text = "20" + text + "00"
    // Twelve digits are YYMMDDhhmmss, or YYYYMMDDhhmm where they begin like a year of ours.
    case 12:
      let asYear = Int(text.prefix(4)).map { (2000...2099).contains($0) } ?? false
      let month = Int(text.dropFirst(2).prefix(2)) ?? 0
      let day = Int(text.dropFirst(4).prefix(2)) ?? 0
      let shortIsPossible = (1...12).contains(month) && (1...31).contains(day)
      text = asYear && !shortIsPossible ? text + "00" : "20" + text
    case 14: break
    default: return nil
    }
    let c = Array(text)
    func part(_ from: Int, _ count: Int) -> String { String(c[from..<from + count]) }
    let iso = "\(part(0, 4))-\(part(4, 2))-\(part(6, 2))T\(part(8, 2)):\(part(10, 2)):\(part(12, 2))Z"
    return Timestamp(iso).map { $0 - .seconds(utcOffsetSeconds) }
  }
}

extension [UInt8] {
  init(messageID: UInt64) {
    self = []
    append(integer: messageID)
  }
}
