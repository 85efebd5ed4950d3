/// A queue whose both ends are cheap: an array and the index of its first element.
struct FIFO<Element> {
  private var elements: [Element?] = []
  private var head = 0

  init() {}

  var count: Int { elements.count - head }
  var isEmpty: Bool { count == 0 }
  var first: Element? { isEmpty ? nil : elements[head] }

  mutating func append(_ element: Element) { elements.append(element) }

  /// All of it, leaving nothing.
  mutating func drained() -> [Element] {
    let out = elements[head...].compactMap { $0 }
    elements = []
    head = 0
    return out
  }

  @discardableResult
  mutating func popFirst() -> Element? {
    guard !isEmpty else { return nil }
    let element = elements[head]
    elements[head] = nil
    head += 1
    if head >= 512, head * 2 >= elements.count {
      elements.removeFirst(head)
      head = 0
    }
    return element
  }
}

extension FIFO: Sendable where Element: Sendable {}
