/// A category of service request: a business parameter of the bank, for example 投诉建议 complaint/suggestion.
public struct Category: Hashable, Sendable, Codable {
  public var code: Code
  public var nameZh: String
  public var nameEn: String
  /// Where requests of this category wait.
  public var queue: Code
  /// 1 is gravest, 4 lightest.
  public var severity: Int
  public var urgency: Int
  /// Minutes until the first deadline of a new request.
  public var respondWithinMinutes: Int
  /// Words that suggest this category when they occur in subject or text; folded when compared.
  public var keywords: [String]

  public init(
    code: Code, nameZh: String, nameEn: String, queue: Code, severity: Int, urgency: Int, respondWithinMinutes: Int,
    keywords: [String]
  ) {
    self.code = code
    self.nameZh = nameZh
    self.nameEn = nameEn
    self.queue = queue
    self.severity = severity
    self.urgency = urgency
    self.respondWithinMinutes = respondWithinMinutes
    self.keywords = keywords
  }
}
