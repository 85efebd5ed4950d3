/// Every kind of error the API answers: the one list, served at `/problems`.
///
/// The `type` URI is the identity a client may act on; it never changes its meaning. Title and detail are for people.
/// Source: RFC 9457.
public enum ProblemType: String, Hashable, Sendable, CaseIterable {
  case malformedRequest = "malformed-request"
  case malformedJSON = "malformed-json"
  case invalidInput = "invalid-input"
  case idempotencyKeyMissing = "idempotency-key-missing"
  case invalidCursor = "invalid-cursor"
  case unauthenticated = "unauthenticated"
  case invalidToken = "invalid-token"
  case forbidden = "forbidden"
  case notFound = "not-found"
  case methodNotAllowed = "method-not-allowed"
  case timeout = "request-timeout"
  case conflict = "conflict"
  case idempotencyInProgress = "idempotency-in-progress"
  case preconditionFailed = "precondition-failed"
  case tooLarge = "content-too-large"
  case uriTooLong = "uri-too-long"
  case unsupportedMediaType = "unsupported-media-type"
  case idempotencyKeyReused = "idempotency-key-reused"
  case preconditionRequired = "precondition-required"
  case tooManyRequests = "too-many-requests"
  case `internal` = "internal-error"
  case unavailable = "unavailable"

  public var uri: String { "urn:liaison:problem:\(rawValue)" }

  public var status: Int {
    switch self {
    case .malformedRequest, .malformedJSON, .idempotencyKeyMissing, .invalidCursor: 400
    case .unauthenticated, .invalidToken: 401
    case .forbidden: 403
    case .notFound: 404
    case .methodNotAllowed: 405
    case .timeout: 408
    case .conflict, .idempotencyInProgress: 409
    case .preconditionFailed: 412
    case .tooLarge: 413
    case .uriTooLong: 414
    case .unsupportedMediaType: 415
    case .invalidInput, .idempotencyKeyReused: 422
    case .preconditionRequired: 428
    case .tooManyRequests: 429
    case .internal: 500
    case .unavailable: 503
    }
  }

  public var title: LocalizedText {
    switch self {
    case .malformedRequest: LocalizedText(zh: "请求格式有误", en: "The request is malformed")
    case .malformedJSON: LocalizedText(zh: "请求体不是有效的 JSON", en: "The body is not valid JSON")
    case .invalidInput: LocalizedText(zh: "输入内容不符合要求", en: "The input is not what it must be")
    case .idempotencyKeyMissing:
      LocalizedText(zh: "缺少 Idempotency-Key 请求头", en: "An Idempotency-Key header is required")
    case .invalidCursor: LocalizedText(zh: "分页游标无效或属于其他查询", en: "The cursor is invalid or of another query")
    case .unauthenticated: LocalizedText(zh: "需要身份认证", en: "Authentication is required")
    case .invalidToken: LocalizedText(zh: "令牌无效或已过期", en: "The token is invalid or has expired")
    case .forbidden: LocalizedText(zh: "没有执行此操作的权限", en: "This is not permitted to you")
    case .notFound: LocalizedText(zh: "未找到", en: "Not found")
    case .methodNotAllowed: LocalizedText(zh: "此资源不支持该方法", en: "The resource does not have this method")
    case .timeout: LocalizedText(zh: "请求未在规定时间内发送完毕", en: "The request did not arrive in time")
    case .conflict: LocalizedText(zh: "与当前状态冲突", en: "This conflicts with the present state")
    case .idempotencyInProgress:
      LocalizedText(zh: "相同 Idempotency-Key 的请求仍在处理", en: "A request with this Idempotency-Key is still running")
    case .preconditionFailed: LocalizedText(zh: "资源已被他人修改", en: "The resource was changed meanwhile")
    case .tooLarge: LocalizedText(zh: "请求体过大", en: "The body is too large")
    case .uriTooLong: LocalizedText(zh: "请求地址过长", en: "The request target is too long")
    case .unsupportedMediaType: LocalizedText(zh: "不支持的媒体类型", en: "The media type of the body is not supported")
    case .idempotencyKeyReused:
      LocalizedText(zh: "Idempotency-Key 已用于不同的请求", en: "The Idempotency-Key was used with another request")
    case .preconditionRequired: LocalizedText(zh: "需要 If-Match 请求头", en: "An If-Match header is required")
    case .tooManyRequests: LocalizedText(zh: "请求过于频繁", en: "Too many requests")
    case .internal: LocalizedText(zh: "服务器内部错误", en: "Internal error")
    case .unavailable: LocalizedText(zh: "服务暂时不可用", en: "The service is temporarily unavailable")
    }
  }
}
