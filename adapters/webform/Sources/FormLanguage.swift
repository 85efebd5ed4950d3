/// The languages every form speaks.
public enum FormLanguage: String, Sendable, Hashable, CaseIterable {
  case zh, en

  /// BCP 47, for `lang` and for the message.
  public var tag: String {
    switch self {
    case .zh: "zh-Hans"
    case .en: "en"
    }
  }

  /// The best of ours for an `Accept-Language` header (RFC 9110 §12.5.4); Chinese where it names neither.
  ///
  /// Only the primary subtag counts: a form in simplified characters is better for `zh-TW` than an English one.
  public static func best(for header: String?) -> FormLanguage {
    var best: (language: FormLanguage, quality: Double)?
    for range in (header ?? "").split(separator: ",").prefix(32) {
      let pieces = range.split(separator: ";").map { trimmed(String($0)).lowercased() }
      guard let tag = pieces.first else { continue }
      let quality = pieces.dropFirst().first { $0.hasPrefix("q=") }.map { Double($0.dropFirst(2)) ?? 0 } ?? 1
      let primary = tag.split(separator: "-").first.map(String.init) ?? ""
      guard let language = FormLanguage(rawValue: primary), quality > 0 else { continue }
      if quality > best?.quality ?? 0 { best = (language, quality) }
    }
    return best?.language ?? .zh
  }
}

/// A text in every language of the forms.
public struct LocalizedText: Sendable, Hashable {
  public var zh: String
  public var en: String
  public init(zh: String, en: String) {
    self.zh = zh
    self.en = en
  }
  public subscript(language: FormLanguage) -> String {
    switch language {
    case .zh: zh
    case .en: en
    }
  }
}
