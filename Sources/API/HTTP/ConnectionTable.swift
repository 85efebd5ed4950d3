import NIOCore
import Synchronization

/// The open connections of one listener: how many from each address, and a way to close them all at the end.
final class ConnectionTable: Sendable {
  private struct State {
    var channels: [ObjectIdentifier: any Channel] = [:]
    var perAddress: [String: Int] = [:]
  }
  private let state = Mutex(State())
  private let maximumPerAddress: Int?

  init(maximumPerAddress: Int?) { self.maximumPerAddress = maximumPerAddress }

  var count: Int { state.withLock { $0.channels.count } }

  /// False if the address has too many already; then nothing is kept.
  func admit(_ channel: any Channel) -> Bool {
    let address = channel.remoteAddress?.ipAddress
    return state.withLock { state in
      if let address, let maximumPerAddress {
        guard state.perAddress[address, default: 0] < maximumPerAddress else { return false }
        state.perAddress[address, default: 0] += 1
      }
      state.channels[ObjectIdentifier(channel)] = channel
      return true
    }
  }

  func release(_ channel: any Channel, address: String?) {
    state.withLock { state in
      guard state.channels.removeValue(forKey: ObjectIdentifier(channel)) != nil else { return }
      guard let address, let count = state.perAddress[address] else { return }
      state.perAddress[address] = count > 1 ? count - 1 : nil
    }
  }

  /// The hard end of a drain: whoever is still connected is cut off.
  func closeAll() {
    for channel in state.withLock({ Array($0.channels.values) }) { channel.close(mode: .all, promise: nil) }
  }
}
