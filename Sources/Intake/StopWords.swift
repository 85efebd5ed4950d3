import Channels
import ContactModel
import Store

/// What a message says about its own address, as its adapter found it: properties `address.stop` (`promo`, `all`) or
/// `address.stop_lift`, with the word in `address.stop_word`.
///
/// Such a message is done with by being obeyed, in the transaction in which it becomes a contact: it opens no request, and
/// nobody has to work on it. Source: specs/sms.md "STOP", specs/outbound.md §1.
extension AddressWish {
  /// Nil where it says nothing, or says it about an address nobody could write to.
  init?(_ message: InboundMessage, from address: Address?, on channel: ContactChannel) {
    guard let address, address.kind == .phone || address.kind == .email || address.kind == .fax else { return nil }
    func property(_ key: String) -> String? { message.properties.first { $0.key == key }?.value }
    let act: Act
    if let scope = property("address.stop") {
      // A scope nobody knows is taken for the wider.
      act = .stop(StopScope(rawValue: scope) ?? .all)
    } else if property("address.stop_lift") != nil {
      act = .lift
    } else {
      return nil
    }
    self.init(
      act, about: address, on: OutboundChannel(rawValue: channel.kind.rawValue), word: property("address.stop_word"))
  }

  /// What a mailbox's operator passes on: its user has called a mail of ours unwanted (RFC 5965). Nil unless it names a
  /// mail we did send to that address; anybody can write such a report.
  init?(complaintIn message: InboundMessage, on channel: ContactChannel, _ connection: some Connection) throws {
    func property(_ key: String) -> String? { message.properties.first { $0.key == key }?.value }
    guard let text = property("complaint.recipient"), let id = property("complaint.message_id"), !text.isEmpty else {
      return nil
    }
    let address = Address(kind: .email, canonical: text.lowercased(), raw: text)
    guard try connection.hasSent(id, to: address) else { return nil }
    self.init(.stop(.promo), about: address, on: OutboundChannel(rawValue: channel.kind.rawValue))
  }

  /// The arrival itself is the proof.
  func evidence(_ kept: KeptArrival, at time: Timestamp) -> ConsentEvidence {
    let kinds: [ChannelKind: ConsentEvidence.Kind] = [.sms: .sms, .email: .email, .webform: .webForm]
    return ConsentEvidence(
      id: EvidenceID(at: time), kind: kinds[kept.channel.kind] ?? .paper, reference: kept.id.description,
      capturedAt: kept.receivedAt, capturedBy: "liaison")
  }

  /// What is answered once, in the language of the word.
  func confirmation(_ parameters: IntakeParameters, language: String?) -> Dispatch.Content? {
    let template: MessageTemplate? =
      switch act {
      case .stop: parameters.stopConfirmation
      case .lift: parameters.liftConfirmation
      }
    return template?.contents(with: [:], language: language)[channel?.rawValue ?? ""]
  }

  /// How the contact ends that is nothing else.
  var disposition: String {
    switch act {
    case .stop(.promo): "stop_promo"
    case .stop(.all): "stop_all"
    case .lift: "stop_lifted"
    }
  }
}
