import Channels
import ContactModel
import Desk
import Logging
import Store
import Telephony

/// Dial plans that ask over FastAGI: the keys `agi` of a telephony channel.
struct AGIWiring: Sendable {
  var listen: ListenAddress
  var peers: [String]
  var timeLimit: Duration
  var maximumConnections: Int

  init(_ reader: ConfigurationReader) {
    listen = reader.listener("listen", default: ListenAddress(host: "127.0.0.1", port: 4_573))
    peers = reader.strings("peers")
    timeLimit = reader.duration("time_limit", default: .seconds(3))
    maximumConnections = reader.integer("maximum_connections", default: 512, in: 1...100_000)
  }

  func listener(for channel: String, numbering: NumberPlan, with house: House) -> AGIListener {
    let router = house.callRouter(numbering: numbering)
    let asker = Actor(label: "agi:\(channel)", agent: nil, role: "integration")
    return AGIListener(
      configuration: .init(
        host: listen.host, port: listen.port, peers: Set(peers), timeLimit: timeLimit,
        maximumConnections: maximumConnections),
      group: house.group, logger: house.logger
    ) { request in
      let route = await router.route(
        CallRoutingQuestion(
          from: request.caller, did: request.dialled, customerNo: request.customerNo, callID: request.callID),
        for: asker)
      return route.variables
    }
  }
}

extension CallRoute {
  /// What the dial plan reads; the customer number under the name that telephony reads back (`__`: inherited).
  fileprivate var variables: [AGIVariable] {
    var out = [
      AGIVariable("LIAISON_QUEUE", queue.description), AGIVariable("QUEUE_PRIO", "\(priority)"),
      AGIVariable("LIAISON_LANGUAGE", language), AGIVariable("LIAISON_BASIS", basis.rawValue),
    ]
    // A caller who is only presumed is not told to the dial plan as if he had keyed in his number.
    if let customerNo { out.append(AGIVariable("LIAISON_CUSTOMER", customerNo.description)) }
    if let level { out.append(AGIVariable("LIAISON_LEVEL", "\(level)")) }
    if let manager, manager.first, let device = manager.device {
      out.append(AGIVariable("LIAISON_MANAGER_DEVICE", device))
    }
    out.append(AGIVariable("LIAISON_ROUTE", isFallback ? "fallback" : "answered"))
    return out
  }
}
