import Channels

/// How the suite drives one adapter over its real wire: written once by each adapter's tests.
///
/// A harness holds one fresh adapter and whatever stands on the other side of its wire. The suite makes a new harness for
/// every check, runs the adapter itself, and calls `close` at the end.
public protocol ChannelHarness: Sendable {
  associatedtype Adapter: ChannelAdapter
  var adapter: Adapter { get }

  /// The wire names its arrivals, so that a repeat can be recognised. False: every `wireKey` must be nil.
  var wireNamesArrivals: Bool { get }

  /// Lets the peer offer item `number` and returns when the peer has had its answer. The same number again is the peer
  /// repeating itself, byte for byte.
  func deliver(_ number: Int) async throws -> PeerAnswer

  /// Lets the peer send something that cannot be read; nil if the wire cannot carry such a thing.
  func deliverUnreadable() async throws -> PeerAnswer?

  /// Lets the peer send more than `capabilities.maximumArrivalBytes`; nil if that cannot be tried.
  func deliverOversize() async throws -> PeerAnswer?

  /// Stops the other side of the wire.
  func close() async
}

extension ChannelHarness {
  public var wireNamesArrivals: Bool { true }
  public func deliverOversize() async throws -> PeerAnswer? { nil }
  public func close() async {}
}

/// What a peer knows after it offered something.
public enum PeerAnswer: Sendable, Hashable {
  /// Taken over: the peer may forget it. 250, ESME_ROK, 202, a mail flagged, a cursor advanced.
  case taken
  /// To be offered again. 451, ESME_RMSGQFUL, 503, a mail left as it was.
  case later
  /// Never to be offered again. 554, ESME_RX_P_APPN, 422.
  case refused
  /// No answer: the connection was closed, or the wire has none to give (telephony events).
  case none
}

/// A promise of the seam that an adapter did not keep.
public struct ConformanceViolation: Error, Sendable, CustomStringConvertible {
  public var check: ConformanceCheck
  public var text: String
  public var description: String { "\(check.rawValue): \(text)" }
}
