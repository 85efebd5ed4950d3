/// What a dial plan sends when it calls an AGI: the call as it is, and the arguments given.
///
/// Source: Asterisk res/res_agi.c, `setup_env`.
public struct AGIRequest: Sendable, Hashable {
  /// As sent, without the prefix `agi_`; of a name given twice the first counts.
  public var values: [String: String]

  public init(values: [String: String]) { self.values = values }

  public func value(_ name: String) -> String? {
    guard let text = values[name], !text.isEmpty, text != "unknown", text != "<unknown>" else { return nil }
    return text
  }
  /// From 1 on, as `AGI(agi://host/route,first,second)` numbers them.
  public func argument(_ number: Int) -> String? { value("arg_\(number)") }

  /// `route` of `agi://host/route`; empty if none was given.
  public var script: String {
    let text = values["network_script"] ?? ""
    return String(text.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false).first ?? "")
  }
  /// The caller's number; nil if withheld.
  public var caller: String? { argument(1) ?? value("callerid") }
  /// What was dialled: the second argument, else the number the trunk gave, else the extension.
  public var dialled: String? { argument(2) ?? value("dnid") ?? value("extension") }
  /// As keyed in: the third argument.
  public var customerNo: String? { argument(3) }
  /// The call's name, by the channel that started it.
  public var callID: String? { argument(4) ?? value("uniqueid") }
}

/// A channel variable for the dial plan.
public struct AGIVariable: Sendable, Hashable {
  /// `[A-Z_]+`; a leading `__` lets it be inherited.
  public var name: String
  public var value: String
  public init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}
