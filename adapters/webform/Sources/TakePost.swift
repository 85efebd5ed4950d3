import Channels

/// One submission from its bytes to its answer.
///
/// In this order, and the first that fails answers: rate, origin, room, size, type, bytes, machine, name of the
/// submission (token or key), fields. Only then is it offered; only then is there a reference number.
extension WebFormAdapter {
  func take(
    _ request: FormRequest, _ current: FormDefinition, _ catalogue: FormCatalogue, _ asking: Asking
  ) async throws(FormTrouble) -> FormResponse {
    let now = services.now()
    if let wait = postLimit.take(request.clientAddress, at: now) {
      refuse(.rateExceeded, "too many posts from one client")
      throw FormTrouble(.rateExceeded, retryAfter: wait)
    }
    try checkOrigin(request)
    guard let accept = taken() else { throw FormTrouble(.busy, retryAfter: .seconds(5)) }
    defer { released() }

    let body = try body(of: request)
    var post = Post(request: request, body: body, definition: current, asking: asking, token: "")
    let submission = try submission(request, body, current, asking)
    switch submission {
    case .keyed(let key):
      post.key = "key." + key
      post.token = newToken(current)
      if let version = body.value(FormInput.version), version != String(current.version) {
        guard let number = Int(version), let older = catalogue.version(number, of: current.id), older.effective <= now
        else {
          refuse(.malformed, "a version of the form that is not known")
          throw FormTrouble(.invalid, "version \(printable(version)) of this form is not known")
        }
        post.definition = older
      }
    case .token(let token, let text):
      post.key = "token." + token.nonce.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
      post.token = text
      post.filledIn = now - token.issued
      guard now - token.issued < configuration.tokenLifetime, now >= token.issued - .seconds(60) else {
        refuse(.notPermitted, "a form that had been open for too long")
        post.token = newToken(current)
        return again(post, .tokenInvalid, notice: \.expired)
      }
      guard let version = catalogue.version(token.version, of: current.id) else {
        refuse(.malformed, "a version of the form that is not known")
        post.token = newToken(current)
        return again(post, .tokenInvalid, notice: \.changed)
      }
      post.definition = version
    case .none:
      refuse(.notPermitted, "a form without a token of ours")
      post.token = newToken(current)
      return again(post, .tokenInvalid, notice: \.expired)
    }
    if let trap = body.value(FormInput.honeypot), !trap.isEmpty {
      refuse(.notPermitted, "a field hidden from people was filled in")
      post.body.values[FormInput.honeypot] = nil
      return again(post, .spam, notice: \.automated)
    }
    if let filledIn = post.filledIn, filledIn < configuration.minimumFillTime {
      refuse(.notPermitted, "filled in faster than by a person")
      return again(post, .tooQuick, notice: \.tooQuick)
    }
    switch FilledForm.read(body, as: post.definition, in: asking.language, at: now, strict: asking.json) {
    case .failure(let problems):
      refuse(.malformed, "fields that do not fit the form")
      return again(post, .invalid, problems: problems.list)
    case .success(let form):
      let arrival = FormArrival(
        form: form, key: post.key, clientAddress: request.clientAddress, userAgent: request.header("user-agent"),
        filledIn: post.filledIn, receivedAt: now, raw: RawPost.bytes(request)
      ).arrival(channel, countryCode: configuration.countryCode)
      arrived(at: now)
      return try await told(await accept(arrival), post)
    }
  }

  /// What is known of a post while it is looked at.
  private struct Post {
    var request: FormRequest
    var body: SubmittedBody
    var definition: FormDefinition
    var asking: Asking
    /// What the page bears if it is shown again.
    var token: String
    var key: String?
    var filledIn: Duration?
  }

  private enum Submission {
    case token(SubmissionToken, String)
    case keyed(String)
    case none
  }

