import Foundation
import Testing

@testable import Fax

/// The hook program as faxgetty runs it, with a `curl` that keeps what it is given and answers what it is told.
@Suite struct HookTests {
  private let program = Fixture.folder.deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("hook/faxrcvd-liaison").path

  private func withSpool(answers status: String, _ body: (String, ([String]) throws -> Int32) throws -> Void) throws {
    let folder = try ScratchFolder()
    let spool = folder.path + "/spool"
    try FileManager.default.createDirectory(atPath: spool + "/etc", withIntermediateDirectories: true)
    try FileManager.default.createDirectory(atPath: spool + "/log", withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: spool) }  // under the scratch folder, which goes too
    try "LIAISON_URL=http://localhost/hooks/fax\nLIAISON_SERVER='主机 1'\n".write(
      toFile: spool + "/etc/liaison.conf", atomically: true, encoding: .utf8)
    let curl = """
      #!/bin/sh
      for word in "$@"; do case "$word" in @*) cat "${word#@}" >> "\(spool)/posted"; echo >> "\(spool)/posted";; esac; done
      cat "\(spool)/answer"
      """
    try curl.write(toFile: spool + "/curl", atomically: true, encoding: .utf8)
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: spool + "/curl")
    try status.write(toFile: spool + "/answer", atomically: true, encoding: .utf8)
    try body(spool) { arguments in
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/bin/sh")
      process.arguments = [program] + arguments
      process.currentDirectoryURL = URL(fileURLWithPath: spool)
      process.environment = ["PATH": "\(spool):/usr/bin:/bin"]
      try process.run()
      process.waitUntilExit()
      return process.terminationStatus
    }
  }

  private func posted(_ spool: String) throws -> [ReceiveNotice] {
    let text = try String(contentsOfFile: spool + "/posted", encoding: .utf8)
    return try text.split(separator: "\n").map { try ReceiveNotice(form: Array($0.utf8)) }
  }

  private let arguments = [
    "recvq/fax000000002.tif", "ttyIAXcust", "000000002", "T.30 T2 timeout, 100% \"bad\" & worse", "01055550100",
    "Huimin Bank 惠民", "<NONE>", "55550199",
  ]

  @Test func `what faxgetty says arrives unchanged`() throws {
    try withSpool(answers: "200") { (spool, hook) throws in
      #expect(try hook(arguments) == 0)
      #expect(
        try posted(spool) == [
          ReceiveNotice(
            server: "主机 1", file: "fax000000002.tif", device: "ttyIAXcust", communication: "000000002",
            error: arguments[3], callIDs: Array(arguments[4...]))
        ])
      #expect(try FileManager.default.contentsOfDirectory(atPath: spool + "/log/liaison") == [])
    }
  }

  @Test func `a notice that cannot be delivered is kept and sent again by the next call`() throws {
    try withSpool(answers: "503") { (spool, hook) throws in
      #expect(try hook(arguments) == 0)
      #expect(try FileManager.default.contentsOfDirectory(atPath: spool + "/log/liaison").count == 1)
      try "200".write(toFile: spool + "/answer", atomically: true, encoding: .utf8)
      #expect(try hook(["recvq/fax000000003.tif", "ttyIAXcust", "000000003", ""]) == 0)
      #expect(try posted(spool).map(\.file) == ["fax000000002.tif", "fax000000003.tif", "fax000000002.tif"])
      #expect(try FileManager.default.contentsOfDirectory(atPath: spool + "/log/liaison") == [])
    }
  }
}
