import Channels
import ContactModel

/// What the change of a call means for one telephone device: which screen event its agent gets.
public enum CallScreen: Hashable, Sendable {
  case ringing
  /// A colleague calls him about this call.
  case consulting(by: String)
  /// His own call to a colleague about this call has begun. `isBack`: the switch had taken him from the customer for it.
  case asking(to: String, isBack: Bool)
  case answered
  /// The customer was passed to him.
  case received(by: String)
  case conferenced
  case held, resumed
  /// He is no longer wanted; how his ringing ended.
  case withdrawn(outcome: String)
  /// He has passed the customer on.
  case passed(to: String)
  /// The call goes on without him.
  case left
  case ended(disposition: String, by: String?)
  /// Something his screen shows has changed.
  case updated
}

/// Who is told what of a call that stood as `before` and stands as `after`, in the order of their parts.
///
/// Compares who has which part in the call, whatever event told of it; so what happened while nobody looked is shown
/// like what was watched, and an event told twice shows nothing twice. Pure. Source: specs/desk.md "Screen pop".
public func callScreens(from before: CallState?, to after: CallState) -> [(device: String, screen: CallScreen)] {
  let old = before.map(parts) ?? [:]
  let new = parts(after)
  var devices: [String] = []
  for leg in after.legs where !devices.contains(leg.device) { devices.append(leg.device) }
  for device in old.keys.sorted() where !devices.contains(device) { devices.append(device) }
  let talked = Set(before?.talkedWith ?? [])
  let newcomers = new.contains { device, part in part.isTalking && old[device]?.isTalking != true }
  let isConference = newcomers && new.values.count { $0.isTalking } > 1
  // A switch may tell of a transfer after it has moved the legs: whoever was moved is told then what it was.
  let told = after.transfers.count > before?.transfers.count ?? after.transfers.count ? after.transfers.last : nil

  var out: [(device: String, screen: CallScreen)] = []
  for device in devices {
    let screen: CallScreen?
    switch (old[device], new[device]) {
    case (nil, nil):
      if let told, told.by == device { screen = .passed(to: told.to) } else { screen = unseen(device, before, after) }
    case (nil, .ringing?), (.consulted?, .ringing?): screen = .ringing
    case (nil, .consulted?), (.ringing?, .consulted?):
      screen = .consulting(by: after.consultations.last { $0.device == device }?.by ?? "")
    case (nil, .held?) where isAsking(device, after): screen = nil  // told below
    case (nil, .talking?), (nil, .held?), (.ringing?, .talking?), (.ringing?, .held?), (.consulted?, .talking?),
      (.consulted?, .held?):
      if let transfer = after.transfers.last, transfer.by != device, old[device] != .ringing, !talked.contains(device) {
        screen = .received(by: transfer.by)
      } else {
        screen = isConference ? .conferenced : .answered
      }
    case (.talking?, .held?): screen = .held
    case (.held?, .talking?): screen = isConference ? .conferenced : .resumed
    case (.consulted?, nil): screen = .withdrawn(outcome: "consultation-ended")
    case (.ringing?, nil):
      screen = .withdrawn(outcome: after.offers.last { $0.device == device }?.outcome ?? "ended")
    case (.talking?, nil), (.held?, nil):
      if after.ended != nil {
        screen = .ended(disposition: after.disposition ?? "ended", by: after.endedBy)
      } else if let transfer = after.transfers.last, transfer.by == device {
        screen = .passed(to: transfer.to)
      } else {
        screen = .left
      }
    case (.talking?, .talking?), (.held?, .held?):
      if let told, after.consultations.contains(where: { $0.device == device && $0.by == told.by }) {
        screen = .received(by: told.by)
      } else {
        screen = isConference ? .conferenced : nil
      }
    case (.ringing?, .ringing?), (.consulted?, .consulted?), (.talking?, .ringing?), (.talking?, .consulted?),
      (.held?, .ringing?), (.held?, .consulted?):
      screen = nil
    }
    if let screen { out.append((device, screen)) }
  }
  for consultation in after.consultations.dropFirst(before?.consultations.count ?? 0) where consultation.ended == nil {
    out.append((consultation.by, .asking(to: consultation.to, isBack: old[consultation.by] == nil)))
  }
  guard before.map({ isSeenChanged(from: $0, to: after) }) ?? false else { return out }
  for device in devices where new[device] != nil && !out.contains(where: { $0.device == device }) {
    out.append((device, .updated))
  }
  return out
}

/// What an agent's device does in a call now.
public enum CallPart: String, Hashable, Sendable, CaseIterable {
  case ringing, consulted, talking, held
  var isTalking: Bool { self == .talking || self == .held }
}

/// The part of each device that has one.
public func parts(_ call: CallState) -> [String: CallPart] {
  guard call.ended == nil else { return [:] }
  var out: [String: CallPart] = [:]
  for leg in call.legs where leg.to == nil {
    switch leg.state {
    case .ringing: if out[leg.device] == nil { out[leg.device] = .ringing }
    case .consult: if out[leg.device]?.isTalking != true { out[leg.device] = .consulted }
    case .talking, .conference: out[leg.device] = .talking
    case .held: out[leg.device] = .held
    case .wrapUp: break
    }
  }
  // Answered and not yet connected: a moment in which the screen stays.
  for offer in call.offers where offer.outcome == "answered" && out[offer.device] == nil {
    let hasTalked = call.legs.contains { $0.device == offer.device && $0.state != .ringing && $0.from >= offer.at }
    if !hasTalked { out[offer.device] = .ringing }
  }
  // A switch may take the agent out of the customer's bridge while he asks a colleague.
  for consultation in call.consultations where consultation.ended == nil && out[consultation.by] == nil {
    out[consultation.by] = .held
  }
  return out
}

private func isAsking(_ device: String, _ call: CallState) -> Bool {
  call.consultations.contains { $0.by == device && $0.ended == nil }
    && !call.legs.contains { $0.device == device && $0.to == nil && $0.state != .ringing }
}

/// A device that came and went between two events is told how it went, once.
private func unseen(_ device: String, _ before: CallState?, _ after: CallState) -> CallScreen? {
  guard let before else { return nil }
  let known = before.offers.count { $0.device == device }
  let offers = after.offers.filter { $0.device == device }
  guard offers.count > known, let outcome = offers.last?.outcome, outcome != "answered" else { return nil }
  return .withdrawn(outcome: outcome)
}

private func isSeenChanged(from a: CallState, to b: CallState) -> Bool {
  a.customerNo != b.customerNo || a.caller?.canonical != b.caller?.canonical || a.callerName != b.callerName
    || a.queue != b.queue
    || a.holds.count { $0.by == "caller" && $0.to == nil }
      != b.holds.count { $0.by == "caller" && $0.to == nil }
    || a.recordings.count { $0.to == nil && !$0.muted } != b.recordings.count { $0.to == nil && !$0.muted }
}
