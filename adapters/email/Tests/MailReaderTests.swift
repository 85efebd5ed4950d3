import Testing

@testable import Email

/// What must hold without the shared corpus: one hand-made mail per rule.
@Suite struct MailReaderTests {
  private func read(_ text: String) async throws -> ReadMail { try await MailReader().read(Array(text.utf8)) }
  private func read(_ head: String, _ body: [UInt8]) async throws -> ReadMail {
    try await MailReader().read(Array(head.utf8) + body)
  }
  /// 账单有疑问 in GBK.
  private let gbk: [UInt8] = [0xd5, 0xcb, 0xb5, 0xa5, 0xd3, 0xd0, 0xd2, 0xc9, 0xce, 0xca]
  private let big5: [UInt8] = [0xb1, 0x62, 0xb3, 0xe6, 0xac, 0x64, 0xb8, 0xdf]
  private func b64(_ bytes: [UInt8]) -> String { String(decoding: Base64.encode(bytes), as: UTF8.self) }

  @Test func `adjacent encoded words are joined as bytes so that a character cut in two survives`() async throws {
    let mail = try await read(
      "From: a@b.cn\nSubject: =?gb18030?B?\(b64(Array(gbk[..<3])))?=\n =?GB18030?B?\(b64(Array(gbk[3...])))?=\n\nx")
    #expect(mail.subject == "账单有疑问")
  }
  @Test func `a padded word does not end the subject`() async throws {
    let mail = try await read("From: a@b.cn\nSubject: =?utf-8?B?5oKo?= =?utf-8?B?5aW9?= and =?utf-8?Q?x=3Dy?=\n\nx")
    #expect(mail.subject == "您好 and x=y")
  }
  @Test(arguments: ["gb2312", "GBK", "x-gbk", "cp936", "gb18030"])
  func `every label of the GB family is GB18030`(_ label: String) async throws {
    let mail = try await read("From: a@b.com\nContent-Type: text/plain; charset=\"\(label)\"\n\n", gbk)
    #expect(mail.text == "账单有疑问")
    #expect(mail.charset == label)
  }
  @Test func `a label the bytes contradict gives way`() async throws {
    #expect(try await read("From: a@b.com\nContent-Type: text/plain; charset=utf-8\n\n", gbk).text == "账单有疑问")
    #expect(
      try await read("From: a@b.com\nContent-Type: text/plain; charset=gb2312\n\n", Array("账单有疑问".utf8)).text == "账单有疑问"
    )
    #expect(try await read("From: a@b.com\nContent-Type: text/plain; charset=iso-8859-1\n\n", gbk).text == "账单有疑问")
    #expect(try await read("From: a@b.com\nContent-Type: text/plain; charset=big5\n\n", big5).text == "帳單查詢")
  }
  @Test func `Latin text without a label is not taken for Chinese`() async throws {
    let mail = try await read(
      "From: joerg@example.de\nSubject: Gr",
      [0xfc, 0xdf] + Array("e aus K".utf8) + [0xf6] + Array("ln\n\nSch".utf8) + [0xf6] + Array("ne Gr".utf8) + [
        0xfc, 0xdf,
      ] + Array("e".utf8))
    #expect(mail.subject == "Grüße aus Köln")
    #expect(mail.text == "Schöne Grüße")
  }
  @Test func `HZ and ISO-2022 are decoded`() async throws {
    #expect(
      try await read("From: a@b.com\nContent-Type: text/plain; charset=HZ-GB-2312\n\n~{UK5%~} ok").text == "账单 ok")
    #expect(
      try await read("From: a@b.com\nContent-Type: text/plain; charset=ISO-2022-JP\n\n\u{1b}$B4A;z\u{1b}(B").text
        == "漢字")
  }
  @Test func `raw bytes in a header are UTF-8 or else what the body is`() async throws {
    let head = Array("From: a@b.com\nSubject: ".utf8) + gbk + Array("\nContent-Type: text/plain; charset=gbk\n\nx".utf8)
    #expect(try await MailReader().read(head).subject == "账单有疑问")
    #expect(try await read("From: a@b.com\nSubject: 账单\n\nx").subject == "账单")
  }
  @Test func `leading blank lines and an mbox line do not lose the headers`() async throws {
    let mail = try await read("\n\nFrom a@b Mon May  6 09:30:00 2024\nFrom: a@b.com\nSubject: hi\n\nbody")
    #expect(mail.from == "a@b.com")
    #expect(mail.subject == "hi")
    #expect(mail.text == "body")
  }
  @Test func `file names are decoded in every encoding senders use`() async throws {
    let name = "回单.pdf"
    let parts = [
      "filename*=utf-8''%E5%9B%9E%E5%8D%95.pdf", "filename*0*=gb18030''%BB%D8; filename*1*=%B5%A5.pdf",
      "filename=\"=?gbk?B?u9i1pQ==?= =?gbk?B?LnBkZg==?=\"", "filename=\"\(name)\"", "filename=%E5%9B%9E%E5%8D%95.pdf",
      "filename=\"x.pdf\"; filename*=UTF-8''%E5%9B%9E%E5%8D%95.pdf",
    ]
    let body = parts.map {
      "--b\nContent-Type: application/octet-stream\nContent-Disposition: attachment; \($0)\n\n%PDF-1\n"
    }.joined()
    let mail = try await read(
      "From: a@b.com\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n\(body)--b--\n")
    #expect(mail.attachments.map(\.name) == Array(repeating: name, count: parts.count))
    #expect(mail.attachments.allSatisfy { $0.mediaType == "application/pdf" })
  }
  @Test func `an unquoted name with blanks and a comma in a display name are read whole`() async throws {
    let mail = try await read(
      "From: Li, Na <li@b.com>\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: application/pdf; name=my file.pdf\n\nx\n--b--\n"
    )
    #expect(mail.from == "li@b.com")
    #expect(mail.fromName == "Li, Na")
    #expect(mail.attachments.map(\.name) == ["my file.pdf"])
  }
  @Test func `a multipart whose boundary never comes keeps its text`() async throws {
    #expect(try await read("From: a@b.com\nContent-Type: multipart/mixed\n\nhello").text == "hello")
    #expect(try await read("From: a@b.com\nContent-Type: multipart/mixed; boundary=zz\n\nhello").text == "hello")
  }
  @Test func `HTML for display carries no script, no style and calls nobody`() {
    let html = sanitizedHTML(
      "<p onclick=x>a<script>alert(1)</script><img src='http://t/x.png'><img src=cid:1@x alt=b><a href='java\nscript:x'>l</a><a href=https://b.cn>m</a><style>p{}</style><iframe src=x></iframe><b>open"
    )
    #expect(
      !html.contains("script") && !html.contains("onclick") && !html.contains("http://t") && !html.contains("iframe"))
    #expect(html.contains("<img src=\"cid:1@x\" alt=\"b\">"))
    #expect(html.contains("<a href=\"https://b.cn\" rel=\"noopener noreferrer nofollow\" target=\"_blank\">m</a>"))
    #expect(html.hasSuffix("<b>open</b></p>"))
  }
  @Test func `HTML only mail is given as text`() async throws {
    let mail = try await read(
      "From: a@b.com\nContent-Type: text/html; charset=utf-8\n\n<html><head><title>t</title></head><body><p>您好&nbsp;A&amp;B</p><div>第二行<br>第三行</div></body></html>"
    )
    #expect(mail.text == "您好 A&B\n\n第二行\n第三行")
  }
  @Test(arguments: [
    ("谢谢。\n\n------------------ 原始邮件 ------------------\n发件人: \"客服\" <s@b.cn>;\n发送时间: 2024年5月6日\n\n旧文", "谢谢。"),
    ("谢谢。\n\n在 2024-05-06 09:30:00，\"客服\" <s@b.cn> 写道：\n>旧文\n>再旧", "谢谢。"),
    ("谢谢。\n\n客服 <s@b.cn> 于2024年5月6日周一 09:30写道：\n\n> 旧文\n>", "谢谢。"),
    ("谢谢。\n发自我的iPhone\n\n> 在 2024年5月6日，上午9:30，客服 <s@b.cn> 写道：\n> \n> 旧文", "谢谢。"),
    ("谢谢。\n\n-----邮件原件-----\n发件人: 客服 <s@b.cn>\n发送时间: 2024年5月6日 9:30\n收件人: 客户\n主题: 旧\n\n旧文", "谢谢。"),
    ("谢谢。\n\n________________________________\n发件人: 客服 <s@b.cn>\n发送时间: 星期一\n\n旧文", "谢谢。"),
    ("谢谢。\n\n发件人： 客服\n发送时间： 2024-05-06 09:30\n收件人： 客户\n主题： 旧\n\n旧文", "谢谢。"),
    ("谢谢。\n\n---- 回复的原邮件 ----\n| 发件人 | 客服<s@b.cn> |\n| 主题 | 旧 |\n旧文", "谢谢。"),
    ("Thanks.\n\nOn Mon, May 6, 2024 at 9:30 AM Bank <s@b.cn> wrote:\n> old", "Thanks."),
    (
      "Thanks.\n\nOn Mon, May 6, 2024 at 9:30 AM Bank Service Desk <service-desk-with-a-long-name@b.cn>\nwrote:\n\n> old",
      "Thanks."
    ),
    ("请问费用是多少？\n客户号：62007919", "请问费用是多少？\n客户号：62007919"),
  ])
  func `the words of the author are told from what is quoted`(_ whole: String, _ own: String) {
    #expect(ReplyText.trim(whole) == own)
  }
  @Test func `text bounces of QQ and 163 settle their recipient and open nothing`() async throws {
    let mail = try await read(
      "From: PostMaster@qq.com\nTo: service@bank.example\nSubject: 系统退信\n\n抱歉，您的邮件被退回来了\n收件人  meiyou@example.cn\n退信原因：收件人邮件地址（meiyou@example.cn）不存在，邮件无法送达。\nhost mx said: 550 Mailbox not found"
    )
    #expect(mail.isBounce)
    #expect(mail.bouncedRecipients.map(\.address) == ["meiyou@example.cn"])
    #expect(mail.bouncedRecipients.first?.condemnsAddress == true)
    let full = try await read(
      "From: Postmaster@163.com\nTo: service@bank.example\nSubject: 系统退信\n\n收件人：a@example.cn\n退信原因：552 收件人邮箱已满")
    #expect(full.bouncedRecipients.first?.reason == "mailboxfull")
    #expect(full.bouncedRecipients.first?.condemnsAddress == false)
  }
  @Test func `an out of office is automatic, a suppressed mail is not, neither is answered`() async throws {
    let away = try await read("From: a@b.com\nSubject: 自动回复: 您的请求\nAuto-Submitted: auto-replied\n\n休假")
    #expect(away.isAutomaticAnswer && !away.isBounce)
    let suppressed = try await read("From: a@b.com\nSubject: hi\nX-Auto-Response-Suppress: All\n\nx")
    #expect(!suppressed.isAutomaticAnswer)
    #expect(suppressed.noAnswerReason == "suppressed")
    #expect(try await read("From: a@b.com\nSubject: Re: 系统退信是什么意思\n\n请问").isBounce == false)
    #expect(try await read("From: a@b.com\nSubject: hi\n\nx").noAnswerReason == nil)
  }
  @Test func `deep nesting and endless encoded words end`() async throws {
    var nested = "From: a@b.com\n"
    for level in 0..<300 { nested += "Content-Type: multipart/mixed; boundary=b\(level)\n\n--b\(level)\n" }
    _ = try await read(nested + "\nx")
    _ = try await read("From: a@b.com\nSubject: " + String(repeating: "=?a?Q?", count: 20_000) + "\n\nx")
    _ = try await read("From: " + String(repeating: "<", count: 50_000) + "\n\nx")
    _ = try await read("From: a@b.com\nContent-Type: text/html\n\n" + String(repeating: "<div><", count: 50_000))
  }
  @Test func `what is no mail is said to be unreadable`() async throws {
    #expect(try await read("").unreadableReason != nil)
    #expect(try await read("no header at all\n").unreadableReason != nil)
    #expect(try await read("Subject: x\n\n").unreadableReason == nil)
  }
}
