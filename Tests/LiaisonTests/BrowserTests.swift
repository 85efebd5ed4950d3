import AsyncHTTPClient
import Foundation
import LiaisonForTests
import NIOCore
import NIOHTTP1
import Testing

private let driver = "/usr/bin/chromedriver"
private let browser = "/usr/bin/chromium"
private let areHere = [driver, browser, Liaison.program].allSatisfy(FileManager.default.isExecutableFile(atPath:))

/// A page in headless Chromium, led through WebDriver. Source: W3C WebDriver, "Endpoints".
private struct Page {
  let base: String
  let session: String

  struct Failure: Error, CustomStringConvertible {
    var description: String
  }

  static func open(driverPort: String) async throws -> Page {
    let base = "http://127.0.0.1:\(driverPort)/session"
    let options: [String: Any] = [
      "binary": browser,
      "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--lang=zh-CN"],
    ]
    let value = try await send(
      base, ["capabilities": ["alwaysMatch": ["browserName": "chrome", "goog:chromeOptions": options]]])
    guard let session = (value as? [String: Any])?["sessionId"] as? String else {
      throw Failure(description: "no session: \(value)")
    }
    return Page(base: base, session: session)
  }

  @discardableResult
  static func send(_ url: String, _ body: [String: Any]?, method: HTTPMethod? = nil) async throws -> Any {
    var request = HTTPClientRequest(url: url)
    request.method = method ?? (body == nil ? .GET : .POST)
    if let body {
      request.headers.add(name: "Content-Type", value: "application/json")
      request.body = .bytes(ByteBuffer(bytes: try JSONSerialization.data(withJSONObject: body)))
    }
    let answer = try await HTTPClient.shared.execute(request, timeout: .seconds(60))
    let bytes = Data(try await answer.body.collect(upTo: 1 << 22).readableBytesView)
    let value = (try JSONSerialization.jsonObject(with: bytes) as? [String: Any])?["value"] ?? NSNull()
    guard answer.status == .ok else { throw Failure(description: "\(url): \(value)") }
    return value
  }

  func go(to url: String) async throws { try await Page.send("\(base)/\(session)/url", ["url": url]) }

  private func element(_ selector: String) async throws -> String {
    let value = try await Page.send(
      "\(base)/\(session)/element", ["using": "css selector", "value": selector])
    guard let id = (value as? [String: String])?.values.first else { throw Failure(description: "no \(selector)") }
    return id
  }

  func type(_ text: String, into selector: String) async throws {
    try await Page.send("\(base)/\(session)/element/\(element(selector))/value", ["text": text])
  }
  func click(_ selector: String) async throws {
    try await Page.send("\(base)/\(session)/element/\(element(selector))/click", [:])
  }
  var text: String {
    get async throws {
      try await Page.send("\(base)/\(session)/element/\(element("body"))/text", nil) as? String ?? ""
    }
  }
  func close() async throws { try await Page.send("\(base)/\(session)", nil, method: .DELETE) }
}

/// The driver takes a free port of IPv4 and then the same of IPv6, which another may just have: then it ends, and is
/// started again.
private func startDriver() async throws -> (ChildProcess, String) {
  var attempts = 0
  while true {
    let webdriver = try ChildProcess([driver, "--port=0"])
    do {
      return (webdriver, try await webdriver.line(containing: "started successfully on port", within: .seconds(30)))
    } catch  where attempts < 5 {
      attempts += 1
      webdriver.send(SIGKILL)
    }
  }
}

@Suite struct BrowserTests {
  @Test(.enabled(if: areHere, "apt-get install chromium chromium-driver"), .timeLimit(.minutes(2)))
  func `a customer fills in the form in a browser and reads the reference number`() async throws {
    var bank = try TestBank()
    bank.formKeys.append("minimum_fill_time: 1ms")
    let daemon = try bank.start()
    let base = try await daemon.ready().public
    let (webdriver, line) = try await startDriver()
    let port = line.split(whereSeparator: { !$0.isNumber }).last.map(String.init) ?? ""
    let page = try await Page.open(driverPort: port)
    try await page.go(to: base + "/forms/zh/consultation")
    try await page.type("王伟", into: "[name=name]")
    try await page.type("13800138000", into: "[name=phone]")
    try await page.type("存款", into: "select[name=topic]")
    try await page.type("请问三年期定期存款的利率是多少？", into: "[name=question]")
    try await page.click("[type=radio][value=phone]")
    try await page.click("[type=checkbox][name*=personal_data]")
    try await page.click("button[type=submit], input[type=submit]")
    let text = try await page.text
    let found = text.split(whereSeparator: { !($0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-")) })
      .first { $0.filter { $0 != "-" }.count == 11 }
    #expect(found != nil, "\(text)")
    try await page.close()
    webdriver.send(SIGTERM)
    #expect(try await daemon.stop() == .code(0))
    bank.remove()
  }
}
