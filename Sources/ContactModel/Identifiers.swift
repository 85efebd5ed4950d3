import Channels

public enum ContactKind: IdentifierKind { public static let prefix = "contact" }
public typealias ContactID = Identifier<ContactKind>

public enum ServiceRequestKind: IdentifierKind { public static let prefix = "request" }
public typealias ServiceRequestID = Identifier<ServiceRequestKind>

public enum ActivityKind: IdentifierKind { public static let prefix = "activity" }
public typealias ActivityID = Identifier<ActivityKind>

public enum OpportunityKind: IdentifierKind { public static let prefix = "opportunity" }
public typealias OpportunityID = Identifier<OpportunityKind>

public enum DecisionKind: IdentifierKind { public static let prefix = "decision" }
public typealias DecisionID = Identifier<DecisionKind>

public enum NoteKind: IdentifierKind { public static let prefix = "note" }
public typealias NoteID = Identifier<NoteKind>

public enum CampaignKind: IdentifierKind { public static let prefix = "campaign" }
public typealias CampaignID = Identifier<CampaignKind>

public enum ProactiveJobKind: IdentifierKind { public static let prefix = "job" }
public typealias ProactiveJobID = Identifier<ProactiveJobKind>

public enum EvidenceKind: IdentifierKind { public static let prefix = "evidence" }
public typealias EvidenceID = Identifier<EvidenceKind>

public enum PreferenceKind: IdentifierKind { public static let prefix = "preference" }
public typealias PreferenceID = Identifier<PreferenceKind>

public enum StopKind: IdentifierKind { public static let prefix = "stop" }
public typealias StopID = Identifier<StopKind>

public enum QuietKind: IdentifierKind { public static let prefix = "quiet" }
public typealias QuietID = Identifier<QuietKind>

public enum CallCommandKind: IdentifierKind { public static let prefix = "command" }
public typealias CallCommandID = Identifier<CallCommandKind>

public enum DialKind: IdentifierKind { public static let prefix = "dial" }
/// One agent shown one customer to be called, with what came of it.
public typealias DialID = Identifier<DialKind>

/// 客户编码 Customer_No: names one customer uniquely and globally, in every system of the bank. Issued by the CRM.
public struct CustomerNumber: Hashable, Comparable, Sendable, Codable, LosslessStringConvertible {
  public let description: String

  /// Nil unless 1–32 characters of `A–Z a–z 0–9 - _`. Letters keep their case.
  public init?(_ text: String) {
    let bytes = text.utf8
    guard (1...32).contains(bytes.count), bytes.allSatisfy(isCodeByte) else { return nil }
    description = text
  }
  public static func < (a: Self, b: Self) -> Bool { a.description < b.description }
  public init(from decoder: any Decoder) throws { self = try decodeCode(from: decoder, "customer_no") }
  public func encode(to encoder: any Encoder) throws { try encodeCode(description, to: encoder) }
}

/// Names a member of staff who handles contacts; issued by the bank's directory.
public struct AgentID: Hashable, Comparable, Sendable, Codable, LosslessStringConvertible {
  public let description: String
  /// Nil unless 1–64 characters of `A–Z a–z 0–9 - _ .`.
  public init?(_ text: String) {
    let bytes = text.utf8
    guard (1...64).contains(bytes.count), bytes.allSatisfy({ isCodeByte($0) || $0 == 0x2e }) else { return nil }
    description = text
  }
  public static func < (a: Self, b: Self) -> Bool { a.description < b.description }
  public init(from decoder: any Decoder) throws { self = try decodeCode(from: decoder, "agent") }
  public func encode(to encoder: any Encoder) throws { try encodeCode(description, to: encoder) }
}

/// The code of something the bank configures: a queue, category, department, customer type.
public struct Code: Hashable, Comparable, Sendable, Codable, LosslessStringConvertible {
  public let description: String
  /// Nil unless 1–64 characters of `A–Z a–z 0–9 - _`.
  public init?(_ text: String) {
    let bytes = text.utf8
    guard (1...64).contains(bytes.count), bytes.allSatisfy(isCodeByte) else { return nil }
    description = text
  }
  public static func < (a: Self, b: Self) -> Bool { a.description < b.description }
  public init(from decoder: any Decoder) throws { self = try decodeCode(from: decoder, "code") }
  public func encode(to encoder: any Encoder) throws { try encodeCode(description, to: encoder) }
}

private func isCodeByte(_ byte: UInt8) -> Bool {
  switch byte {
  case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x5f: return true
  default: return false
  }
}

private func decodeCode<Value: LosslessStringConvertible>(from decoder: any Decoder, _ what: String) throws -> Value {
  let container = try decoder.singleValueContainer()
  let text = try container.decode(String.self)
  guard let value = Value(text) else {
    throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a \(what): \(text)")
  }
  return value
}

private func encodeCode(_ text: String, to encoder: any Encoder) throws {
  var container = encoder.singleValueContainer()
  try container.encode(text)
}
