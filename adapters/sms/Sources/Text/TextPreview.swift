/// What a text will cost on a link before it is sent: for the editor of a template and the API.
public struct TextPreview: Hashable, Sendable, Codable {
  /// As it will reach the handset, with signature and opt-out line.
  public var text: String
  public var coding: TextCoding
  /// Septets, UTF-16 units or octets, as `coding` counts.
  public var units: Int
  /// Short messages that are charged.
  public var parts: Int
  /// Units that fit one short message, or one part if it takes several.
  public var unitsPerPart: Int
  /// Characters that force the dearer coding, each once, at most 20: what to replace to save parts.
  public var outsideGSM: [String]

  public init(of text: String, on profile: TextProfile) throws(Segmentation.Failure) {
    let (sent, counted) = profile.compose(text, optOutLine: false)
    let whole = counted ?? sent
    let cut = try Segmentation(
      text: whole, codings: profile.codings, method: profile.method, reference: 0, maximumParts: 255)
    self.text = whole
    coding = cut.coding
    units = cut.units
    parts = cut.chargedParts
    let limits = Segmentation.limits(of: cut.coding, method: profile.method)
    unitsPerPart = cut.chargedParts == 1 ? limits.single : limits.part
    var seen: [String] = []
    for scalar in whole.unicodeScalars where GSMAlphabet.septets(of: scalar) == nil && seen.count < 20 {
      let character = String(scalar)
      if !seen.contains(character) { seen.append(character) }
    }
    outsideGSM = seen
  }
}
