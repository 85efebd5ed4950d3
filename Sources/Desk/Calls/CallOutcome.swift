import Channels
import Store

/// What a change of a call says of a command that was given about it; nil if nothing.
///
/// The switch's own answer says only that it has taken the action. That the thing came about is read from the call:
/// each action has the change that proves it, and the end of the call ends what still waits. Pure.
/// Source: specs/telephony.md §4, traps 6 and 10; adapters/telephony/README.md "Call control".
func outcome(of command: CallCommandRecord, by event: CallEvent) -> CallCommandVerdict? {
  let call = event.call
  let isItsDevice = event.device == nil || event.device == command.device
  let isAway = !call.legs.contains { $0.device == command.device && $0.to == nil && $0.state != .held }
  let isOver = call.ended != nil
  switch command.action {
  case "originate":
    if call.connected != nil { return .done("answered") }
    guard isOver else { return nil }
    let word = call.disposition ?? "failed"
    return .failed(word == "answered" ? .noAnswer : code(of: word), "the call ended: \(word)", outcome: word)
  case "answer":
    if event.change == .answered || event.change == .conferenced, isItsDevice { return .done("answered") }
  case "hold":
    if event.change == .held, isItsDevice { return .done("held") }
    // Sent to the dial plan, the agent leaves the bridge; no switch calls that a hold.
    if event.change == .partyChanged, isItsDevice, isAway, !isOver { return .done("held") }
  case "resume":
    if [.resumed, .answered, .conferenced].contains(event.change), isItsDevice { return .done("resumed") }
  case "blind_transfer":
    if event.change == .transferred, call.transfers.last?.by == command.device { return .done("transferred") }
  case "attended_transfer":
    if event.change == .transferred, call.transfers.last?.by == command.device { return .done("transferred") }
    if event.change == .consulting, call.consultations.last?.by == command.device, !isOver {
      return CallCommandVerdict(.accepted, outcome: "consulting", isLast: false)
    }
    // The agent talks to the customer again and nobody is consulted any more.
    if command.outcome == "consulting", !isOver, !isAway,
      !call.consultations.contains(where: { $0.by == command.device && $0.ended == nil }),
      !call.transfers.contains(where: { $0.by == command.device && $0.at >= command.createdAt })
    {
      return .failed(.cancelled, "the consultation ended without a transfer", outcome: "cancelled")
    }
  case "cancel_transfer":
    let isEnded = !call.consultations.contains { $0.by == command.device && $0.ended == nil }
    if isEnded, !isAway, !isOver { return .done("resumed") }
  case "conference":
    if event.change == .conferenced { return .done("conferenced") }
    // The colleague's own leg, which never came into the call: the others talk on.
    if isOver, call.callID != command.callId {
      let word = call.disposition ?? "failed"
      return .failed(code(of: word), "the colleague's telephone did not answer: \(word)", outcome: word)
    }
  case "hang_up":
    if isOver { return .done("ended") }
    if let device = command.device, !call.legs.contains(where: { $0.device == device && $0.to == nil }) {
      return .done("ended")
    }
  case "park": if event.change == .parked { return .done("parked") }
  case "start_recording":
    if call.recordings.contains(where: { $0.from >= command.createdAt - .seconds(1) }) { return .done("recording") }
  case "stop_recording":
    if !call.recordings.isEmpty, call.recordings.allSatisfy({ $0.to != nil }) { return .done("stopped") }
  case "mute_recording":
    // Switches that tell nothing of it leave the command accepted.
    if event.change == .recordingChanged, let last = call.recordings.last(where: { $0.to == nil }) {
      return .done(last.muted ? "muted" : "unmuted")
    }
  case "monitor":
    if isOver, call.connected == nil {
      return .failed(code(of: call.disposition ?? ""), "the supervisor's telephone did not answer", outcome: nil)
    }
    return nil
  default: break
  }
  guard isOver else { return nil }
  return .failed(.cancelled, "the call ended before", outcome: "ended")
}

/// Whether the switch's word that it has taken the action is all there will be.
func isSettledByAcceptance(_ action: String) -> Bool {
  switch action {
  // The switch does these while it answers, or tells nothing of them afterwards.
  case "set_paused", "join_queue", "leave_queue": true
  default: false
  }
}

/// Whether the switch's word stands where nothing was seen of it in time: a supervisor who listens changes nothing in
/// the call, and older switches tell nothing of a mute.
func isProvedByNothing(_ action: String) -> Bool { action == "monitor" || action == "mute_recording" }

extension CallCommandVerdict {
  fileprivate static func done(_ outcome: String) -> Self { .init(.done, outcome: outcome, isLast: true) }
  fileprivate static func failed(_ code: Fault.Code, _ text: String, outcome: String?) -> Self {
    .init(.failed, outcome: outcome, fault: Fault(code, text: text), isLast: true)
  }
}

/// A call's disposition as a fault (adapters/telephony/README.md "What a call is").
private func code(of disposition: String) -> Fault.Code {
  switch disposition {
  case "busy": .recipientBusy
  case "no-answer", "abandoned", "machine": .noAnswer
  case "declined", "unavailable": .unknownRecipient
  case "unallocated": .badAddress
  case "congestion": .throttled
  case "cancelled": .cancelled
  default: .peerFailure
  }
}
