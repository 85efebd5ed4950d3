import Channels
import ContactModel

/// One way to call customers: the link the dispatcher decides by, and the exchange that places the calls.
public struct DialLine: Sendable {
  public var link: OutboundLink
  public var control: any CallControl
  /// The switch, as its channel names it.
  public var server: String
  /// The number of ours the customer sees; nil leaves it to the switch.
  public var showing: String?
  /// How long an agent may look at a customer before the next is asked.
  public var offerWithin: Duration
  /// How long after a call its result is waited for.
  public var resultWithin: Duration

  public init(
    link: OutboundLink, control: any CallControl, server: String, showing: String? = nil,
    offerWithin: Duration = .seconds(30), resultWithin: Duration = .seconds(120)
  ) {
    self.link = link
    self.link.isDialled = true
    self.control = control
    self.server = server
    self.showing = showing
    self.offerWithin = offerWithin
    self.resultWithin = resultWithin
  }

  var name: String { link.name }
}

/// What may be dialled: nothing a dial plan would take for more than a number.
func isNumber(_ text: String) -> Bool {
  (1...40).contains(text.utf8.count)
    && text.utf8.allSatisfy { (0x30...0x39).contains($0) || "+*#".utf8.contains($0) }
}
