import Channels

extension WebFormAdapter {
  /// How a request stands, for who knows its reference number and a contact point of it.
  ///
  /// Whether the number exists, or exists with another contact point, gives the same words after the same time. A slip in
  /// the number itself is told at once: its check character is no secret and tells nothing about which numbers exist.
  func lookUp(_ request: FormRequest, _ asking: Asking) async throws(FormTrouble) -> FormResponse {
    let started = services.now()
    if let wait = statusLimit.take(request.clientAddress, at: started) {
      refuse(.rateExceeded, "too many look-ups from one client")
      throw FormTrouble(.rateExceeded, retryAfter: wait)
    }
    try checkOrigin(request)
    let body = try body(of: request)
    let wording = Wording(language: asking.language)
    var state = FormPage.StatusState(
      reference: String((body.value("reference") ?? "").prefix(254)),
      contact: String((body.value("contact") ?? "").prefix(254)))
    let reference = ReferenceNumber(state.reference)
    let contact = contactPoint(state.contact)
    if reference == nil { state.referenceProblem = wording.statusBadReference }
    if contact == nil { state.contactProblem = wording.statusBadContact }
    guard let reference, let contact else {
      if asking.json {
        let wrong: [FieldProblem] = [
          reference == nil ? FieldProblem(input: "reference", pointer: "/fields/reference", kind: .pattern(nil)) : nil,
          contact == nil ? FieldProblem(input: "contact", pointer: "/fields/contact", kind: .pattern(nil)) : nil,
        ].compactMap(\.self)
        return answer(FormTrouble(.invalid), to: request, asking, problems: wrong)
      }
      return html(422, page(asking).status(state), asking)
    }
    if let wait = statusLimit.take("reference " + reference.description, at: started) {
      refuse(.rateExceeded, "too many look-ups of one reference number")
      throw FormTrouble(.rateExceeded, retryAfter: wait)
    }
    let answer = await services.status(
      StatusInquiry(reference: reference, contact: contact, language: asking.language))
    await services.sleepUntil(started + configuration.statusAnswerTime)
    if asking.json {
      guard let answer else { throw FormTrouble(.notFound) }
      return json(200, StatusAnswer(reference: reference.description, state: answer), asking)
    }
    state.answer = answer ?? wording.statusNothing
    return html(200, page(asking).status(state), asking)
  }

  private struct StatusAnswer: Encodable {
    var reference: String
    var state: String
  }

  /// In the form `FormArrival` gives a sender.
  private func contactPoint(_ text: String) -> Address? {
    let text = trimmed(FieldReading.halfWidth(text))
    if FieldReading.isMailbox(text) { return Address(kind: .email, canonical: text.lowercased(), raw: text) }
    guard PhoneText.isPlausible(text) else { return nil }
    let canonical = NumberPlan(countryCode: configuration.countryCode).e164(text) ?? text
    return Address(kind: .phone, canonical: canonical, raw: text)
  }
}
