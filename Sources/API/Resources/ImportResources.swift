import Channels
import ContactModel
import Customers
import Foundation
import Store

/// Files of the bank's systems, brought in through the API; the command line uses the same operation.
public struct ImportResources: Sendable {
  let importer: Importer
  public init(importer: Importer) { self.importer = importer }

  public var routes: [Route] { [run] }

  private var run: Route {
    let refusal = Schema.output(
      .required("row", .integer(minimum: 1), "Counted from 1 without the header"),
      .required("fault", .word(ImportFault.Code.allCases.map(\.rawValue))),
      .required("place", .nullable(.string()), "The column"))
    return Route(
      "runImport", .post, "/v1/imports/{kind}",
      summary: "Bring in a file, row by row; the same file again goes on where it stopped", tag: "imports",
      access: .roles(.integration),
      parameters: [.path("kind", .word(Importer.Kind.allCases.map(\.rawValue)))],
      body: .init(
        .input(
          .required("format", .word(["csv", "jsonl"]), "CSV with a header, or one JSON object a line"),
          .required("content", .string(maximum: 90_000_000), "The file in base 64; UTF-8 or GB18030"),
          .optional("mapping", .map(.string(minimum: 1, maximum: 64)), "Column of the file → field"),
          .optional("dry_run", .boolean, "Say what would become of it, and change nothing")), maximumBytes: 91_000_000),
      answers: [
        .json(
          .output(
            .required("dry_run", .boolean), .required("rows", .integer(), "added + changed + refused"),
            .required("added", .integer()), .required("changed", .integer()), .required("refused", .integer()),
            .required("resumed_after", .integer(), "Rows an earlier call had done"),
            .required("refusals", .array(refusal), "At most 10,000")), "What became of the rows")
      ]
    ) { call in
      guard let kind = call.text("kind").flatMap(Importer.Kind.init) else { throw Problem(.notFound) }
      guard let data = Data(base64Encoded: call.body["content"]?.string ?? "") else {
        throw Problem(.invalidInput, violations: [Violation(.body(pointer: "#/content"), .format, expected: "base64")])
      }
      var mapping: [String: String] = [:]
      for member in call.body["mapping"]?.object?.members ?? [] { mapping[member.name] = member.value.string }
      let actor = try Actor(call)
      let columns = mapping
      let report: ImportReport
      do {
        report = try await translatingErrors {
          try await importer.run(
            kind, Array(data), isJSONLines: call.body["format"]?.string == "jsonl", mapping: columns,
            isRehearsal: call.body["dry_run"]?.bool == true, by: actor)
        }
      } catch let fault as ImportFault {
        throw Problem(
          .invalidInput,
          violations: [
            Violation(
              .body(pointer: "#/content"), fault.code == .missingColumn ? .required : .format,
              expected: [fault.code.rawValue, fault.place].compactMap(\.self).joined(separator: " "))
          ])
      }
      return .json([
        "dry_run": .bool(report.isRehearsal), "rows": .count(report.progress.rowsRead),
        "added": .count(report.progress.added), "changed": .count(report.progress.changed),
        "refused": .count(report.progress.refused), "resumed_after": .count(report.resumedAfter),
        "refusals": .array(
          report.refusals.map {
            ["row": .count($0.row), "fault": .string($0.fault.code.rawValue), "place": .optional($0.fault.place)]
          }),
      ])
    }
  }
}
