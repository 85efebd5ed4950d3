/// The fixed words of the pages, in both languages.
struct Wording: Sendable {
  let language: FormLanguage
  private func say(_ zh: String, _ en: String) -> String { language == .zh ? zh : en }

  // MARK: The form
  var required: String { say("必填", "required") }
  var optional: String { say("选填", "optional") }
  var choose: String { say("请选择", "Please choose") }
  var send: String { say("提交", "Send") }
  var replyLegend: String { say("您希望我们如何回复？", "How shall we answer you?") }
  var consentLegend: String { say("同意事项", "Your consent") }
  var honeypot: String { say("请勿填写此栏", "Leave this field empty") }
  var otherLanguage: String { say("English", "简体中文") }
  var skip: String { say("跳到正文", "Skip to the content") }
  var formsTitle: String { say("在线服务", "Online service") }
  var formsIntroduction: String { say("请选择您需要办理的业务。", "What can we do for you?") }
  var statusLink: String { say("查询办理进度", "How does my request stand?") }
  var allForms: String { say("全部在线服务", "All online services") }
  func fileHelp(_ field: FormDefinition.Field) -> String {
    let size = bytes(field.maximumFileBytes)
    return say("最多 \(field.maximumFiles) 个文件，每个不超过 \(size)。", "Up to \(field.maximumFiles) files, \(size) each.")
  }
  func replyChannel(_ channel: FormDefinition.Reply.Channel) -> String {
    switch channel {
    case .phone: say("电话", "By telephone")
    case .sms: say("短信", "By text message")
    case .email: say("电子邮件", "By e-mail")
    case .noReply: say("无需回复", "No answer needed")
    }
  }
  func bytes(_ count: Int) -> String {
    count >= 1_000_000 ? "\(count / 1_000_000) MB" : "\(max(1, count / 1_000)) kB"
  }

  // MARK: After it
  var receivedTitle: String { say("我们已收到您的提交", "We have received your request") }
  var referenceLabel: String { say("您的受理编号", "Your reference number") }
  var referenceHelp: String {
    say("请保存此编号，以便查询办理进度。", "Please keep this number: with it you can ask how your request stands.")
  }

  // MARK: Status
  var statusTitle: String { say("查询办理进度", "How does my request stand?") }
  var statusReference: String { say("受理编号", "Reference number") }
  var statusContact: String { say("提交时填写的电话或电子邮件", "The telephone number or e-mail address you gave") }
  var statusAsk: String { say("查询", "Show") }
  var statusAnswer: String { say("办理进度", "State of your request") }
  var statusNothing: String {
    say(
      "没有找到与这两项都相符的记录。请核对后再试。",
      "We found nothing that fits both. Please check what you typed and try again.")
  }
  var statusBadReference: String {
    say("编号有误，请核对（例如 7K3M-Q9XW-2PD）。", "This number contains a slip; it looks like 7K3M-Q9XW-2PD.")
  }
  var statusBadContact: String {
    say("请填写电话号码或电子邮件地址。", "Please give a telephone number or an e-mail address.")
  }

  // MARK: What went wrong
  var errorPrefix: String { say("错误：", "Error: ") }
  var summary: String { say("请更正以下内容", "Please correct the following") }
  var notYetSent: String { say("尚未提交", "Not sent yet") }
  var filesAgain: String { say("请重新选择文件。", "Please choose your files again.") }
  var tooQuick: String {
    say("提交过快，请核对后再次提交。", "That was very quick. Please check your entries and send again.")
  }
  var automated: String {
    say(
      "此次提交看起来由程序自动填写。如果不是，请再次提交。",
      "This looks filled in by a machine. If it was not, please send again.")
  }
  var expired: String {
    say("页面打开时间过长，请核对后再次提交。", "The page had been open for too long. Please check your entries and send again.")
  }
  var changed: String {
    say("表单已更新，请核对后再次提交。", "The form has changed meanwhile. Please check your entries and send again.")
  }
  func busy(_ seconds: Int64) -> String {
    say(
      "系统繁忙，您的内容尚未提交。请在 \(seconds) 秒后再次点击提交。",
      "We are busy and have not received it yet. Please send again in \(seconds) seconds.")
  }