  private func submission(
    _ request: FormRequest, _ body: SubmittedBody, _ current: FormDefinition, _ asking: Asking
  ) throws(FormTrouble) -> Submission {
    if let header = request.header("idempotency-key") {
      // The draft has it quoted; most clients do not.
      let key = unquoted(header)
      guard (1...128).contains(key.utf8.count), key.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
        refuse(.malformed, "a bad Idempotency-Key")
        throw FormTrouble(.malformed, "Idempotency-Key has 1 to 128 visible ASCII characters")
      }
      return .keyed(key)
    }
    let text = body.value(FormInput.token) ?? ""
    if let token = SubmissionToken(text, form: current.id, keys: configuration.keys) { return .token(token, text) }
    guard asking.json, text.isEmpty else { return .none }
    refuse(.malformed, "neither token nor Idempotency-Key")
    throw FormTrouble(.keyMissing)
  }

  func body(of request: FormRequest) throws(FormTrouble) -> SubmittedBody {
    guard !request.bodyExceedsLimit, request.body.count <= configuration.maximumBodyBytes else {
      refuse(.tooLarge, "the body is too large")
      throw FormTrouble(.tooLarge, "at most \(configuration.maximumBodyBytes) bytes")
    }
    let type = request.mediaType
    let charset = type?.parameters["charset"]?.lowercased() ?? "utf-8"
    guard request.header("content-encoding") == nil, ["utf-8", "utf8"].contains(charset) else {
      refuse(.malformed, "a charset or encoding that is not taken")
      throw FormTrouble(.unsupportedType, "UTF-8 without Content-Encoding is taken")
    }
    do {
      switch type?.essence {
      case "application/x-www-form-urlencoded":
        return try SubmittedBody.urlEncoded(request.body, configuration.bounds)
      case "multipart/form-data":
        return try SubmittedBody.multipart(
          request.body, boundary: type?.parameters["boundary"] ?? "", configuration.bounds)
      case "application/json": return try SubmittedBody.json(request.body, configuration.bounds)
      default: throw FormTrouble(.unsupportedType)
      }
    } catch let fault as BodyFault {
      switch fault {
      case .malformed(let text):
        refuse(.malformed, text)
        throw FormTrouble(.malformed, text)
      case .notUTF8(let what):
        refuse(.malformed, "invalid UTF-8")
        throw FormTrouble(.malformed, what + " is not valid UTF-8")
      case .tooLarge(let text):
        refuse(.tooLarge, text)
        throw FormTrouble(.tooLarge, text)
      }
    } catch let trouble as FormTrouble {
      refuse(.malformed, "a content type that is not taken")
      throw trouble
    } catch {
      throw FormTrouble(.malformed)
    }
  }

  /// The page once more with everything that was typed, or the same as a problem for a machine.
  private func again(
    _ post: Post, _ code: FormTrouble.Code, problems: [FieldProblem] = [], notice: KeyPath<Wording, String>? = nil,
    retryAfter: Duration? = nil
  ) -> FormResponse {
    let asking = post.asking
    if asking.json {
      return answer(FormTrouble(code, retryAfter: retryAfter), to: post.request, asking, problems: problems)
    }
    let wording = Wording(language: asking.language)
    var text = notice.map { wording[keyPath: $0] }
    var headers: [FormHeader] = []
    if let retryAfter {
      let seconds = Self.seconds(retryAfter)
      text = wording.busy(seconds)
      headers.append(FormHeader("Retry-After", String(seconds)))
    }
    let state = FormPage.State(token: post.token, body: post.body, problems: problems, notice: text)
    return html(code.status, page(asking).form(post.definition, state), asking, headers: headers)
  }

  private func told(_ acceptance: Acceptance, _ post: Post) async throws(FormTrouble) -> FormResponse {
    switch acceptance {
    case .stored(let id): return await received(id, post)
    case .duplicate(let first): return await received(first, post)
    case .busy(let wait): return again(post, .busy, retryAfter: wait)
    case .refused(let refusal):
      switch refusal.code {
      case .tooLarge: throw FormTrouble(.tooLarge, refusal.text)
      case .rateExceeded: throw FormTrouble(.rateExceeded, refusal.text)
      case .malformed, .notPermitted, .unknownRecipient, .loop: throw FormTrouble(.refused, refusal.text)
      }
    }
  }

  private struct ReceivedAnswer: Encodable {
    var reference: String
    var form: String
    var version: Int
  }

  /// 202: it is durable, and what becomes of it is still to come.
  private func received(_ id: ArrivalID, _ post: Post) async -> FormResponse {
    let reference = await services.referenceNumber(id)
    let definition = post.definition
    if post.asking.json {
      let answer = ReceivedAnswer(reference: reference, form: definition.id, version: definition.version)
      return json(202, answer, post.asking)
    }
    return html(202, page(post.asking).received(definition, reference: reference), post.asking)
  }
}

/// The bytes kept of a post: the head as far as it matters for reading the body again, then the body as received.
enum RawPost {
  static let maximumHeadBytes = 4_096

  static func bytes(_ request: FormRequest) -> [UInt8] {
    func line(_ text: String, _ most: Int) -> String {
      String(text.unicodeScalars.prefix(most).map { $0.value < 0x20 || $0.value > 0x7e ? "?" : Character($0) })
    }
    var head = "\(request.method) /\(line(request.path.joined(separator: "/"), 200)) HTTP/1.1\r\n"
    for name in ["content-type", "idempotency-key", "accept-language", "origin", "user-agent"] {
      if let value = request.header(name) { head += "\(name): \(line(value, 500))\r\n" }
    }
    return Array((head + "\r\n").utf8) + request.body
  }
}
