import Channels
import ContactModel
import Outbound
import Store

/// Campaigns of proactive service: written, tried out, approved by a second person, run, watched, paused and accounted for.
public struct CampaignResources: Sendable {
  let database: Database
  let cursors: CursorSigner
  let runner: CampaignRunner

  public init(database: Database, cursors: CursorSigner, runner: CampaignRunner) {
    self.database = database
    self.cursors = cursors
    self.runner = runner
  }

  public var routes: [Route] {
    [
      create, list, get, edit, check, dryRun, preview, progress, results, export, explain, audience, backTest,
      act(.approve, "A second person stands for it; who wrote it or changed it last cannot"),
      act(.pause, "Nothing of it is claimed from now on; what is on its way ends"),
      act(.resume, "It goes on: nobody is skipped, nobody reached twice"),
      act(.cancel, "It is withdrawn; what waits is not sent"), schedule,
    ]
  }

  static let writers = Access.roles(.marketing, .supervisor)
  static let readers = Access.roles(.marketing, .supervisor, .auditor, .integration)
  static let id = Route.Parameter.path("id", .id("campaign"))
  static let tag = "campaigns"

  // MARK: Writing

  private var create: Route {
    Route(
      "createCampaign", .post, "/v1/campaigns", summary: "Write a campaign; nothing is sent before it was approved",
      tag: Self.tag, access: Self.writers, body: .init(CampaignPlan.input),
      answers: [.json(Campaign.schema, "It is a draft", status: 201)], needsIdempotencyKey: true
    ) { call in
      let plan = try CampaignPlan(body: call.body)
      return try await database.act(call) { transaction, actor in
        let campaign = try transaction.createCampaign(plan, actor: actor, at: call.now)
        try transaction.audit("campaign.create", campaign.id, after: campaign.json, by: actor, at: call.now)
        return .json(campaign.json, status: 201, version: Int64(campaign.version))
      }
    }
  }

  private var edit: Route {
    Route(
      "editCampaign", .put, "/v1/campaigns/{id}", summary: "Change what a campaign says; it must be approved anew",
      tag: Self.tag, access: Self.writers, parameters: [Self.id], body: .init(CampaignPlan.input),
      answers: [.json(Campaign.schema, "It is a draft again")], needsCondition: true
    ) { call in
      let id: CampaignID = try call.path("id")
      let plan = try CampaignPlan(body: call.body)
      return try await database.act(call) { transaction, actor in
        let before = try transaction.campaign(id)
        try call.condition.require(before?.version ?? 0)
        let campaign = try transaction.edit(id, to: plan, expecting: nil, actor: actor, at: call.now)
          .settled(version: \.version)
        try transaction.audit(
          "campaign.edit", id, before: before?.json, after: campaign.json, by: actor, at: call.now)
        return .json(campaign.json, version: Int64(campaign.version))
      }
    }
  }

  private var list: Route {
    Route(
      "listCampaigns", .get, "/v1/campaigns", summary: "Campaigns, newest first", tag: Self.tag, access: Self.readers,
      parameters: Route.Parameter.page + [
        .query("campaign_state", .word(CampaignState.allCases.map(\.rawValue)))
      ],
      answers: [.json(.page(of: Campaign.schema), "A page")]
    ) { call in
      let page = try Page(call, cursors)
      let last: CampaignID? = try page.last()
      let state = call.text("campaign_state").flatMap { CampaignState(rawValue: $0) }
      let rows = try await database.look(.live) { try $0.campaigns(state: state, after: last, limit: page.limit) }
      return page.reply(rows, keys: { [.text($0.id)] }, json: \.json)
    }
  }

  func known(_ call: Call) async throws -> Campaign {
    let id: CampaignID = try call.path("id")
    guard let campaign = try await database.look(.live, { try $0.campaign(id) }) else { throw Problem(.notFound) }
    return campaign
  }

