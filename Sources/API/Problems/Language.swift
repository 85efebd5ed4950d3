/// The languages in which people are answered.
public enum Language: String, Hashable, Sendable, CaseIterable {
  case chinese = "zh-CN"
  case english = "en"

  /// The best of ours for an Accept-Language field; English when it names none of ours.
  ///
  /// Each range is matched by its primary subtag (`zh-Hant-TW` is answered in zh-CN); ranges of equal weight count
  /// in their order. A malformed weight drops its range.
  /// Source: RFC 9110 §12.5.4, RFC 4647 §3.4.
  public init(accepting field: String?) {
    var best: (language: Language, weight: Double)?
    for range in (field ?? "").split(separator: ",").prefix(20) {
      let parts = range.split(separator: ";").map { $0.filter { !$0.isWhitespace } }
      guard let tag = parts.first?.lowercased() else { continue }
      var weight = 1.0
      if let quality = parts.dropFirst().first(where: { $0.lowercased().hasPrefix("q=") }) {
        guard let value = Double(quality.dropFirst(2)), (0...1).contains(value) else { continue }
        weight = value
      }
      let language: Language
      switch tag.split(separator: "-").first {
      case "zh": language = .chinese
      case "en", "*": language = .english
      default: continue
      }
      if weight > 0, weight > best?.weight ?? 0 { best = (language, weight) }
    }
    self = best?.language ?? .english
  }
}

/// One text in each of our languages.
public struct LocalizedText: Hashable, Sendable {
  public var chinese: String
  public var english: String
  public init(zh chinese: String, en english: String) {
    self.chinese = chinese
    self.english = english
  }
  public subscript(language: Language) -> String {
    switch language {
    case .chinese: chinese
    case .english: english
    }
  }
}
