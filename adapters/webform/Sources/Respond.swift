import Channels
import Foundation

extension WebFormAdapter {
  /// Answers one request under `configuration.basePath`, and a 404 to any other.
  ///
  /// | path after the base | |
  /// |---|---|
  /// | (none), `/zh`, `/en` | the forms in force |
  /// | `/{id}`, `/{zh,en}/{id}` | GET the page (or, asked for JSON, the definition and a token); POST a submission |
  /// | `/status`, `/{zh,en}/status` | how a request stands |
  /// | `/{id}/embed.js`, `/style.css`, `/frame.js` | what pages need |
  ///
  /// Without a language in the path, `Accept-Language` decides. Never throws; may be called from many tasks at once.
  public func respond(to request: FormRequest) async -> FormResponse {
    let path = request.path.filter { !$0.isEmpty }
    var response: FormResponse
    if path.starts(with: configuration.basePath) {
      response = await route(request, path.dropFirst(configuration.basePath.count))
    } else {
      response = answer(FormTrouble(.notFound), to: request, asking(request))
    }
    if let origin = request.header("origin"), configuration.allowedOrigins.contains(origin) {
      response.headers.append(FormHeader("Access-Control-Allow-Origin", origin))
      response.headers.append(FormHeader("Access-Control-Expose-Headers", "Retry-After"))
    }
    if !configuration.allowedOrigins.isEmpty { response.headers.append(FormHeader("Vary", "Origin")) }
    if request.method == "HEAD" { response.body = [] }
    return response
  }

  /// Which form of answer, in which language, and whether inside a frame.
  struct Asking {
    var language: FormLanguage
    /// The path does not say which language.
    var negotiated: Bool
    var json: Bool
    var embedded: Bool
  }

  func asking(_ request: FormRequest, _ language: FormLanguage? = nil) -> Asking {
    let accept = request.header("accept")?.lowercased() ?? ""
    return Asking(
      language: language ?? FormLanguage.best(for: request.header("accept-language")), negotiated: language == nil,
      json: request.mediaType?.essence == "application/json"
        || accept.contains("json") && !accept.contains("text/html"),
      embedded: request.query.split(separator: "&").contains("embed=1"))
  }

  private func route(_ request: FormRequest, _ path: ArraySlice<String>) async -> FormResponse {
    let language = path.first.flatMap(FormLanguage.init)
    let rest = Array(language == nil ? path : path.dropFirst())
    let asking = asking(request, language)
    let page = page(asking)
    let now = services.now()
    let catalogue = services.catalogue()
    let methods: [String]
    switch rest.count {
    case 0, 2: methods = ["GET", "HEAD"]
    default: methods = ["style.css", "frame.js"].contains(rest[0]) ? ["GET", "HEAD"] : ["GET", "HEAD", "POST"]
    }
    if request.method == "OPTIONS" { return preflight(request, methods) }
    guard methods.contains(request.method) else {
      let allow = FormHeader("Allow", (methods + ["OPTIONS"]).joined(separator: ", "))
      return answer(FormTrouble(.methodNotAllowed, headers: [allow]), to: request, asking)
    }
    let isPost = request.method == "POST"
    do throws(FormTrouble) {
      switch (rest.count, rest.first ?? "") {
      case (0, _): return html(200, page.index(catalogue.allInForce(at: now)), asking)
      case (1, "style.css"): return asset("text/css; charset=utf-8", Stylesheet.text)
      case (1, "frame.js"): return asset("text/javascript; charset=utf-8", Stylesheet.frameScript)
      case (1, "status"):
        return isPost ? try await lookUp(request, asking) : html(200, page.status(.init()), asking)
      case (1, let id):
        guard let definition = catalogue.inForce(id, at: now) else { throw FormTrouble(.notFound) }
        if isPost { return try await take(request, definition, catalogue, asking) }
        let token = newToken(definition)
        if asking.json { return json(200, FormDescription(definition, token: token, in: asking.language), asking) }
        return html(200, page.form(definition, .init(token: token)), asking)
      case (2, let id):
        guard rest[1] == "embed.js", let definition = catalogue.inForce(id, at: now) else {
          throw FormTrouble(.notFound)
        }
        let base = "/" + configuration.basePath.joined(separator: "/")
        return asset(
          "text/javascript; charset=utf-8", Stylesheet.embedScript(base: base, id: id, title: definition.title))
      default: throw FormTrouble(.notFound)
      }
    } catch {
      return answer(error, to: request, asking)
    }
  }

  func page(_ asking: Asking) -> FormPage {
    FormPage(
      language: asking.language, base: "/" + configuration.basePath.joined(separator: "/"),
      bank: configuration.bankName, embedded: asking.embedded)
  }

  func newToken(_ definition: FormDefinition) -> String {
    SubmissionToken(version: definition.version, at: services.now())
      .text(form: definition.id, key: configuration.keys[0])
  }

  /// Fetch Standard §4.8. An origin not allowed gets no permission, which is the whole answer.
  private func preflight(_ request: FormRequest, _ methods: [String]) -> FormResponse {
    var headers = [FormHeader("Allow", (methods + ["OPTIONS"]).joined(separator: ", "))]
    guard let origin = request.header("origin"), request.header("access-control-request-method") != nil else {
      return FormResponse(status: 204, headers: headers)
    }
    guard configuration.allowedOrigins.contains(origin) else { return FormResponse(status: 403, headers: headers) }
    headers += [
      FormHeader("Access-Control-Allow-Methods", methods.joined(separator: ", ")),
      FormHeader("Access-Control-Allow-Headers", "Content-Type, Idempotency-Key, Accept-Language"),
      FormHeader("Access-Control-Max-Age", "600"),
    ]
    return FormResponse(status: 204, headers: headers)
  }

  /// A post from another site's page is turned away unless that site is allowed; a client that is no browser sends no
  /// `Origin`. The scheme is not compared: TLS may end before us.
  func checkOrigin(_ request: FormRequest) throws(FormTrouble) {
    guard let origin = request.header("origin"), !configuration.allowedOrigins.contains(origin) else { return }
    let host = origin.range(of: "://").map { origin[$0.upperBound...].lowercased() }
    guard let host, host == request.header("host")?.lowercased() else {
      refuse(.notPermitted, "posted from an origin that is not allowed")
      throw FormTrouble(.originNotAllowed)
    }
  }

  func refuse(_ code: Refusal.Code, _ text: String) { services.refused(Refusal(code: code, text: text)) }
}
