import API
import Testing

@Suite struct FieldMaskTests {
  private let all = FieldMask(hiding: Set(FieldMask.Kind.allCases))

  @Test(arguments: [
    "卡号6222021234567890128请查", "card 4111 1111 1111 1111.", "账号6217990000001234560", "6217 9900 0000 1234 560",
    "4111-1111-1111-1111", "４１１１１１１１１１１１１１１１",
    "手机13812345678", "+86 138 1234 5678", "13812345678 13912345678", "+442071234567", "身份证11010519491231002X",
    "身份证 11010519491231002x。", "mail to li.wei@example.com now",
  ])
  func `what identifies somebody is found in free text`(text: String) {
    let masked = all.apply(to: text)
    #expect(masked != text)
    for canary in ["1234567", "11111111", "１１１１１", "138123", "8 1234", "139123", "207123", "194912", "li.wei"]
    where text.contains(canary) {
      #expect(!masked.contains(canary), "\(masked)")
    }
  }

  @Test(arguments: [
    "contact_01jdf3w6a2e9v8x7y6z5t4s3r2", "2026-11-24T15:04:31.000Z", "41111111111112 is none",
    "order 20261124150431",
    "1.2.3.4",
    "汇款 100000.00 元", "a4111111111111111b", "12345", "",
  ])
  func `what identifies nobody is left alone`(text: String) {
    #expect(all.apply(to: text) == text)
  }

  @Test func `members are judged by name, addresses by kind, identifiers never`() throws {
    let value: JSONValue = [
      "id": "contact_01jdf3w6a2e9v8x7y6z5t4s3r2", "customer_no": "4111111111111111",
      "created_at": "2026-11-24T15:04:31.000Z",
      "phone": "+8613812345678", "phones": [["text": "010-1234"]], "identity_no": "11010519491231002X",
      "account_no": 6_222_021_234_567_890, "summary": "call 13812345678",
      "from": ["kind": "email", "canonical": "li@example.com", "raw": "Li <li@example.com>"],
      "to": ["kind": "phone", "canonical": "95588", "raw": "95588"],
    ]
    let masked = try all.apply(to: value)
    #expect(masked["id"] == value["id"] && masked["customer_no"] == value["customer_no"])
    #expect(masked["created_at"] == value["created_at"])
    #expect(masked["phone"] == "***5678" && masked["identity_no"] == "***" && masked["account_no"] == "***")
    #expect(masked["phones"]?.array?.first?["text"] == "***")
    #expect(masked["summary"] == "call ***5678")
    #expect(masked["from"]?["canonical"] == "l***@example.com")
    #expect(masked["to"]?["canonical"] == "***")
    let text = String(decoding: masked.encoded, as: UTF8.self)
    for canary in ["138123", "110105", "622202", "li@"] { #expect(!text.contains(canary)) }
  }

  @Test func `without anything to hide a value is unchanged`() throws {
    let value: JSONValue = ["phone": "+8613812345678", "text": "4111111111111111"]
    #expect(try FieldMask.none.apply(to: value) == value)
    #expect(try FieldMask(hiding: [.card]).apply(to: value) == ["phone": "+8613812345678", "text": "***1111"])
  }

  @Test func `things in a list are judged each by its own members`() throws {
    let phone: JSONValue = ["kind": "phone", "raw": "95588"]
    let later: JSONValue = ["a": 1, "b": 2, "kind": "email", "raw": "x@y.cn"]
    let none: JSONValue = ["raw": "95588", "kinds": "phone"]
    let nested: JSONValue = ["raw": ["kind": "phone", "raw": "95588"], "kind": "text"]
    let moved: JSONValue = ["raw": "95588", "b": 2, "kind": "phone"]
    let all = [phone, later, none, nested, moved, phone, none, later, moved, nested]
    let alone = try all.map { try self.all.apply(to: $0) }
    #expect(try self.all.apply(to: .array(all)) == .array(alone))
    #expect(alone[0]["raw"] == "***" && alone[1]["raw"] == "x***@y.cn" && alone[2]["raw"] == "95588")
    #expect(alone[3]["raw"]?["raw"] == "***" && alone[4]["raw"] == "***")
  }

  @Test func `two roles see what either sees, none sees nothing`() {
    let policy = MaskPolicy.shipped
    let both = policy.mask(for: Principal(id: "x", roles: [.agent, .marketing]))
    #expect(both.hidden == [.identity, .account, .card])
    #expect(policy.mask(for: nil).hidden == Set(FieldMask.Kind.allCases))
    #expect(policy.mask(for: Principal(id: "x", roles: [])).hidden == Set(FieldMask.Kind.allCases))
  }
}

extension FieldMask {
  /// The masked value, read back.
  fileprivate func apply(to value: JSONValue) throws -> JSONValue { try JSONReader.read(written(value)) }
}
