/// How the channels are named that commands make.
enum AsteriskOrders {
  static let conference = "conf-"
  static let supervisor = "spy-"
  /// Made for a call that is there, not to begin one.
  static func joinsCall(_ channel: String) -> Bool {
    channel.hasPrefix(conference) || channel.hasPrefix(supervisor)
  }
}
