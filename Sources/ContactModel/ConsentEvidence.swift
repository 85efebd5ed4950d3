import Channels

/// What proves that a customer said something: kept for ever beside what he said.
public struct ConsentEvidence: Hashable, Sendable, Codable {
  public enum Kind: String, Hashable, Sendable, Codable, CaseIterable {
    case webForm = "web_form"
    case callRecording = "call_recording"
    case sms, email, post, paper, api
  }
  public var id: EvidenceID
  public var kind: Kind
  /// Where it is found: an arrival, a recording, a document number.
  public var reference: String
  /// SHA-256 of what was shown or said, hexadecimal; nil if there is nothing to hash.
  public var hash: String?
  public var capturedAt: Timestamp
  /// A person's or client's name, or `liaison`.
  public var capturedBy: String
  public var ip: String?

  public init(
    id: EvidenceID, kind: Kind, reference: String, hash: String? = nil, capturedAt: Timestamp, capturedBy: String,
    ip: String? = nil
  ) {
    self.id = id
    self.kind = kind
    self.reference = reference
    self.hash = hash
    self.capturedAt = capturedAt
    self.capturedBy = capturedBy
    self.ip = ip
  }
}

/// What a STOP covers.
public enum StopScope: String, Hashable, Sendable, Codable, CaseIterable {
  /// Advertising and what resembles it.
  case promo
  case all
}
