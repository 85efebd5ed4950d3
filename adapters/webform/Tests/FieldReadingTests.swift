import Channels
import Testing

@testable import WebForms

@Suite struct FieldReadingTests {
  static func field(_ kind: FormDefinition.Field.Kind, _ extra: String = "") throws -> FormDefinition.Field {
    let options = kind == .select ? ", options: [{value: a, label: {zh: 甲, en: A}}]" : ""
    let yaml = """
      id: xx
      version: 1
      effective: 2026-01-01
      title: {zh: x, en: x}
      fields: [{name: f, kind: \(kind.rawValue), label: {zh: x, en: x}\(options)\(extra)}]
      """
    return try FormDefinition.read(yaml, source: "x").fields[0]
  }
  static let now = Timestamp("2026-11-24T16:00:00Z")!

  @Test(arguments: [
    (FormDefinition.Field.Kind.text, "  王 小明\u{3000}", "王 小明"),
    (.email, "A.b+c@Mail.example.com", "A.b+c@Mail.example.com"),
    (.email, "ｎａｍｅ＠ｅｘａｍｐｌｅ．ｃｏｍ", "name@example.com"), (.email, "王@例子.中国", "王@例子.中国"),
    (.phone, "+86 (10) 6655-1234", "+86 (10) 6655-1234"), (.phone, "１３８００１３８０００", "13800138000"),
    (.select, "a", "a"), (.date, "2024-02-29", "2024-02-29"), (.number, "1,234.50", "1234.50"), (.number, "-3", "-3"),
    (.identityTail, "123x", "123X"), (.accountTail, "004217", "004217"), (.customerNo, "ab-12", "AB-12"),
    (.multiLine, "a\r\nb\rc\nd\te", "a\nb\nc\nd\te"), (.multiLine, "👩‍👩‍👧", "👩‍👩‍👧"),
  ])
  func `a value is taken and normalised`(_ kind: FormDefinition.Field.Kind, _ raw: String, _ value: String) throws {
    #expect(try FieldReading.text(raw, Self.field(kind), Self.now).get() == value)
  }

  @Test(arguments: [
    (FormDefinition.Field.Kind.text, "a\nb", "bad_character"), (.text, "a\u{0}b", "bad_character"),
    (.text, String(repeating: "x", count: 201), "too_long"), (.email, "a@b", "format"), (.email, "a b@c.de", "format"),
    (.email, "a@@c.de", "format"), (.email, "@c.de", "format"), (.email, "a..b@c.de", "format"),
    (.email, "a@-c.de", "format"), (.phone, "1234", "format"), (.phone, "12345x", "format"),
    (.phone, "1234567890123456", "format"), (.phone, "1+23456", "format"), (.select, "b", "not_an_option"),
    (.date, "2026-02-29", "format"), (.date, "24.11.2026", "format"), (.number, "1e5", "format"),
    (.number, "1.", "format"), (.number, "nan", "format"), (.identityTail, "12X4", "format"),
    (.identityTail, "123", "format"), (.accountTail, "12a4", "format"), (.customerNo, "客户", "format"),
    (.multiLine, "a\u{1b}[0m", "bad_character"),
  ])
  func `a value is not taken and the reason is told`(
    _ kind: FormDefinition.Field.Kind, _ raw: String, _ code: String
  ) throws {
    guard case .failure(let wrong) = FieldReading.text(raw, try Self.field(kind), Self.now) else {
      Issue.record("taken")
      return
    }
    #expect(FieldProblem(input: "f", pointer: "/fields/f", kind: wrong.kind).code == code)
  }

  @Test(arguments: [
    (FormDefinition.Field.Kind.number, ", minimum: 0, maximum: 10", "11", false), (.number, ", minimum: 0", "0", true),
    (.number, ", minimum: 0", "-1", false), (.date, ", latest: today", "2026-11-25", true),
    (.date, ", latest: today", "2026-11-26", false), (.date, ", earliest: today", "2026-11-24", true),
    (.date, ", earliest: today", "2026-11-23", false), (.date, ", earliest: 2026-01-01", "2025-12-31", false),
    (.text, ", minimum_length: 3", "ab", false), (.text, ", pattern: 'a+'", "aaa", true),
    (.text, ", pattern: 'a+'", "ab", false), (.text, ", required: true", "  ", false),
  ])
  func `a bound holds`(_ kind: FormDefinition.Field.Kind, _ extra: String, _ raw: String, _ fits: Bool) throws {
    let field = try Self.field(kind, extra)
    let result = FieldReading.text(raw, field, Self.now)
    #expect((try? result.get() != "") == (fits ? true : nil))
  }

  @Test(arguments: [
    ("13800138000", "+8613800138000"), ("138-0013-8000", "+8613800138000"), ("+8613800138000", "+8613800138000"),
    ("0086 138 0013 8000", "+8613800138000"), ("8613800138000", "+8613800138000"), ("010-66551234", "+861066551234"),
    ("+44 20 7946 0000", "+442079460000"), ("66551234", nil), ("95588", nil),
  ])
  func `a phone number gets its E.164 form where one can be made`(_ raw: String, _ canonical: String?) {
    #expect(NumberPlan(countryCode: "86").e164(raw) == canonical)
  }

  @Test(arguments: [
    (nil, FormLanguage.zh), ("", .zh), ("en", .en), ("zh-TW,zh;q=0.9,en;q=0.8", .zh), ("en-GB,en;q=0.9,zh;q=0.8", .en),
    ("fr,en;q=0.3", .en), ("de", .zh), ("en;q=0", .zh), ("zh;q=0.5, en;q=0.7", .en), (";;;,,q=", .zh), ("en;q=x", .zh),
  ])
  func `the language is the best of ours`(_ header: String?, _ language: FormLanguage) {
    #expect(FormLanguage.best(for: header) == language)
  }

  @Test(arguments: [
    ("%PDF-1.7", "image/png", "application/pdf"), ("\u{7f}ELF", "image/png", "application/x-elf"),
    ("plain words", "image/png", "text/plain"), ("  <script>alert(1)</script>", "text/plain", "text/html"),
    ("<svg xmlns='x'>", "image/svg+xml", "text/html"),
    ("MZ\u{0}\u{0}", "application/pdf", "application/vnd.microsoft.portable-executable"),
    ("GIF89a", nil, "image/gif"), ("#!/bin/sh", "text/plain", "text/x-script"),
  ])
  func `an attachment is what its bytes say`(_ text: String, _ declared: String?, _ type: String) {
    #expect(MediaSniffer.mediaType(of: Array(text.utf8), declared: declared) == type)
  }

  @Test func `a document in a container is told from any archive`() {
    func zip(_ name: String) -> [UInt8] {
      [0x50, 0x4b, 3, 4] + [UInt8](repeating: 0, count: 22) + [UInt8(name.utf8.count), 0, 0, 0] + Array(name.utf8)
    }
    #expect(MediaSniffer.mediaType(of: zip("OFD.xml"), declared: nil) == "application/ofd")
    #expect(MediaSniffer.mediaType(of: zip("word/document.xml"), declared: nil).hasSuffix("wordprocessingml.document"))
    #expect(MediaSniffer.mediaType(of: zip("a.exe"), declared: "application/pdf") == "application/zip")
    #expect(MediaSniffer.mediaType(of: [0xc4, 0xe3, 0xba, 0xc3], declared: "text/plain") == "text/plain")
  }
}
