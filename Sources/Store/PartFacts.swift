import Channels

extension WriteTransaction {
  /// Ends the work on an arrival that is set aside because `whole`, of the same channel, holds what it says. Without
  /// effect on any other arrival.
  public func replace(_ part: ArrivalID, by whole: ArrivalID, on channel: ContactChannel, at time: Timestamp) throws {
    let released = try query(
      """
      UPDATE quarantine SET released_at = $2, released_by = 'liaison'
      WHERE arrival_id = $1 AND released_at IS NULL AND EXISTS
        (SELECT 1 FROM arrival a WHERE a.arrival_id = $1 AND a.channel = $3 AND a.state = 'quarantined')
      RETURNING arrival_id
      """, [.id(part), SQLValue(time), .text(channel.name)])
    guard !released.isEmpty else { return }
    try query(
      "UPDATE arrival SET state = 'routed', settled_at = $2 WHERE arrival_id = $1", [.id(part), SQLValue(time)])
    try append(
      EventRecord(
        at: time, type: .arrivalReprocessed, subject: part.description, channel: channel.name, actor: "liaison",
        body: try JSONText.encode(["part_of": whole.description])))
  }
}
