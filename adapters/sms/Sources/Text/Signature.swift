/// The sender's registered short name in 【】, which the Chinese mainland demands of every text, and who writes it.
///
/// Where the gateway writes it, it must not be written by us too (it would appear twice), but must be counted.
/// A text that already begins or ends with 【…】 is left as it is. Source: specs/sms.md §9.
public struct Signature: Hashable, Sendable {
  public enum Placement: String, Hashable, Sendable, Codable, CaseIterable {
    case start, end
    /// The gateway puts it at the start; we only count it.
    case gateway
  }

  /// Without brackets, 1 to 20 characters.
  public var name: String
  public var placement: Placement

  public init(name: String, placement: Placement) {
    self.name = name
    self.placement = placement
  }

  /// What we send, and what the customer sees if that is more.
  public func apply(to text: String) -> (sent: String, counted: String?) {
    let sign = "【\(name)】"
    switch placement {
    case .start: return (Self.isSigned(text) ? text : sign + text, nil)
    case .end: return (Self.isSigned(text) ? text : text + sign, nil)
    case .gateway: return (text, sign + text)
    }
  }

  static func isSigned(_ text: String) -> Bool {
    if text.first == "【", let close = text.firstIndex(of: "】") {
      return text.distance(from: text.startIndex, to: close) <= 21
    }
    if text.last == "】", let open = text.lastIndex(of: "【") {
      return text.distance(from: open, to: text.endIndex) <= 22
    }
    return false
  }
}
