import Channels
import Foundation

/// The wall clock, UTC.
@Sendable public func systemTime() -> Timestamp {
  Timestamp(microseconds: Int64((Date().timeIntervalSince1970 * 1_000_000).rounded(.down)))
}

/// Not `request`: that names what a customer wants.
public enum RequestKind: IdentifierKind { public static let prefix = "http" }
/// Names one HTTP request in answers and logs.
public typealias RequestID = Identifier<RequestKind>
