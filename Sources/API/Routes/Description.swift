/// The description of the API: OpenAPI 3.1, written from the routes themselves.
///
/// Source: OpenAPI 3.1.1; schemas are JSON Schema 2020-12.
public struct Description: Sendable {
  public var title: String
  public var version: String
  public var routes: [Route]
  /// Outgoing events by type, shown under `webhooks`.
  public var events: [(type: String, summary: String, data: Schema)]

  public init(
    title: String = "Liaison", version: String, routes: [Route],
    events: [(type: String, summary: String, data: Schema)] = []
  ) {
    self.title = title
    self.version = version
    self.routes = routes
    self.events = events
  }

  /// The route that serves it, itself included.
  public static func serving(version: String, routes: [Route]) -> Route {
    func route(_ bytes: [UInt8]) -> Route {
      Route(
        "getDescription", .get, "/openapi.json", summary: "This description", tag: "operations", access: .open,
        answers: [.json(.output(.required("openapi", .string())), "OpenAPI 3.1")]
      ) { _ in .bytes(bytes, mediaType: "application/json") }
    }
    return route(Description(version: version, routes: routes + [route([])]).json.encoded)
  }

  public var json: JSONValue {
    var schemas = JSONObject()
    for schema in allSchemas { collect(schema, into: &schemas) }
    var paths = JSONObject()
    for route in routes.sorted(by: { ($0.path, $0.method.rawValue) < ($1.path, $1.method.rawValue) }) {
      var item = paths[route.path]?.object ?? JSONObject()
      item[route.method.rawValue] = operation(route)
      paths[route.path] = .object(item)
    }
    var document: JSONObject = JSONObject([
      .init(name: "openapi", value: "3.1.1"),
      .init(name: "info", value: ["title": .string(title), "version": .string(version)]),
      .init(name: "paths", value: .object(paths)),
    ])
    if !events.isEmpty {
      document["webhooks"] = .object(
        JSONObject(
          events.map { event in
            let body: JSONValue = [
              "required": true, "content": ["application/cloudevents+json": ["schema": event.data.json]],
            ]
            return .init(
              name: event.type,
              value: [
                "post": [
                  "summary": .string(event.summary), "requestBody": body,
                  "responses": ["2XX": ["description": "Taken; anything else is tried again"]],
                ]
              ])
          }))
    }
    document["components"] = [
      "schemas": .object(schemas),
      "securitySchemes": ["bearer": ["type": "http", "scheme": "bearer", "description": "lsn_ token or JWT"]],
    ]
    return .object(document)
  }

  private var allSchemas: [Schema] {
    [Problem.schema] + events.map(\.data)
      + routes.flatMap { route in
        route.parameters.map(\.schema) + [route.body?.schema].compactMap { $0 }
          + route.answers.compactMap { answer in
            if case .json(let schema) = answer.content { schema } else { nil }
          }
      }
  }

  private func collect(_ schema: Schema, into schemas: inout JSONObject) {
    switch schema {
    case .any, .boolean, .integer, .number, .string, .word: break
    case .array(let element, _), .map(let element), .nullable(let element): collect(element, into: &schemas)
    case .object(let shape): for member in shape.members { collect(member.schema, into: &schemas) }
    case .named(let name, let inner):
      guard schemas[name] == nil else { return }
      schemas[name] = inner.json
      collect(inner, into: &schemas)
    }
  }

  private func operation(_ route: Route) -> JSONValue {
    var operation = JSONObject([
      .init(name: "operationId", value: .string(route.operationID)),
      .init(name: "summary", value: .string(route.summary)),
      .init(name: "tags", value: [.string(route.tag)]),
    ])
    if route.deprecatedSince != nil { operation["deprecated"] = true }
    if case .roles(let roles) = route.access {
      operation["security"] = [["bearer": []]]
      operation["x-roles"] = .array(roles.map(\.rawValue).sorted().map(JSONValue.string))
    } else {
      operation["security"] = []
    }
    let parameters = route.parameters.map(parameter) + conventionParameters(of: route)
    if !parameters.isEmpty { operation["parameters"] = .array(parameters) }
    if let body = route.body {
      operation["requestBody"] = ["required": true, "content": ["application/json": ["schema": body.schema.json]]]
    }
    if let upload = route.upload {
      let content = upload.mediaTypes.map {
        JSONObject.Member(name: $0, value: ["schema": ["type": "string", "format": "binary"]])
      }
      operation["requestBody"] = ["required": true, "content": .object(JSONObject(content))]
    }
    operation["responses"] = responses(of: route)
    return .object(operation)
  }

