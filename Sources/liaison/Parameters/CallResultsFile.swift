import ContactModel
import Store

extension ParameterFile {
  /// `kind: call_results`: one file, one parameter; see config/params/call-results.yaml.
  static func callResults(_ yaml: String, file: String) throws -> ParameterDraft {
    let root = ConfigurationReader(yaml: yaml, file: file, environment: [:])
    _ = root.string("kind", allowed: kinds)
    let meanings = CallResult.Meaning.allCases.map(\.rawValue)
    let results = root.list("results") { reader -> CallResult? in
      let means = CallResult.Meaning(rawValue: reader.string("means", allowed: meanings))
      let (zh, en) = (reader.string("name_zh"), reader.string("name_en"))
      guard let code = parsedCode(reader), let means else { return nil }
      return CallResult(code: code, nameZh: zh, nameEn: en, means: means)
    }
    for (code, same) in Dictionary(grouping: results, by: \.code) where same.count > 1 {
      root.problem(at: "results", "\(code) stands there twice")
    }
    if !results.contains(where: { $0.means == .reached }) {
      root.problem(at: "results", "one must mean reached")
    }
    try root.finish()
    return ParameterDraft(kind: "call_results", code: "default", body: try JSONText.encode(results))
  }
}
