import Channels

/// How far an adapter has read a peer that is read by position; the value is the adapter's own text.
extension WriteTransaction {
  public func setCursor(_ value: String, named name: String, of channel: ContactChannel, at time: Timestamp) throws {
    try execute(
      """
      INSERT INTO channel_cursor(channel, name, value, updated_at) VALUES ($1, $2, $3, $4)
      ON CONFLICT (channel, name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at
      """, [.text(channel.name), .text(name), .text(value), SQLValue(time)])
  }
}

extension Connection {
  /// Nil if nothing was ever read.
  public func cursor(named name: String, of channel: ContactChannel) throws -> String? {
    try first(
      "SELECT value FROM channel_cursor WHERE channel = $1 AND name = $2", [.text(channel.name), .text(name)]
    ).map { try $0.text("value") }
  }
}
