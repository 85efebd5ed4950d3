import Channels
import ContactModel
import Outbound
import Store

/// How far a campaign is and what became of everybody in it. Another department's customers are not in the account.
extension CampaignResources {
  var progress: Route {
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
    return try await database.look(.bulk) { connection in
      let scope = try Scope(call, connection)
      return try scope.some(page.limit) { row in
        try connection.campaignResults(of: campaign, after: row?.seq ?? after, limit: page.limit)
      } includes: {
        try scope.includes(customer: $0.customerNo)
      }
    }
  }

  /// Everybody on a page is on record, and that the campaign was looked at also where nobody is on it.
  private func record(_ shown: ArraySlice<CampaignResult>, _ call: Call, purpose: String) async throws {
    let id = call.text("id") ?? ""
    let seen = sights(shown.map { ($0.customerNo, id) })
    try await database.record(
      seen.isEmpty ? [Sight(customer: nil, subject: id)] : seen, by: Actor(call), purpose: purpose, at: call.now)
  }

  var results: Route {
    Route(
      "listCampaignResults", .get, "/v1/campaigns/{id}/results",
      summary: "Every customer of it: who was reached, who was not, and why", tag: Self.tag, access: Self.readers,
      parameters: [Self.id] + Route.Parameter.page, answers: [.json(.page(of: CampaignResult.schema), "A page")]
    ) { call in
      let page = try Page(call, cursors)
      let rows = try await rows(call, page)
      try await record(rows.prefix(page.size), call, purpose: "campaign")
      return page.reply(rows, keys: { [.integer($0.seq)] }, json: \.json)
    }
  }

  var export: Route {
    Route(
      "exportCampaign", .get, "/v1/campaigns/{id}/export",
      summary: "The same for a file; the field Next-Cursor names the next part until there is none", tag: Self.tag,
      access: Self.readers,
      parameters: [Self.id, .query("format", .word(["csv", "jsonl"]), "csv if not given")] + Route.Parameter.page,
      answers: [.other("text/csv", "A part; the first begins with the header")]
    ) { call in
      let page = try Page(call, cursors)
      let rows = try await rows(call, page)
      let shown = rows.prefix(page.size)
      try await record(shown, call, purpose: "export")
      var reply: Reply
      if call.text("format") == "jsonl" {
        let lines = shown.flatMap { call.mask.written($0.json) + [UInt8(ascii: "\n")] }
        reply = .bytes(lines, mediaType: "application/jsonl")
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

  var explain: Route {
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
        guard try Scope(call, connection).includes(customer: number),
          let result = try connection.campaignResult(of: campaign, for: number)
        else { throw Problem(.notFound) }
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
}