  private func conventionParameters(of route: Route) -> [JSONValue] {
    var parameters: [JSONValue] = []
    if route.method == .post {
      parameters.append([
        "name": "Idempotency-Key", "in": "header", "required": .bool(route.needsIdempotencyKey),
        "description": "The same key again gives the first answer again",
        "schema": ["type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"],
      ])
    }
    if route.needsCondition {
      parameters.append([
        "name": "If-Match", "in": "header", "required": true, "description": "The ETag that was read",
        "schema": ["type": "string"],
      ])
    }
    return parameters
  }

  private func parameter(_ parameter: Route.Parameter) -> JSONValue {
    var object = JSONObject([
      .init(name: "name", value: .string(parameter.name)),
      .init(name: "in", value: .string(parameter.place.rawValue)),
      .init(name: "required", value: .bool(parameter.required)),
      .init(name: "schema", value: parameter.schema.json),
    ])
    object["description"] = parameter.description.map(JSONValue.string)
    if case .array = parameter.schema {
      object["style"] = "form"
      object["explode"] = false
    }
    return .object(object)
  }

  private func responses(of route: Route) -> JSONValue {
    var responses = JSONObject()
    for answer in route.answers {
      var response = JSONObject([.init(name: "description", value: .string(answer.description))])
      switch answer.content {
      case .empty: break
      case .json(let schema): response["content"] = ["application/json": ["schema": schema.json]]
      case .other(let mediaType):
        let content = JSONObject([.init(name: mediaType, value: ["schema": ["type": "string"]])])
        response["content"] = .object(content)
      }
      responses[String(answer.status)] = .object(response)
    }
    for status in route.problemStatuses {
      let content: JSONValue = ["application/problem+json": ["schema": Problem.schema.json]]
      let text = ProblemType.allCases.filter { $0.status == status }.map(\.rawValue).joined(separator: ", ")
      if var known = responses[String(status)]?.object {
        // A status that is an answer too (503 of readiness) can also be a problem.
        var both = known["content"]?.object ?? JSONObject()
        both["application/problem+json"] = content["application/problem+json"]
        known["content"] = .object(both)
        responses[String(status)] = .object(known)
      } else {
        responses[String(status)] = ["description": .string(text), "content": content]
      }
    }
    return .object(responses)
  }
}

extension Schema {
  /// As JSON Schema 2020-12.
  var json: JSONValue {
    switch self {
    case .any: return [:]
    case .boolean: return ["type": "boolean"]
    case .number: return ["type": "number"]
    case .integer(let minimum, let maximum):
      var object = JSONObject([.init(name: "type", value: "integer"), .init(name: "format", value: "int64")])
      object["minimum"] = minimum.map(JSONValue.integer)
      object["maximum"] = maximum.map(JSONValue.integer)
      return .object(object)
    case .string(let minimum, let maximum, let format):
      var object = JSONObject([.init(name: "type", value: "string")])
      if minimum > 0 { object["minLength"] = .integer(Int64(minimum)) }
      object["maxLength"] = maximum.map { .integer(Int64($0)) }
      object["format"] = format?.name.map(JSONValue.string)
      object["pattern"] = format?.pattern.map(JSONValue.string)
      return .object(object)
    case .word(let words): return ["type": "string", "enum": .array(words.map(JSONValue.string))]
    case .array(let element, let maximum):
      var object = JSONObject([.init(name: "type", value: "array"), .init(name: "items", value: element.json)])
      object["maxItems"] = maximum.map { .integer(Int64($0)) }
      return .object(object)
    case .map(let element): return ["type": "object", "additionalProperties": element.json]
    case .nullable(let schema): return ["anyOf": [schema.json, ["type": "null"]]]
    case .named(let name, _): return ["$ref": .string("#/components/schemas/\(name)")]
    case .object(let shape): return shape.json
    }
  }
}

extension Schema.Object {
  fileprivate var json: JSONValue {
    var properties = JSONObject()
    for member in members {
      var schema = member.schema.json.object ?? JSONObject()
      schema["description"] = member.description.map(JSONValue.string)
      properties[member.name] = .object(schema)
    }
    var object = JSONObject([
      .init(name: "type", value: "object"), .init(name: "properties", value: .object(properties)),
    ])
    let required = members.filter(\.required).map { JSONValue.string($0.name) }
    if !required.isEmpty { object["required"] = .array(required) }
    if closed { object["additionalProperties"] = false }
    return .object(object)
  }
}
