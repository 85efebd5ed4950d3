/// One FastAGI dialogue: the request is read, variables are set one by one, then the dial plan goes on.
///
/// A state machine without clock or I/O. Asterisk sends lines `agi_name: value` up to an empty one, then answers each
/// command with `200 result=…` before it takes the next: it polls the socket and not its buffer, so commands sent ahead
/// could lie there unread. Lines end with LF; a CR before it is tolerated. Whatever is not of this form ends the
/// dialogue: the dial plan then goes on with its own defaults.
/// Source: Asterisk res/res_agi.c, `setup_env`, `run_agi`, `agi_handle_command`, `parse_args`.
public struct AGISession: Sendable {
  public struct Limits: Sendable, Hashable {
    public var lineBytes = 4_096
    /// All of the request together.
    public var requestBytes = 32_768
    public var requestLines = 256
    public init() {}
  }

  public enum Step: Sendable, Hashable {
    /// The request is whole: ask for the answer, and give it to `answer`.
    case ask(AGIRequest)
    case send([UInt8])
    /// Everything has been said.
    case finish
    /// The peer does not speak the protocol, or the caller is gone.
    case fail(String)
  }

  private enum State { case reading, asking, setting(remaining: ArraySlice<AGIVariable>), ended }

  private let limits: Limits
  private var state = State.reading
  private var line: [UInt8] = []
  private var values: [String: String] = [:]
  private var bytes = 0
  private var lines = 0
  /// Within `520-…` until its last line.
  private var isInUsage = false

  public init(limits: Limits = Limits()) { self.limits = limits }

  /// Takes what arrived.
  public mutating func feed(_ input: some Sequence<UInt8>) -> [Step] {
    var steps: [Step] = []
    for byte in input {
      if case .ended = state { return steps }
      guard byte == 0x0a else {
        line.append(byte)
        if line.count > limits.lineBytes { steps.append(fail("a line is longer than \(limits.lineBytes) bytes")) }
        continue
      }
      if line.last == 0x0d { line.removeLast() }
      let text = String(decoding: line, as: UTF8.self)
      bytes += line.count + 1
      lines += 1
      line.removeAll(keepingCapacity: true)
      if let step = take(text) { steps.append(step) }
    }
    return steps
  }

  /// The variables to set; to be called once, after `.ask`.
  public mutating func answer(_ variables: [AGIVariable]) -> [Step] {
    guard case .asking = state else { return [] }
    return [next(variables.filter { isName($0.name) }[...])]
  }

  private mutating func take(_ text: String) -> Step? {
    switch state {
    case .reading:
      if text.isEmpty {
        guard values["request"] != nil || values["network"] != nil else { return fail("no AGI request") }
        state = .asking
        return .ask(AGIRequest(values: values))
      }
      guard bytes <= limits.requestBytes, lines <= limits.requestLines else { return fail("the request is too large") }
      guard text.hasPrefix("agi_"), let colon = text.firstIndex(of: ":") else { return fail("no AGI header") }
      let name = String(text[text.index(text.startIndex, offsetBy: 4)..<colon])
      var value = text[text.index(after: colon)...]
      if value.first == " " { value = value.dropFirst() }
      if values[name] == nil { values[name] = String(value) }
      return nil
    case .asking:
      // Nothing is due but the news that the caller is gone.
      return fail(text == "HANGUP" ? "the caller hung up" : "an answer to nothing")
    case .setting(let remaining):
      if text == "HANGUP" { return fail("the caller hung up") }
      if text.hasPrefix("520-") {
        isInUsage = true
        return nil
      }
      if isInUsage {
        guard text.hasPrefix("520 ") else { return lines > 10_000 ? fail("no end of a usage text") : nil }
        isInUsage = false
        return fail("the command was not understood")
      }
      guard text.hasPrefix("200 ") else { return fail("the command was refused: \(text.prefix(80))") }
      return next(remaining)
    case .ended: return nil
    }
  }

  private mutating func next(_ variables: ArraySlice<AGIVariable>) -> Step {
    guard let variable = variables.first else {
      state = .ended
      return .finish
    }
    state = .setting(remaining: variables.dropFirst())
    return .send(Array("SET VARIABLE \(variable.name) \"\(quoted(variable.value))\"\n".utf8))
  }

  private mutating func fail(_ why: String) -> Step {
    state = .ended
    return .fail(why)
  }

  /// A command line of Asterisk holds 2,048 bytes; quotes and backslashes are escaped, line ends become blanks.
  private func quoted(_ value: String) -> String {
    var out = ""
    for scalar in value.unicodeScalars {
      if out.utf8.count >= 1_024 { break }
      switch scalar {
      case "\"", "\\": out += "\\\(scalar)"
      case _ where scalar.value < 0x20 || scalar.value == 0x7f: out += " "
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out
  }

  private func isName(_ name: String) -> Bool {
    (1...80).contains(name.utf8.count)
      && name.utf8.allSatisfy { (0x41...0x5a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5f }
  }
}
