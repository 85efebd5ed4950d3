import Channels
import ContactModel
import Outbound
import Telephony

/// Calls of proactive service through a telephony channel; without it campaigns have no telephone.
struct DiallingWiring: Sendable {
  var server: String
  var showing: String?
  var offerWithin: Duration
  var resultWithin: Duration
  var memory: Duration

  init(_ reader: ConfigurationReader, servers: [String]) {
    server = reader.optionalString("server") ?? servers.first ?? ""
    if !servers.contains(server) {
      reader.problem(at: "server", "\(server) is none of the servers")
    } else if servers.count > 1, !reader.isGiven("server") {
      reader.problem(at: "server", "is required: there are several servers")
    }
    showing = reader.optionalString("showing")
    if let showing, !showing.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2b }) || showing.utf8.count > 40 {
      reader.problem(at: "showing", "\(showing) is no number")
    }
    offerWithin = reader.duration("offer_within", default: .seconds(30))
    resultWithin = reader.duration("result_within", default: .seconds(120))
    memory = reader.duration("doubt_memory", default: .seconds(7_200))
  }

  func line(through adapter: TelephonyAdapter) -> DialLine {
    DialLine(
      link: OutboundLink(channel: .phone, adapter: adapter, window: 1, memory: memory), control: adapter,
      server: server,
      showing: showing, offerWithin: offerWithin, resultWithin: resultWithin)
  }
}
