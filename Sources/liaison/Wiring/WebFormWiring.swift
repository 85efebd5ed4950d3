import API
import Channels
import ContactModel
import Foundation
import Intake
import Store
import WebForms

/// Web forms on the public listener.
struct WebFormWiring: ChannelWiring {
  var basePath: String
  var bankNameZh: String
  var bankNameEn: String
  var allowedOrigins: [String]
  var countryCode: String
  var maximumBodyBytes: Int
  var maximumFiles: Int
  var minimumFillTime: Duration
  var tokenLifetime: Duration
  var postBurst: Int
  var postInterval: Duration
  var statusBurst: Int
  var statusInterval: Duration

  init(_ reader: ConfigurationReader) {
    basePath = reader.string("base_path", default: "/forms")
    bankNameZh = reader.string("bank_name_zh", default: "客户服务")
    bankNameEn = reader.string("bank_name_en", default: "Customer service")
    allowedOrigins = reader.strings("allowed_origins")
    countryCode = reader.string("country_code", default: "86")
    maximumBodyBytes = reader.integer("maximum_body_bytes", default: 12_582_912, in: 1_024...268_435_456)
    maximumFiles = reader.integer("maximum_files", default: 10, in: 0...100)
    minimumFillTime = reader.duration("minimum_fill_time", default: .seconds(2))
    tokenLifetime = reader.duration("token_lifetime", default: .seconds(86_400))
    postBurst = reader.integer("post_burst", default: 30, in: 1...1_000_000)
    postInterval = reader.duration("post_interval", default: .seconds(2))
    statusBurst = reader.integer("status_burst", default: 6, in: 1...1_000_000)
    statusInterval = reader.duration("status_interval", default: .seconds(20))
  }

  func wire(_ name: String, with house: House) throws -> WiredChannel {
    let (database, intake, parameters, now) = (house.database, house.intake, house.parameters, house.now)
    let referenceKey = house.secrets.key(for: "reference")
    var configuration = WebFormConfiguration(name: name, keys: [house.secrets.key(for: "submission token")])
    configuration.basePath = basePath.split(separator: "/").map(String.init)
    configuration.bankName = LocalizedText(zh: bankNameZh, en: bankNameEn)
    configuration.allowedOrigins = allowedOrigins
    configuration.countryCode = countryCode
    configuration.maximumBodyBytes = maximumBodyBytes
    configuration.bounds.maximumFiles = maximumFiles
    configuration.minimumFillTime = minimumFillTime
    configuration.tokenLifetime = tokenLifetime
    configuration.postRate = RatePolicy(burst: postBurst, interval: postInterval)
    configuration.statusRate = RatePolicy(burst: statusBurst, interval: statusInterval)
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
    let mount = Mount(prefix: basePath, maximumBodyBytes: maximumBodyBytes) { request in
      let response = await adapter.respond(
        to: FormRequest(
          method: request.method.uppercased(),
          path: request.path.split(separator: "/").map { $0.removingPercentEncoding ?? String($0) },
          query: request.query ?? "", headers: request.headers.map { FormHeader($0.name, $0.value) },
          clientAddress: request.remoteAddress ?? "", body: request.body))
      return MountedResponse(
        status: response.status, headers: response.headers.map { HeaderField($0.name, $0.value) }, body: response.body)
    }
    return WiredChannel(adapter: adapter, publicMounts: [mount])
  }
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
