import API
import Channels
import Customers
import Desk
import Intake
import Logging
import NIOCore
import NIOPosix
import Outbound
import Store

/// The configuration of one channel of one kind, and how the channel is made from it.
///
/// One conforming type a kind, in a file of its own; `ChannelKinds` names them all.
protocol ChannelWiring: Sendable {
  /// Reads the kind's keys of one entry of `channels`; what is wrong is told to the reader with its line.
  init(_ reader: ConfigurationReader)
  /// Makes the channel. Throws `DaemonError.configuration` for what only its adapter can judge.
  func wire(_ name: String, with house: House) async throws -> WiredChannel
}

/// What a channel may need of the daemon it is made for.
struct House: Sendable {
  var database: Database
  var bodies: BodyStore
  var secrets: Secrets
  var parameters: ParametersInForce
  var intake: Intake
  var desk: Desk
  /// Sockets of adapters run here.
  var group: any EventLoopGroup
  /// What blocks (decoding of documents, libraries without an event loop) runs here.
  var work: NIOThreadPool
  var logger: Logger
  var now: @Sendable () -> Timestamp
}

extension House {
  /// Answers dial plans by the rules in force.
  func callRouter(numbering: NumberPlan = NumberPlan()) -> CallRouter {
    CallRouter(
      database: database, rules: { [parameters] in parameters.callRouting },
      normalForm: { numbering.address($0) }, now: now, logger: logger)
  }
}

/// One channel, ready to run, and everything that is served or sent through it.
struct WiredChannel: Sendable {
  var adapter: any ChannelAdapter
  /// Served to customers and gateways on the public listener.
  var publicMounts: [Mount] = []
  /// Served on the admin socket, whose file mode is the key: hook programs on this machine.
  var adminMounts: [Mount] = []
  /// The ways out through this channel; empty where it only receives.
  var outbound: [OutboundLink] = []
  /// What a text would cost on one of its links; nil where texts cost nothing.
  var textCosts: SMSPreviewResources.Costs?
  /// Reads bytes of an arrival anew, as received or mended; nil where the channel cannot.
  var reread: (@Sendable (_ raw: [UInt8], _ to: Address?) async -> Arrival.Payload)?
  /// Nil where there are no calls to control.
  var callControl: (any CallControl)?
  /// Nil where proactive service does not call.
  var dialLine: DialLine?
}
