import Channels
import Store

/// Arrivals that another took the place of: parts of a long message, kept by themselves while the rest was awaited.
enum MessageParts {
  /// The arrivals' ids, with commas between: what an adapter says of a message that has them in it.
  static let property = "arrival.replaces"
}

extension Intake {
  /// Takes the parts out of quarantine: the message that holds them is there. In a transaction of its own after the
  /// message's; cut off in between, a part stays visible, which harms nobody.
  func replaceParts(by message: InboundMessage, of kept: KeptArrival) async throws {
    guard let list = message.properties.first(where: { $0.key == MessageParts.property })?.value else { return }
    let parts = list.split(separator: ",").compactMap { ArrivalID(String($0)) }
    let time = now()
    try await database.write { transaction in
      for part in parts { try transaction.replace(part, by: kept.id, on: kept.channel, at: time) }
    }
  }
}