  private var get: Route {
    Route(
      "getCampaign", .get, "/v1/campaigns/{id}", summary: "A campaign, and every step it took", tag: Self.tag,
      access: Self.readers, parameters: [Self.id],
      answers: [
        .json(
          .output(
            .required("campaign", Campaign.schema),
            .required(
              "history",
              .array(
                .output(
                  .required("at", .time), .required("actor", .string()), .required("act", .string()),
                  .required("from", .nullable(.string())), .required("to", .string()),
                  .required("reason", .nullable(.string())))))), "The campaign")
      ]
    ) { call in
      let campaign = try await known(call)
      let steps = try await database.look { try $0.campaignHistory(campaign.id) }
      return .json(
        [
          "campaign": campaign.json,
          "history": .array(
            steps.map {
              [
                "at": .time($0.at), "actor": .string($0.actor), "act": .string($0.act),
                "from": .optional($0.from?.rawValue), "to": .string($0.to.rawValue), "reason": .optional($0.reason),
              ]
            }),
        ], version: Int64(campaign.version))
    }
  }

  // MARK: Acts

  private func perform(
    _ act: CampaignAct, _ call: Call, startAt: Timestamp? = nil
  ) async throws -> Reply {
    let id: CampaignID = try call.path("id")
    return try await database.act(call) { transaction, actor in
      let before = try transaction.campaign(id)
      try call.condition.require(before?.version ?? 0)
      let campaign = try transaction.act(
        act, on: id, startAt: startAt, reason: call.body["reason"]?.string, actor: actor, at: call.now
      ).settled(version: \.version)
      try transaction.audit(
        "campaign.\(act.rawValue)", id, reason: call.body["reason"]?.string,
        before: before.map { ["campaign_state": .string($0.state.rawValue), "version": .count($0.version)] },
        after: ["campaign_state": .string(campaign.state.rawValue), "version": .count(campaign.version)], by: actor,
        at: call.now)
      return .json(campaign.json, version: Int64(campaign.version))
    }
  }

  private func act(_ act: CampaignAct, _ summary: String) -> Route {
    Route(
      "\(act.rawValue)Campaign", .post, "/v1/campaigns/{id}/\(act.rawValue)", summary: summary, tag: Self.tag,
      access: Self.writers, parameters: [Self.id],
      body: .init(.input(.optional("reason", .nullable(.string(maximum: 500))))),
      answers: [.json(Campaign.schema, "As it is now")], needsIdempotencyKey: true,
      // What is approved is what was read.
      needsCondition: act == .approve
    ) { call in
      try await perform(act, call)
    }
  }

  private var schedule: Route {
    Route(
      "scheduleCampaign", .post, "/v1/campaigns/{id}/schedule",
      summary: "It starts by itself at its time, or at once if it has none", tag: Self.tag, access: Self.writers,
      parameters: [Self.id], body: .init(.input(.optional("start_at", .nullable(.time)))),
      answers: [.json(Campaign.schema, "As it is now")], needsIdempotencyKey: true
    ) { call in
      try await perform(.schedule, call, startAt: call.body["start_at"]?.string.flatMap { Timestamp($0) })
    }
  }

  private var check: Route {
    Route(
      "checkCampaign", .post, "/v1/campaigns/{id}/check",
      summary: "Look whether it is complete; then it can be approved", tag: Self.tag, access: Self.writers,
      parameters: [Self.id], body: .init(.input()),
      answers: [.json(Campaign.schema, "Nothing is wrong with it")], needsIdempotencyKey: true
    ) { call in
      let campaign = try await known(call)
      let faults = try await runner.faults(of: campaign.plan)
      guard faults.isEmpty else {
        throw Problem(
          .invalidInput,
          violations: faults.map { fault in
            Violation(
              .body(pointer: fault.pointer), .notAllowed,
              expected: call.language == .chinese ? fault.zh : fault.en)
          })
      }
      return try await perform(.check, call)
    }
  }
}
