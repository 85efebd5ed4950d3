import Channels
import ContactModel
import Foundation
import Store

/// The business parameters intake decides by, as in force now.
public struct IntakeParameters: Sendable {
  /// By code.
  public var categories: [Code: ContactModel.Category]
  /// Where a message goes that nothing else decides.
  public var defaultCategory: Code
  /// Changes with every change of a category; decisions cite it.
  public var version: Int
  /// What is answered to a STOP and to its taking back, as templates; nil: nothing is answered.
  public var stopConfirmation: MessageTemplate?
  public var liftConfirmation: MessageTemplate?

  public init(categories: [ContactModel.Category], defaultCategory: Code, version: Int) {
    self.categories = Dictionary(categories.map { ($0.code, $0) }, uniquingKeysWith: { first, _ in first })
    self.defaultCategory = defaultCategory
    self.version = version
  }

  /// The category of a message: the one its wire determines; else the one with most keywords in subject and text, the
  /// graver on a tie; else the default. Total and pure.
  public func classify(_ message: InboundMessage) -> Routing.Classification {
    if let code = message.categoryCode.flatMap(Code.init), categories[code] != nil {
      return .init(category: code, by: "channel", candidates: [:], parameterVersion: version)
    }
    let text = fold((message.subject ?? "") + "\n" + message.text)
    var hits: [(category: ContactModel.Category, words: [String])] = []
    for category in categories.values {
      let words = category.keywords.filter { !$0.isEmpty && text.contains(fold($0)) }
      if !words.isEmpty { hits.append((category, words)) }
    }
    hits.sort { a, b in
      (-a.words.count, a.category.severity, a.category.code) < (-b.words.count, b.category.severity, b.category.code)
    }
    let candidates = Dictionary(
      hits.map { ($0.category.code.description, $0.words.sorted().joined(separator: ", ")) },
      uniquingKeysWith: { first, _ in first })
    if let best = hits.first {
      return .init(category: best.category.code, by: "keyword", candidates: candidates, parameterVersion: version)
    }
    let fallback = categories[defaultCategory] == nil ? categories.keys.min() ?? defaultCategory : defaultCategory
    return .init(category: fallback, by: "default", candidates: [:], parameterVersion: version)
  }
}

private func fold(_ text: String) -> String {
  text.precomposedStringWithCompatibilityMapping.lowercased()
}
