import Foundation
import Telephony
import Testing

/// Recorded sessions: those beside these tests, and the whole ones in ../shared where that is there.
enum Fixtures {
  static let own = Bundle.module.resourceURL!.appendingPathComponent("Fixtures")
  static let shared = URL(fileURLWithPath: "../shared/recordings/telephony")
  static let hasShared = FileManager.default.fileExists(atPath: shared.path)

  static func names(_ folder: URL, _ ending: String) -> [String] {
    // A folder that is not there has no files.
    let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    return files.filter { $0.hasSuffix(ending) }.map { String($0.dropLast(ending.count)) }.sorted()
  }

  static let recorded = names(own.appendingPathComponent("recorded"), ".expected.json")
  static let laboratory = names(own.appendingPathComponent("laboratory"), ".calls.ndjson")
  static let whole = hasShared ? names(shared, ".expected.json") : []

  static func bytes(_ path: String) throws -> [UInt8] {
    Array(try Data(contentsOf: own.appendingPathComponent(path)))
  }

  static func inspect(_ files: [[UInt8]], timing: String? = nil, piece: Int? = nil) -> [[String: Any]] {
    var inspection = TelephonyInspection()
    for file in files { inspection.add(file, timing: timing, piece: piece) }
    return objects(inspection.lines())
  }

  static func objects(_ lines: [String]) -> [[String: Any]] {
    lines.compactMap { line in
      // What is no object is missing, and the test that looks for it says so.
      (try? JSONSerialization.jsonObject(with: Data(line.utf8))) as? [String: Any]
    }
  }

  /// One laboratory session's calls.
  static func laboratory(_ name: String) throws -> [[String: Any]] { inspect([try bytes("laboratory/\(name).ami")]) }

  /// The differences between what is asserted of a recording and what came out; empty if there are none.
  static func differences(_ expected: URL, _ calls: [[String: Any]], exactTimes: Bool) throws -> [String] {
    let asserted = try JSONSerialization.jsonObject(with: Data(contentsOf: expected)) as? [String: Any]
    let wanted = asserted?["calls"] as? [[String: Any]] ?? []
    var out: [String] = []
    if wanted.count != calls.count { out.append("\(calls.count) calls instead of \(wanted.count)") }
    for want in wanted {
      let name = want["call_id"] as? String ?? want["job"] as? String ?? "?"
      guard
        let call = calls.first(where: { call in
          want["call_id"] != nil ? call["call_id"] as? String == name : call["job"] as? String == name
        })
      else {
        out.append("no call \(name)")
        continue
      }
      for (key, value) in want where key != "note" {
        if key == "times_ms" {
          let times = value as? [String: Int] ?? [:]
          let got = call[key] as? [String: Int] ?? [:]
          let base = exactTimes ? 0 : (got["ended"] ?? 0) - (times["ended"] ?? 0)
          for (word, time) in times where abs((got[word] ?? .min / 2) - time - base) > 30 {
            out.append("\(name) \(word): \(got[word].map(String.init) ?? "none") instead of \(time)")
          }
        } else if !NSDictionary(dictionary: [key: value]).isEqual(to: [key: call[key] ?? NSNull()]) {
          out.append("\(name) \(key): \(call[key] ?? "none") instead of \(value)")
        }
      }
    }
    return out
  }
}

extension [String: Any] {
  subscript(text key: String) -> String? { self[key] as? String }
  subscript(list key: String) -> [String] { self[key] as? [String] ?? [] }
  subscript(objects key: String) -> [[String: Any]] { self[key] as? [[String: Any]] ?? [] }
  /// Offers as `device outcome`.
  var offers: [String] {
    (self["offers"] as? [[Any]] ?? []).map { $0.map { $0 as? String ?? "open" }.joined(separator: " ") }
  }
}

/// A session written by hand: each event as its name and headers.
func session(_ events: [(String, [(String, String)])]) -> [UInt8] {
  var text = "Asterisk Call Manager/11.0.0\r\n"
  for (index, (name, headers)) in events.enumerated() {
    text += "Event: \(name)\r\nPrivilege: call,all\r\nTimestamp: \(1_795_382_265 + index).000000\r\n"
    for (key, value) in headers { text += "\(key): \(value)\r\n" }
    text += "\r\n"
  }
  return Array(text.utf8)
}

/// The headers by which an event shows a channel.
func channel(
  _ name: String, _ id: String, in call: String, state: Int = 6, number: String = "<unknown>",
  callerName: String = "<unknown>", context: String = "from-agents", exten: String = "s", prefix: String = ""
) -> [(String, String)] {
  [
    ("\(prefix)Channel", name), ("\(prefix)ChannelState", "\(state)"), ("\(prefix)CallerIDNum", number),
    ("\(prefix)CallerIDName", callerName), ("\(prefix)Context", context), ("\(prefix)Exten", exten),
    ("\(prefix)Uniqueid", id), ("\(prefix)Linkedid", call),
  ]
}

/// A customer's call that has reached the dial plan.
func incoming(_ id: String, number: String = "+41791112233", name: String = "Meier Anna", serial: String = "00000001")
  -> (String, [(String, String)])
{
  (
    "Newchannel",
    channel(
      "PJSIP/trunk-\(serial)", id, in: id, state: 4, number: number, callerName: name, context: "from-trunk",
      exten: "+41445550100")
  )
}
