import API
import Channels
import ContactModel
import Foundation
import Intake
import Store
import WebForms

/// Builds the web-form channel and the mount under which the public listener serves it.
func makeWebForms(
  _ wiring: Configuration.WebFormWiring, name: String, secrets: Secrets, database: Database,
  parameters: ParametersInForce, intake: Intake, now: @escaping @Sendable () -> Timestamp
) throws -> (adapter: WebFormAdapter, mount: Mount) {
  let referenceKey = secrets.key(for: "reference")
  var configuration = WebFormConfiguration(name: name, keys: [secrets.key(for: "submission token")])
  configuration.basePath = wiring.basePath.split(separator: "/").map(String.init)
  configuration.bankName = LocalizedText(zh: wiring.bankNameZh, en: wiring.bankNameEn)
  configuration.allowedOrigins = wiring.allowedOrigins
  configuration.countryCode = wiring.countryCode
  configuration.maximumBodyBytes = wiring.maximumBodyBytes
  configuration.bounds.maximumFiles = wiring.maximumFiles
  configuration.minimumFillTime = wiring.minimumFillTime
  configuration.tokenLifetime = wiring.tokenLifetime
  configuration.postRate = RatePolicy(burst: wiring.postBurst, interval: wiring.postInterval)
  configuration.statusRate = RatePolicy(burst: wiring.statusBurst, interval: wiring.statusInterval)
  let problems = configuration.problems()
  guard problems.isEmpty else {
    throw DaemonError.configuration("channel \(name): \(problems.joined(separator: "; "))")
  }

  let channel = ContactChannel(kind: .webform, name: name)
  let services = WebFormServices(
    catalogue: { parameters.forms },
    referenceNumber: { ReferenceNumber(for: $0, key: referenceKey).description },
    status: { inquiry in
      // A store that cannot answer looks to the asker like an unknown number: he is told to try again later anyway.
      try? await database.read { try $0.statusText(for: inquiry) }
    },
    refused: { refusal in
      // Counted beside the answer; the intake logs it if that fails. Ends by itself after one write.
      Task { await intake.countRefusal(refusal, on: channel) }
    },
    now: now,
    sleepUntil: { instant in
      let wait = instant - now()
      if wait > .zero { try? await Task.sleep(for: wait) }  // Cancelled: the answer may go at once.
    })
  let adapter = WebFormAdapter(configuration: configuration, services: services)
  let mount = Mount(prefix: wiring.basePath, maximumBodyBytes: wiring.maximumBodyBytes) { request in
    let response = await adapter.respond(
      to: FormRequest(
        method: request.method.uppercased(),
        path: request.path.split(separator: "/").map { $0.removingPercentEncoding ?? String($0) },
        query: request.query ?? "", headers: request.headers.map { FormHeader($0.name, $0.value) },
        clientAddress: request.remoteAddress ?? "", body: request.body))
    return MountedResponse(
      status: response.status, headers: response.headers.map { HeaderField($0.name, $0.value) }, body: response.body)
  }
  return (adapter, mount)
}

extension Connection {
  /// How a request made under a reference stands, in the asker's language; nil for an unknown reference and for a
  /// contact point it was not made with.
  func statusText(for inquiry: StatusInquiry) throws -> String? {
    guard let id = try arrival(reference: inquiry.reference.description), let kept = try arrival(id),
      case .message(let message) = kept.arrival.payload,
      message.claims.contains(where: { claim in
        (claim.fact == .phone || claim.fact == .email)
          && claim.value.lowercased() == inquiry.contact.canonical.lowercased()
      })
    else { return nil }
    let isChinese = inquiry.language == .zh
    guard
      let row = try first(
        """
        SELECT r.status FROM service_request r JOIN contact_service_request l ON l.request_id = r.request_id
          JOIN contact c ON c.contact_id = l.contact_id WHERE c.arrival_id = $1
        """, [.id(id)])
    else { return isChinese ? "已收到，等待处理。" : "Received; it is about to be looked at." }
    switch try row.word("status", as: ServiceRequest.Status.self) {
    case .open: return isChinese ? "已登记，等待客服人员处理。" : "Registered; it waits for a member of staff."
    case .inProgress: return isChinese ? "正在处理。" : "A member of staff is working on it."
    case .waitingCustomer: return isChinese ? "等待您的答复。" : "We wait for your answer."
    case .resolved: return isChinese ? "已处理。" : "Resolved."
    case .closed: return isChinese ? "已结案。" : "Closed."
    }
  }
}
