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
  private static let id = Route.Parameter.path("id", .id("campaign"))
  private static let tag = "campaigns"

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

  private func known(_ call: Call) async throws -> Campaign {
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

  // MARK: Trying out

  private var dryRun: Route {
    Route(
      "dryRunCampaign", .post, "/v1/campaigns/{id}/dry-run",
      summary: "What it would do now: counts by reason and channel, cost, when it would end. Sends and changes nothing",
      tag: Self.tag, access: Self.writers, parameters: [Self.id], body: .init(.input()),
      answers: [.json(CampaignSurvey.schema, "What it would do")]
    ) { call in
      let campaign = try await known(call)
      do {
        let survey = try await translatingErrors { try await runner.survey(campaign.plan, seed: campaign.seed) }
        return .json(survey.json(of: campaign.plan, finish: runner.finish(of: campaign.plan, survey)))
      } catch let fault as CriterionFault {
        throw Self.problem(fault, "#/group", call)
      }
    }
  }

  private static func problem(_ fault: CriterionFault, _ pointer: String, _ call: Call) -> Problem {
    Problem(
      .invalidInput,
      violations: [
        Violation(
          .body(pointer: pointer), .format, expected: fault.words(in: call.language == .chinese ? .zh : .en))
      ])
  }

  private var preview: Route {
    let shown = Schema.output(
      .required("customer_no", .string()), .required("arm", .string()), .required("channel", .string()),
      .required("language", .nullable(.string())), .required("subject", .nullable(.string())),
      .required("text", .string()), .required("characters", .integer()), .required("bytes", .integer()),
      .required("segments", .nullable(.integer()), "SMS it is sent as; null on other channels"))
    return Route(
      "previewCampaign", .post, "/v1/campaigns/{id}/preview",
      summary: "Its words as real customers would read them, with their size", tag: Self.tag, access: Self.writers,
      parameters: [Self.id],
      body: .init(.input(.required("customers", .array(.string(minimum: 1, maximum: 32), maximum: 20)))),
      answers: [.json(.output(.required("items", .array(shown))), "By customer, arm and channel")]
    ) { call in
      let campaign = try await known(call)
      let numbers = (call.body["customers"]?.array ?? []).compactMap { $0.string.flatMap { CustomerNumber($0) } }
      return try await database.look(call, purpose: "campaign") { connection in
        let scope = try Scope(call, connection)
        var items: [JSONValue] = []
        for number in numbers {
          guard let customer = try connection.customer(number), scope.includes(customer) else {
            throw Problem.unknown("#/customers")
          }
          for arm in campaign.plan.arms {
            for (channel, content) in arm.contents(for: customer, link: nil).sorted(by: { $0.key < $1.key }) {
              items.append([
                "customer_no": .text(number), "arm": .string(arm.name), "channel": .string(channel),
                "language": .optional(content.language), "subject": .optional(content.subject),
                "text": .string(content.text), "characters": .count(content.text.count),
                "bytes": .count(content.text.utf8.count),
                "segments": channel == "sms" ? .count(TemplateText.segments(of: content.text)) : .null,
              ])
            }
          }
        }
        return (
          Reply.json(["items": .array(items)]),
          seen: numbers.map { Sight(customer: $0, subject: campaign.id.description) }
        )
      }
    }
  }

  // MARK: Watching

  private var progress: Route {
    Route(
      "getCampaignProgress", .get, "/v1/campaigns/{id}/progress",
      summary: "How far it is; the event stream tells each step (campaign.progress)", tag: Self.tag,
      access: Self.readers, parameters: [Self.id],
      answers: [
        .json(
          .output(
            .required("campaign_state", .string()), .required("planned", .integer(), "Customers with a row"),
            .required("jobs", .integer(), "Made so far"), .required("jobs_by_state", .map(.integer())),
            .required("attempts_by_channel", .map(.integer())), .required("spent_cents", .integer()),
            .required("committed_cents", .integer(), "What the jobs made so far may cost at most"),
            .required("rule_version", .nullable(.string())), .required("decided_at", .nullable(.time))), "So far")
      ]
    ) { call in
      let campaign = try await known(call)
      let progress = try await database.look(.bulk) { try $0.campaignProgress(of: campaign) }
      func map(_ counts: [String: Int]) -> JSONValue {
        .object(JSONObject(counts.sorted { $0.key < $1.key }.map { .init(name: $0.key, value: .count($0.value)) }))
      }
      return .json([
        "campaign_state": .string(campaign.state.rawValue), "planned": .count(progress.plan?.written ?? 0),
        "jobs": .count(progress.plan?.fed ?? 0), "jobs_by_state": map(progress.jobs),
        "attempts_by_channel": map(progress.attempts), "spent_cents": .integer(progress.spentCents),
        "committed_cents": .integer(progress.plan?.committedCents ?? 0),
        "rule_version": .optional(progress.plan?.ruleVersion), "decided_at": .optional(progress.plan?.decidedAt),
      ])
    }
  }

  private func rows(_ call: Call, _ page: Page) async throws -> [CampaignResult] {
    let campaign = try await known(call)
    let after = page.after.first?.integer ?? 0
    return try await database.look(.bulk) { try $0.campaignResults(of: campaign, after: after, limit: page.limit) }
  }

  private var results: Route {
    Route(
      "listCampaignResults", .get, "/v1/campaigns/{id}/results",
      summary: "Every customer of it: who was reached, who was not, and why", tag: Self.tag, access: Self.readers,
      parameters: [Self.id] + Route.Parameter.page, answers: [.json(.page(of: CampaignResult.schema), "A page")]
    ) { call in
      let page = try Page(call, cursors)
      let rows = try await rows(call, page)
      try await database.record(
        [Sight(customer: nil, subject: call.text("id") ?? "")], by: Actor(call), purpose: "campaign", at: call.now)
      return page.reply(rows, keys: { [.integer($0.seq)] }, json: \.json)
    }
  }

  private var export: Route {
    Route(
      "exportCampaign", .get, "/v1/campaigns/{id}/export",
      summary: "The same for a file; the field Next-Cursor names the next part until there is none", tag: Self.tag,
      access: Self.readers,
      parameters: [Self.id, .query("format", .word(["csv", "jsonl"]), "csv if not given")] + Route.Parameter.page,
      answers: [.other("text/csv", "A part; the first begins with the header")]
    ) { call in
      let page = try Page(call, cursors)
      let rows = try await rows(call, page)
      try await database.record(
        [Sight(customer: nil, subject: call.text("id") ?? "")], by: Actor(call), purpose: "export", at: call.now)
      let shown = rows.prefix(page.size)
      var reply: Reply
      if call.text("format") == "jsonl" {
        let text = shown.map { call.mask.apply(to: $0.json).text + "\n" }.joined()
        reply = .bytes(Array(text.utf8), mediaType: "application/jsonl")
      } else {
        let head = page.after.isEmpty ? CampaignResult.csvHeader : ""
        reply = .bytes(Array((head + shown.map(\.csv).joined()).utf8), mediaType: "text/csv; charset=utf-8")
      }
      if rows.count > page.size, let last = shown.last {
        reply.headers.append(HeaderField("Next-Cursor", page.cursor(after: [.integer(last.seq)])))
      }
      return reply
    }
  }

  private var explain: Route {
    Route(
      "explainCampaignCustomer", .get, "/v1/campaigns/{id}/customers/{customer_no}",
      summary: "Why one customer was reached, or not, with every decision in words", tag: Self.tag,
      access: Self.readers, parameters: [Self.id, .path("customer_no", .string(minimum: 1, maximum: 32))],
      answers: [
        .json(
          .output(
            .required("result", CampaignResult.schema),
            .required("job", .nullable(ProactiveJob.schema)),
            .required("attempts", .array(AttemptRecord.schema)),
            .required("decisions", .array(OutboundDecision.schema), "In order")), "His row")
      ]
    ) { call in
      let campaign = try await known(call)
      let number: CustomerNumber = try call.path("customer_no")
      return try await database.look(call, purpose: "campaign") { connection in
        guard let result = try connection.campaignResult(of: campaign, for: number) else { throw Problem(.notFound) }
        let job = try result.job.flatMap { try connection.proactiveJob($0) }
        let history = try job?.withHistory(connection)
        return (
          Reply.json([
            "result": result.json, "job": history?["job"] ?? .null, "attempts": history?["attempts"] ?? .array([]),
            "decisions": history?["decisions"] ?? .array([]),
          ]), seen: [Sight(customer: number, subject: campaign.id.description)]
        )
      }
    }
  }

  private var backTest: Route {
    let hits = Schema.output(.required("tried", .integer()), .required("succeeded", .integer()))
    return Route(
      "backTestLearning", .get, "/v1/learning/back-test",
      summary: "Whether learning which channel customers answer would have helped", tag: Self.tag,
      access: .roles(.marketing, .supervisor, .auditor),
      parameters: [.query("sample", .integer(minimum: 1, maximum: 20_000), "Customers; 2,000 if not given")],
      answers: [
        .json(
          .output(
            .required("customers", .integer()), .required("trials", .integer()), .required("learned_error", .number),
            .required("segment_error", .number), .required("learned_choice", hits), .required("order_choice", hits)),
          "What the replay found")
      ]
    ) { call in
      let sample = Int(call.integer("sample") ?? 2_000)
      let order = runner.channelOrder
      let found = try await database.look(.bulk) { try $0.backTest(sample: sample, order: order, at: call.now) }
      func json(_ hits: BackTest.Hits) -> JSONValue {
        ["tried": .count(hits.tried), "succeeded": .count(hits.succeeded)]
      }
      return .json([
        "customers": .count(found.customers), "trials": .count(found.test.trials),
        "learned_error": .number(found.test.learnedError), "segment_error": .number(found.test.segmentError),
        "learned_choice": json(found.test.learnedChoice), "order_choice": json(found.test.orderChoice),
      ])
    }
  }

  private var audience: Route {
    Route(
      "checkCriterion", .post, "/v1/criteria/check",
      summary: "Read a criterion: in words, how many customers meet it now, and some of them; or where it is wrong",
      tag: "customer-groups", access: .roles(.marketing, .supervisor, .integration),
      body: .init(.input(.required("criterion", .string(minimum: 1, maximum: 4_000)))),
      answers: [
        .json(
          .output(
            .required("words_zh", .string()), .required("words_en", .string()), .required("count", .integer()),
            .required("sample", .array(.string()), "Customer numbers, at most 10")), "It can be used")
      ]
    ) { call in
      do {
        let criterion = try Criterion(call.body["criterion"]?.string ?? "")
        let (count, sample) = try await database.look(.bulk) { connection in
          for code in criterion.groups {
            guard let name = Code(code), try connection.group(name) != nil else {
              throw CriterionFault(.unknownGroup, at: 1, expected: code)
            }
          }
          return (
            try connection.count(criterion, at: call.now),
            try connection.sample(criterion, limit: 10, at: call.now).map(\.customerNo)
          )
        }
        return .json([
          "words_zh": .string(criterion.words(in: .zh)), "words_en": .string(criterion.words(in: .en)),
          "count": .count(count), "sample": .array(sample.map { .text($0) }),
        ])
      } catch let fault as CriterionFault {
        throw Self.problem(fault, "#/criterion", call)
      }
    }
  }
}
