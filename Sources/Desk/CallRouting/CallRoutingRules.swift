import Channels
import ContactModel

/// The business parameters by which calls are routed: what number leads where, and whom the bank puts first.
///
/// Read by `liaison params apply` from `kind: call_routing`; a new version holds from its effective date without a
/// restart, and each decision cites the version it used.
public struct CallRoutingRules: Sendable, Hashable, Codable {
  /// One number of ours, or all that begin so.
  public struct Number: Sendable, Hashable, Codable {
    /// As dialled; a trailing `*` stands for the rest. The longest that fits wins, a whole number before any pattern.
    public var did: String
    public var queue: Code
    public var language: String?
    public var priority: Int
    public init(did: String, queue: Code, language: String? = nil, priority: Int = 0) {
      self.did = did
      self.queue = queue
      self.language = language
      self.priority = priority
    }
  }
  /// What a customer's level changes. Level 1 is the most important.
  public struct Level: Sendable, Hashable, Codable {
    public var level: Int
    /// Added to the number's priority; higher goes first, as Asterisk's QUEUE_PRIO.
    public var priority: Int
    /// Another queue than the number's; nil leaves it.
    public var queue: Code?
    /// The call is offered to the customer's manager first.
    public var managerFirst: Bool
    public init(level: Int, priority: Int = 0, queue: Code? = nil, managerFirst: Bool = false) {
      self.level = level
      self.priority = priority
      self.queue = queue
      self.managerFirst = managerFirst
    }
  }
  public struct WrapUp: Sendable, Hashable, Codable {
    public var queue: Code
    /// 0: none.
    public var seconds: Int
    public init(queue: Code, seconds: Int) {
      self.queue = queue
      self.seconds = seconds
    }
  }

  public var defaultQueue: Code
  public var defaultLanguage: String
  public var defaultPriority: Int
  /// A look-up that takes longer is answered by the number alone.
  public var answerWithinMs: Int
  public var numbers: [Number]
  public var levels: [Level]
  public var defaultWrapUpSeconds: Int
  public var wrapUps: [WrapUp]
  /// Of the parameter; 0 where none is applied.
  public var version: Int

  public init(
    defaultQueue: Code, defaultLanguage: String = "zh", defaultPriority: Int = 0, answerWithinMs: Int = 15,
    numbers: [Number] = [], levels: [Level] = [], defaultWrapUpSeconds: Int = 30, wrapUps: [WrapUp] = [],
    version: Int = 0
  ) {
    self.defaultQueue = defaultQueue
    self.defaultLanguage = defaultLanguage
    self.defaultPriority = defaultPriority
    self.answerWithinMs = answerWithinMs
    self.numbers = numbers
    self.levels = levels
    self.defaultWrapUpSeconds = defaultWrapUpSeconds
    self.wrapUps = wrapUps
    self.version = version
  }

  /// Every queue it names.
  public var queues: Set<Code> {
    Set([defaultQueue] + numbers.map(\.queue) + levels.compactMap(\.queue) + wrapUps.map(\.queue))
  }

  /// How long an agent may work after a call of this queue; nil: not at all.
  public func wrapUp(after queue: String?) -> Duration? {
    let seconds = wrapUps.first { $0.queue.description == queue }?.seconds ?? defaultWrapUpSeconds
    return seconds > 0 ? .seconds(seconds) : nil
  }

  /// The rule for a dialled number; nil if none fits.
  func number(for did: String) -> Number? {
    let dialled = digits(did)
    guard !dialled.isEmpty else { return nil }
    var best: (number: Number, length: Int)?
    for number in numbers {
      let isPattern = number.did.hasSuffix("*")
      let wanted = digits(isPattern ? String(number.did.dropLast()) : number.did)
      if !isPattern, wanted == dialled { return number }
      if isPattern, dialled.hasPrefix(wanted), wanted.utf8.count >= best?.length ?? 0 {
        best = (number, wanted.utf8.count)
      }
    }
    return best?.number
  }
}

/// Trunks differ in `+`, blanks and hyphens; what is no number at all (an extension's name) is compared as it is.
private func digits(_ text: String) -> String {
  let kept = text.filter { $0.isASCII && $0.isNumber }
  return text.contains { $0.isLetter } ? text : kept
}
