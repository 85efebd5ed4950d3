import API
import Channels
import ContactModel
import Desk
import Foundation
import Intake
import Logging
import Outbound
import Store
import Synchronization
import WebForms
import Yams

/// The business parameters as they hold now, read by everybody without waiting and swapped without a restart.
///
/// Follows the committed `parameter.applied` events and wakes when a version that was applied ahead becomes effective.
final class ParametersInForce: Sendable {
  struct Snapshot: Sendable {
    var intake: IntakeParameters
    var forms: FormCatalogue
    var purposes: PurposeProfile
    var templates: [Code: TemplateInForce]
    var callRouting: CallRoutingRules
    var callResults: [CallResult]
    var nextChange: Timestamp?
  }
  private let state: Mutex<Snapshot>
  private let database: Database
  private let now: @Sendable () -> Timestamp
  private let logger: Logger
  private let wake: AsyncStream<Void>
  private let waker: AsyncStream<Void>.Continuation

  init(database: Database, now: @escaping @Sendable () -> Timestamp, logger: Logger) async throws {
    self.database = database
    self.now = now
    self.logger = logger
    let time = now()
    state = Mutex(try await database.read { try Snapshot.read(from: $0, at: time) })
    (wake, waker) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
  }

  var intake: IntakeParameters { state.withLock { $0.intake } }
  /// What the bank and its law allow per purpose.
  var purposes: PurposeProfile { state.withLock { $0.purposes } }
  /// Approved texts by code.
  var templates: [Code: TemplateInForce] { state.withLock { $0.templates } }
  var forms: FormCatalogue { state.withLock { $0.forms } }
  var callRouting: CallRoutingRules { state.withLock { $0.callRouting } }
  /// What an agent may say came of a call.
  var callResults: [CallResult] { state.withLock { $0.callResults } }

  /// Keeps the snapshot current until cancelled.
  func run() async {
    let observation = database.observe { [waker] values in
      if values.contains(where: { ($0 as? EventRecord)?.type == .parameterApplied }) { waker.yield() }
    }
    defer { observation.cancel() }
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        for await _ in self.wake { await self.refresh() }
      }
      group.addTask {
        // Asked every second, not slept until: a nearer change may be applied meanwhile, and the clock may be set.
        while !Task.isCancelled {
          do { try await Task.sleep(for: .seconds(1)) } catch { return }
          if let next = self.state.withLock({ $0.nextChange }), next <= self.now() { await self.refresh() }
        }
      }
      await group.next()
      group.cancelAll()
    }
  }

  func stop() { waker.finish() }

  private func refresh() async {
    let time = now()
    do {
      let fresh = try await database.read { try Snapshot.read(from: $0, at: time) }
      state.withLock { $0 = fresh }
    } catch {
      logger.error(
        "Business parameters could not be read again; those read before stay in force.",
        metadata: ["fault.text": "\(error)"])
    }
  }
}

extension ParametersInForce.Snapshot {
  fileprivate static func read(from connection: any Connection, at time: Timestamp) throws -> Self {
    let categories = try connection.parameters("category", inForceAt: time)
    let fallback = try connection.parameters("category_default", inForceAt: time).first?.body
    let forms = try connection.parameterHistory(kind: "form", code: nil)
    var templates: [Code: TemplateInForce] = [:]
    for kept in try connection.parameters("template", inForceAt: time) {
      let template = try JSONText.decode(MessageTemplate.self, from: kept.body)
      templates[template.code] = TemplateInForce(template: template, version: kept.version)
    }
    var intake = IntakeParameters(
      categories: try categories.map { try JSONText.decode(ContactModel.Category.self, from: $0.body) },
      defaultCategory: fallback.flatMap { Code($0) } ?? Code("consultation")!,
      version: categories.reduce(0) { $0 + $1.version })
    intake.stopConfirmation = Code("stop-confirmation").flatMap { templates[$0]?.template }
    intake.liftConfirmation = Code("lift-confirmation").flatMap { templates[$0]?.template }
    let routing = try connection.parameters("call_routing", inForceAt: time).first
    var rules = try routing.map { try JSONText.decode(CallRoutingRules.self, from: $0.body) }
    rules?.version = routing?.version ?? 0
    return Self(
      intake: intake,
      forms: FormCatalogue(
        try forms.filter { !$0.retired }.map { try FormDefinition.read($0.body, source: "form \($0.code)") }),
      purposes: try purposes(connection, at: time), templates: templates,
      callRouting: rules ?? CallRoutingRules(defaultQueue: Code("general")!),
      callResults: try connection.parameters("call_results", inForceAt: time).first.map {
        try JSONText.decode([CallResult].self, from: $0.body)
      } ?? CallResult.plain,
      nextChange: try connection.nextParameterChange(after: time))
  }

  private static func purposes(_ connection: any Connection, at time: Timestamp) throws -> PurposeProfile {
    let kept = try connection.parameters("purpose_profile", inForceAt: time).first { $0.code == "default" }
    guard let kept else { return try PurposeProfileText.shipped().profile(version: "shipped", zones: ZoneCatalog()) }
    return try YAMLDecoder().decode(PurposeProfileText.self, from: kept.body)
      .profile(version: "purpose_profile-\(kept.version)", zones: ZoneCatalog())
  }
}
