import Channels
import ContactModel
import Store

/// Which request a message belongs to.
///
/// The strongest link first: our signed token; then the ids it refers to, nearest first; then a token its text or
/// subject quotes, and that only from a sender who has a part in the request, because a token can be forged. What
/// points to a closed request, or quotes a token of somebody else's, opens a request of its own that is linked to the
/// earlier contact as a suspected follow-up and shows nothing of it. Source: specs/email.md §6.
enum ThreadLink: Sendable, Hashable {
  /// `subjectChanged`: an old thread taken up for something new; it is kept and flagged.
  case belongs(ServiceRequestID, why: String, subjectChanged: Bool)
  case follows(ContactID?, why: String)
  case none

  /// What is kept of it with the contact.
  var detail: [String: String] {
    switch self {
    case .belongs(_, let why, let changed): changed ? ["thread": why, "subject_changed": "true"] : ["thread": why]
    case .follows(_, let why): ["thread": "suspected follow-up: \(why)"]
    case .none: [:]
    }
  }
}

extension Connection {
  func thread(of message: InboundMessage, from sender: Address?) throws -> ThreadLink {
    var suspected: ThreadLink = .none
    if let id = message.thread.signedToken.flatMap(ServiceRequestID.init), let request = try serviceRequest(id) {
      if request.status != .closed { return .belongs(id, why: "signed token", subjectChanged: false) }
      suspected = .follows(try contacts(of: id).last?.id, why: "signed token of a closed request")
    }
    if let id = try request(referredToBy: message.thread.references), let request = try serviceRequest(id) {
      if request.status != .closed {
        return .belongs(id, why: "reference", subjectChanged: subjectChanged(message.subject, since: request.summary))
      }
      if suspected == .none {
        suspected = .follows(try contacts(of: id).last?.id, why: "reference to a closed request")
      }
    }
    guard let token = message.thread.claimedToken else { return suspected }
    let claimed =
      try ServiceRequestID(token.lowercased()).map { try serviceRequest($0) }
      ?? serviceRequest(reference: token.uppercased())
    guard let request = claimed else { return suspected }
    if let sender, request.status != .closed, try knows(sender, request: request) {
      return .belongs(request.id, why: "token of a known sender", subjectChanged: false)
    }
    guard suspected == .none else { return suspected }
    return .follows(
      try contacts(of: request.id).last?.id,
      why: request.status == .closed ? "token of a closed request" : "token of an unknown sender")
  }
}

/// Whether a subject is about something else than the thread's: compared without the marks of replies and our token.
private func subjectChanged(_ subject: String?, since summary: String) -> Bool {
  guard let subject, !subject.isEmpty else { return false }
  return bare(subject) != bare(summary)
}

private func bare(_ subject: String) -> String {
  var text = subject[...]
  var isCut = true
  while isCut {
    isCut = false
    text = text.drop { $0.isWhitespace }
    for mark in [
      "re:", "re：", "fw:", "fw：", "fwd:", "fwd：", "aw:", "sv:", "回复:", "回复：", "回覆:", "回覆：", "答复:", "答复：", "转发:", "转发：",
    ]
    where text.lowercased().hasPrefix(mark) {
      text = text.dropFirst(mark.count)
      isCut = true
    }
    if let open = text.first, "[【［".contains(open), let close = text.firstIndex(where: { "]】］".contains($0) }) {
      text = text[text.index(after: close)...]
      isCut = true
    }
  }
  return String(text.filter { !$0.isWhitespace }).lowercased()
}
