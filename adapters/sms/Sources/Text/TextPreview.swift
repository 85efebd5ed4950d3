/// What a text will cost on a link before it is sent: for the editor of a template and the API.
public struct TextPreview: Hashable, Sendable {
  /// A signature the customer will see: 【…】.
  public struct Sign: Hashable, Sendable {
    public var text: String
    public var placement: Signature.Placement
  }

  /// The link it was counted for.
  public var link: String
  /// As it will reach the handset, with signature and opt-out line.
  public var text: String
  public var coding: TextCoding
  /// Septets, UTF-16 units or octets, as `coding` counts.
  public var units: Int
  /// Short messages that are charged.
  public var parts: Int
  /// More are rejected by the link.
  public var maximumParts: Int
  /// Units that fit one short message, or one part if it takes several.
  public var unitsPerPart: Int
  /// Units that may be added before there is one part more.
  public var unitsLeft: Int
  /// Nil if the link signs nothing, or the text is signed already.
  public var signature: Sign?
  /// Characters that force the dearer coding, each once, at most 20: what to replace to save parts.
  public var outsideGSM: [String]

  public init(
    of text: String, on profile: TextProfile, link: String = "", optOutLine: Bool = false
  ) throws(Segmentation.Failure) {
    let (sent, counted) = profile.compose(text, optOutLine: optOutLine)
    let whole = counted ?? sent
    let cut = try Segmentation(
      text: whole, codings: profile.codings, languages: profile.languages, method: profile.method, reference: 0,
      maximumParts: 255)
    self.link = link
    self.text = whole
    coding = cut.coding
    units = cut.units
    parts = cut.chargedParts
    maximumParts = profile.maximumParts
    let limits = Segmentation.limits(of: cut.coding, method: profile.method, tables: cut.tables)
    unitsPerPart = cut.chargedParts == 1 ? limits.single : limits.part
    unitsLeft = unitsPerPart - cut.unitsInLastPart
    if let sign = profile.signature, !Signature.isSigned(text) || sign.placement == .gateway {
      signature = Sign(text: "【\(sign.name)】", placement: sign.placement)
    }
    var seen: [String] = []
    for scalar in whole.unicodeScalars where GSMAlphabet.septets(of: scalar) == nil && seen.count < 20 {
      let character = String(scalar)
      if !seen.contains(character) { seen.append(character) }
    }
    outsideGSM = seen
  }
}
