/// 通话结果: what an agent may say came of a call of the bank's, and what follows from it. Business parameters.
public struct CallResult: Hashable, Sendable, Codable {
  /// What follows for the job. Closed: the bank names its own results, but each means one of these.
  public enum Meaning: String, Hashable, Sendable, Codable, CaseIterable {
    /// The customer was spoken to: the job is done.
    case reached
    /// A machine, a child, somebody else: he is called again by the rules, as if nobody had answered.
    case notReached = "not_reached"
    /// He wants to be called at another time, by the same agent.
    case callBack = "call_back"
    /// The number is not his: it is not called again.
    case wrongNumber = "wrong_number"
    /// He wants no calls of this kind: the job is done, and his word is kept.
    case refusesCalls = "refuses_calls"
  }
  public var code: Code
  public var nameZh: String
  public var nameEn: String
  public var means: Meaning
  public init(code: Code, nameZh: String, nameEn: String, means: Meaning) {
    self.code = code
    self.nameZh = nameZh
    self.nameEn = nameEn
    self.means = means
  }

  /// Where the bank gave none of its own.
  public static let plain: [CallResult] = [
    CallResult(code: Code("reached")!, nameZh: "已沟通", nameEn: "Spoke with the customer", means: .reached),
    CallResult(code: Code("not-reached")!, nameZh: "非本人接听", nameEn: "Not the customer", means: .notReached),
    CallResult(code: Code("call-back")!, nameZh: "约定回电", nameEn: "Wants to be called back", means: .callBack),
    CallResult(code: Code("wrong-number")!, nameZh: "号码有误", nameEn: "Wrong number", means: .wrongNumber),
    CallResult(code: Code("no-calls")!, nameZh: "不愿接电话", nameEn: "Wants no such calls", means: .refusesCalls),
  ]
}
