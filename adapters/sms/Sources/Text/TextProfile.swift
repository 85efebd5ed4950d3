/// How texts are written for one link: which codings its SMSC takes, how long texts are cut, who signs.
public struct TextProfile: Hashable, Sendable {
  /// What the SMSC takes data_coding 0 to mean (SMPP 3.4 §5.2.19): a setting of each link, never guessed.
  public enum DefaultAlphabet: String, Hashable, Sendable, Codable, CaseIterable {
    case gsm7, ascii, latin1, ucs2, gb18030
    public var coding: TextCoding {
      switch self {
      case .gsm7: .gsm7
      case .ascii: .ascii
      case .latin1: .latin1
      case .ucs2: .ucs2
      case .gb18030: .gb18030
      }
    }
  }

  public var defaultAlphabet: DefaultAlphabet
  /// data_coding for UCS-2: 8, on some links 4 or 0x18.
  public var ucs2DataCoding: UInt8
  public var method: Segmentation.Method
  /// Longer texts are rejected as too large; 1 to 255.
  public var maximumParts: Int
  public var signature: Signature?
  /// Appended where the dispatch asks for it (`sms.opt_out_line`), for example `拒收请回复R`.
  public var optOutLine: String?
  /// The codings tried in this order.
  public var codings: [TextCoding]
  /// Languages whose tables handsets here know: a text that only they have stays in septets. For udh8 and udh16 alone.
  public var languages: [NationalLanguage] = []

  public init(
    defaultAlphabet: DefaultAlphabet = .gsm7, ucs2DataCoding: UInt8 = 8, method: Segmentation.Method = .udh8,
    maximumParts: Int = 10, signature: Signature? = nil, optOutLine: String? = nil, codings: [TextCoding]? = nil
  ) {
    self.defaultAlphabet = defaultAlphabet
    self.ucs2DataCoding = ucs2DataCoding
    self.method = method
    self.maximumParts = maximumParts
    self.signature = signature
    self.optOutLine = optOutLine
    self.codings = codings ?? (defaultAlphabet == .ucs2 ? [.ucs2] : [defaultAlphabet.coding, .ucs2])
  }

  func compose(_ text: String, optOutLine wanted: Bool) -> (sent: String, counted: String?) {
    var body = text
    if wanted, let optOutLine, !body.hasSuffix(optOutLine) { body += optOutLine }
    return signature?.apply(to: body) ?? (body, nil)
  }
}
