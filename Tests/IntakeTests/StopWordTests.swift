import Channels
import ContactModel
import Intake
import Store
import Testing

@Suite struct StopWordTests {
  private static let sms = ContactChannel(kind: .sms, name: "link")
  private static let phone = Address(kind: .phone, canonical: "+8610017001001", raw: "10017001001")

  private var parameters: IntakeParameters {
    var parameters = House.parameters
    parameters.stopConfirmation = MessageTemplate(
      code: Code("stop-confirmation")!, nameZh: "退订确认", nameEn: "Opt-out", purpose: .service,
      messages: [.init(channel: .sms, language: "zh", text: "已退订")])
    return parameters
  }

  private func word(_ properties: [InboundMessage.Property], key: String) -> Arrival {
    Arrival(
      channel: Self.sms, wireKey: key, from: Self.phone, to: nil, receivedAt: House.start,
      payload: .message(InboundMessage(text: "TD", properties: properties)), raw: Array("TD".utf8))
  }

  @Test func `a stop word stops the address with the message as its proof, and is answered once`() async throws {
    let house = try await House()
    let intake = house.intake(parameters: parameters)
    try await house.running(intake) {
      let stop: [InboundMessage.Property] = [.init("address.stop", "promo"), .init("address.stop_word", "TD")]
      for (key, properties) in [("1", stop), ("2", stop), ("3", [.init("address.stop_lift", "promo")]), ("4", stop)] {
        let resolved = house.database.subscribe(to: EventRecord.self)
        guard case .stored(let arrival) = await intake.accept(word(properties, key: key)) else {
          Issue.record("not kept")
          return
        }
        for await element in resolved {
          if case .value(let event) = element, event.type == .contactOpened { break }
        }
        let scope = try await house.database.read { try $0.stop(on: Self.phone, for: .sms) }
        #expect(scope == (key == "3" ? nil : .promo))
        guard key == "1" else { continue }
        let proof = try await house.database.read {
          try $0.one("SELECT e.reference FROM address_stop s JOIN evidence e ON e.evidence_id = s.evidence_id")
        }
        #expect(try proof.text("reference") == arrival.description)
      }
    }
    let (jobs, contacts) = try await house.database.read { connection in
      (
        try connection.proactiveJobs(matching: JobFilter(), after: nil, limit: 10),
        try connection.query("SELECT state, disposition FROM contact ORDER BY contact_id")
      )
    }
    // Stopped twice in a day: told once.
    #expect(jobs.map(\.contents) == [["sms": Dispatch.Content(text: "已退订", language: "zh")]])
    #expect(jobs.first?.customerNo == CustomerNumber("7001") && jobs.first?.to == Self.phone)
    // Nobody has to work on them.
    #expect(try contacts.allSatisfy { try $0.text("state") == "closed" })
    #expect(try contacts.map { try $0.text("disposition") }.count { $0 == "stop_promo" } == 3)
    let orphans = try await house.database.read { try $0.query("SELECT request_id FROM service_request") }
    #expect(orphans.isEmpty)
    await house.database.close()
  }
}
