import ContactModel

/// Writes a value as JSON through a mask, and notes the customers it names: one walk for what every answer needs.
///
/// Things in a list have the same members in the same order. What a member's name means is worked out at the first
/// and remembered by its place (`Shape`); for the others it is one comparison of two words.
struct MaskedWriter {
  private(set) var json: JSONWriter
  /// Every customer the value names, wherever in it.
  private(set) var customers: Set<CustomerNumber> = []
  private let mask: FieldMask
  private let root = Shape()

  init(_ mask: FieldMask, reserving capacity: Int = 1_024) {
    self.mask = mask
    json = JSONWriter(reserving: capacity)
  }

  var bytes: [UInt8] { json.bytes }

  mutating func write(_ value: JSONValue) { write(value, as: .text, root) }

  private mutating func write(_ value: JSONValue, as meaning: FieldMask.Meaning, _ shape: Shape) {
    switch value {
    case .null, .bool: json.write(value)
    case .integer, .number:
      // A number typed as a number is no better hidden than as text.
      if case .field(let kind) = meaning, mask.hidden.contains(kind) {
        json.write("***")
      } else {
        json.write(value)
      }
    case .string(let text): json.write(text: mask.shown(text, as: meaning))
    case .array(let elements):
      json.beginArray()
      for element in elements {
        json.beginElement()
        write(element, as: meaning, shape)
      }
      json.endArray()
    case .object(let object): write(object, as: meaning, shape)
    }
  }

  private mutating func write(_ object: JSONObject, as meaning: FieldMask.Meaning, _ shape: Shape) {
    let members = object.members
    for index in members.indices where index == shape.members.count || shape.members[index].name != members[index].name
    {
      shape.set(members[index].name, at: index)
    }
    let address = shape.kindIndex.flatMap { index in
      index < members.count ? FieldMask.addressMeaning(kind: members[index].value.string) : nil
    }
    json.beginObject()
    for index in members.indices {
      let known = shape.members[index]
      var inner = known.meaning
      if let address, known.isAddressPart { inner = address }
      // What lies under a member that is hidden is hidden, whatever it is called (`phones: [{"text": …}]`).
      if case .text = inner, case .field = meaning { inner = meaning }
      json.beginMember(known.quoted)
      let value = members[index].value
      if known.namesCustomer, case .string(let text) = value, let number = CustomerNumber(text) {
        customers.insert(number)
      }
      switch value {
      case .object, .array: write(value, as: inner, known.inner)
      case .null, .bool, .integer, .number, .string: write(value, as: inner, shape)
      }
    }
    json.endObject()
  }

  /// What is known of the members of the objects at one place of a value.
  private final class Shape {
    struct Member {
      var name: String
      /// As JSON, with the colon.
      var quoted: [UInt8]
      var meaning: FieldMask.Meaning
      var isAddressPart: Bool
      var namesCustomer: Bool
      var inner: Shape
    }
    private(set) var members: [Member] = []
    /// Where an address says of which kind it is.
    private(set) var kindIndex: Int?

    func set(_ name: String, at index: Int) {
      var quoted = JSONWriter(reserving: name.utf8.count + 3)
      quoted.write(.string(name))
      let member = Member(
        name: name, quoted: quoted.bytes + [UInt8(ascii: ":")], meaning: FieldMask.meaning(of: name),
        isAddressPart: FieldMask.isAddressPart(name),
        namesCustomer: name == "customer_no" || name == "customer_no_r" || name == "merged_into", inner: Shape())
      if index < members.count { members[index] = member } else { members.append(member) }
      // Perhaps of a longer object before: the one in hand is asked only for its own members.
      kindIndex = members.firstIndex { $0.name == "kind" }
    }
  }
}

extension JSONValue {
  /// Every customer a value names, wherever in it: nothing is shown that is not on record, whatever the shape.
  var customers: Set<CustomerNumber> {
    var writer = MaskedWriter(.none)
    writer.write(self)
    return writer.customers
  }
}