  func problem(_ kind: FieldProblem.Kind) -> String {
    switch kind {
    case .missing: say("此项必填", "Please fill this in")
    case .repeated: say("只能填写一次", "Only one value is possible")
    case .controlCharacter: say("含有无法识别的字符", "Contains a character that cannot be read")
    case .lineBreak: say("不能换行", "Must be a single line")
    case .unknownField: say("没有此栏目", "The form has no such field")
    case .tooShort(let least): say("至少 \(least) 个字符", "At least \(least) characters")
    case .tooLong(let most): say("最多 \(most) 个字符", "At most \(most) characters")
    case .pattern(let message): message?[language] ?? say("格式不正确", "Does not have the right form")
    case .notEmail: say("请填写有效的电子邮件地址，例如 name@example.com", "Not an e-mail address like name@example.com")
    case .notPhone: say("请填写有效的电话号码", "Not a telephone number")
    case .notOption: say("请从列表中选择", "Please choose from the list")
    case .notDate: say("请填写有效日期，例如 2026-03-31", "Not a date like 2026-03-31")
    case .notNumber: say("请填写数字", "Not a number")
    case .notIdentityTail: say("请填写证件号码的最后 4 至 6 位", "The last 4 to 6 characters of your identity number")
    case .notAccountTail: say("请填写账号的最后 4 至 6 位数字", "The last 4 to 6 digits of your account number")
    case .notCustomerNo: say("客户编码只含字母和数字", "A customer number has only letters and digits")
    case .tooEarly(let limit): say("不能早于 \(limit)", "Not before \(limit)")
    case .tooLate(let limit): say("不能晚于 \(limit)", "Not after \(limit)")
    case .tooSmall(let limit): say("不能小于 \(limit)", "At least \(limit)")
    case .tooGreat(let limit): say("不能大于 \(limit)", "At most \(limit)")
    case .tooManyFiles(let most): say("最多 \(most) 个文件", "At most \(most) files")
    case .fileTooLarge(let most): say("文件不能超过 \(bytes(most))", "A file may have at most \(bytes(most))")
    case .fileEmpty: say("文件是空的", "The file is empty")
    case .fileType(let type): say("不接受此类文件（\(type)）", "Files of this kind are not taken (\(type))")
    case .notAFile: say("请选择文件", "Please choose a file")
    case .consentMissing: say("需要您的同意才能提交", "We need your consent to take this")
    case .replyAddressMissing: say("以此方式回复需要填写此项", "We need this to answer in the way you chose")
    }
  }

  func trouble(_ code: FormTrouble.Code) -> (title: String, text: String) {
    switch code {
    case .notFound: (say("没有此页面", "No such page"), say("请核对网址。", "Please check the address."))
    case .methodNotAllowed:
      (say("不支持此操作", "Not possible here"), say("此网址不支持该请求方法。", "This address does not take that method."))
    case .tooLarge:
      (
        say("内容过大", "Too large"),
        say("文字或文件超过允许的大小，未被接收。", "Your text or files are larger than we can take; nothing was received.")
      )
    case .unsupportedType:
      (
        say("不支持的内容类型", "Unsupported content type"),
        say(
          "请以 urlencoded、multipart/form-data 或 JSON（UTF-8）提交。",
          "Send urlencoded, multipart/form-data or JSON, in UTF-8.")
      )
    case .malformed:
      (
        say("无法读取", "Cannot be read"),
        say("提交的内容无法读取，未被接收。", "What was sent cannot be read; nothing was received.")
      )
    case .keyMissing:
      (
        say("缺少提交标识", "A key is missing"),
        say(
          "请提供 Idempotency-Key 请求头或表单令牌 token。",
          "Give an Idempotency-Key header or the form's token.")
      )
    case .originNotAllowed:
      (say("来源不被允许", "Origin not allowed"), say("请从本行网站提交。", "Please use the form on the bank's own site."))
    case .rateExceeded:
      (
        say("请求过于频繁", "Too many requests"),
        say("请稍后返回上一页再次提交，已填内容会保留。", "Please wait a little, then go back and send again; your entries are kept.")
      )
    case .busy:
      (
        say("系统繁忙", "Busy"),
        say("您的内容尚未接收，请稍后再试。", "We have not received it yet; please try again shortly.")
      )
    case .refused: (say("未被接收", "Not taken"), say("您的提交未被接收。", "We cannot take this."))
    case .invalid: (say("请更正内容", "Please correct your entries"), say("有内容不正确。", "Some entries are not right."))
    case .spam: (say("未被接收", "Not taken"), automated)
    case .tooQuick: (say("提交过快", "Too quick"), tooQuick)
    case .tokenInvalid: (say("令牌无效或已过期", "The token is not valid or has expired"), expired)
    }
  }
}

/// What an answer that is no success says, in a word for machines.
struct FormTrouble: Error, Sendable {
  enum Code: String, Sendable, CaseIterable {
    case notFound = "not-found"
    case methodNotAllowed = "method-not-allowed"
    case tooLarge = "too-large"
    case unsupportedType = "unsupported-type"
    case malformed
    case keyMissing = "key-missing"
    case originNotAllowed = "origin-not-allowed"
    case rateExceeded = "rate-exceeded"
    case busy, refused, invalid, spam
    case tooQuick = "too-quick"
    case tokenInvalid = "token-invalid"

    var status: Int {
      switch self {
      case .notFound: 404
      case .methodNotAllowed: 405
      case .tooLarge: 413
      case .unsupportedType: 415
      case .malformed, .keyMissing: 400
      case .originNotAllowed: 403
      case .rateExceeded: 429
      case .busy: 503
      case .refused, .invalid, .spam, .tooQuick, .tokenInvalid: 422
      }
    }
  }
  var code: Code
  /// The particulars, in English, for whoever wrote the client; nil if the code says it all.
  var detail: String?
  var retryAfter: Duration?
  var headers: [FormHeader] = []

  init(_ code: Code, _ detail: String? = nil, retryAfter: Duration? = nil, headers: [FormHeader] = []) {
    self.code = code
    self.detail = detail
    self.retryAfter = retryAfter
    self.headers = headers
  }
}
