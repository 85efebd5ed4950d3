import Channels
import ContactModel
import Outbound
import Store

/// What a campaign would do, before it does anything: counts, costs and words, and who meets a criterion.
extension CampaignResources {
  var dryRun: Route {
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

  var preview: Route {
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

  var backTest: Route {
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

  var audience: Route {
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
              .filter { try Scope(call, connection).includes(customer: $0) }
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
