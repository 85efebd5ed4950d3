/// What can be done to calls: the second protocol of a telephony adapter, the same for every switch.
///
/// A command is asynchronous: `accepted` means that the switch has taken it; what comes of it arrives as a
/// `CallEvent` of the call concerned (`transferred`, `parked`, `ended`, …). An order to originate names its call in
/// advance, so a command repeated under the same id does not ring anybody twice.
public protocol CallControl: Sendable {
  /// The switches it reaches, by the names commands and calls use.
  var servers: [String] { get }
  /// Never throws, never retries.
  func perform(_ command: CallCommand) async -> CallCommandResult
  /// What the call is named that an order to originate under this command id begins.
  func callID(ofCommand id: String) -> String
  /// A call that lives now, as last heard; nil if there is none of that name.
  func liveCall(_ callID: String, on server: String) -> LiveCall?
  /// All that live now; internal ones too.
  func liveCalls(on server: String) -> [LiveCall]
}

/// A call as it is known at this moment, with the devices that have a part in it: talking, ringing, held or waiting.
public struct LiveCall: Hashable, Sendable {
  public var state: CallState
  public var devices: [String]
  public init(state: CallState, devices: [String]) {
    self.state = state
    self.devices = devices
  }
}

public struct CallCommand: Hashable, Sendable, Codable {
  /// `[A-Za-z0-9_-]{1,64}`, unique per command and the same when it is repeated.
  public var id: String
  /// The switch it is for, as in `CallState.server`.
  public var server: String
  public var action: Action

  public init(id: String, server: String, action: Action) {
    self.id = id
    self.server = server
    self.action = action
  }

  public enum Action: Hashable, Sendable, Codable {
    /// Rings the agent's device first, then calls the customer.
    case originate(device: String, to: String, showing: String?, customerNo: String?)
    /// Makes the ringing device answer, where it can be told to.
    case answer(callID: String, device: String)
    case hold(callID: String, device: String)
    case resume(callID: String, device: String)
    case blindTransfer(callID: String, device: String, to: String)
    /// Starts the consultation; the agent completes it by hanging up.
    case attendedTransfer(callID: String, device: String, to: String)
    /// Ends the consultation and takes the customer back.
    case cancelTransfer(callID: String, device: String)
    /// Customer, agent and `with` (a device of ours) hear one another.
    case conference(callID: String, device: String, with: String)
    /// The whole call if `device` is nil.
    case hangUp(callID: String, device: String?)
    case park(callID: String)
    case startRecording(callID: String, reference: String)
    case muteRecording(callID: String, Bool)
    case stopRecording(callID: String)
    case monitor(callID: String, device: String, by: String, Monitoring)
    /// All queues if `queue` is nil.
    case setPaused(device: String, queue: String?, Bool, reason: String?)
    case joinQueue(device: String, queue: String, name: String?)
    case leaveQueue(device: String, queue: String)
  }

  public enum Monitoring: String, Hashable, Sendable, Codable, CaseIterable {
    case listen
    /// Only the agent hears the supervisor.
    case whisper
    /// Everyone hears him.
    case barge
  }
}

public enum CallCommandResult: Hashable, Sendable {
  /// The switch has taken it. Names the call it began, if it began one.
  case accepted(callID: String?)
  /// Surely not done.
  case rejected(Fault)
  /// Nobody knows: the connection was lost after the command had left.
  case inDoubt(Fault)
}
