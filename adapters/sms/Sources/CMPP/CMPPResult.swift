import Channels

/// CMPP_SUBMIT_RESP and CMPP_DELIVER_RESP results. Source: gocmpp submit.go; 8 is flow control.
public enum CMPPResult {
  public static func name(_ code: UInt32) -> String {
    switch code {
    case 0: "ok"
    case 1: "structure"
    case 2: "command"
    case 3: "duplicate sequence"
    case 4: "length"
    case 5: "fee code"
    case 6: "too long"
    case 7: "service"
    case 8: "flow control"
    case 9: "gateway does not serve this fee number"
    case 10: "Src_Id"
    case 11: "Msg_src"
    case 12: "Fee_terminal_Id"
    case 13: "Dest_terminal_Id"
    default: "result \(code)"
    }
  }

  public static func verdict(_ code: UInt32) -> Verdict {
    switch code {
    case 8: .throttle
    case 3: .retry(.protocolViolation)
    case 1, 2, 4: .reject(.protocolViolation)
    case 6: .reject(.tooLarge)
    case 5, 7, 9, 10, 11, 12: .reject(.policy)
    case 13: .reject(.badAddress)
    default: .retry(.peerFailure)
    }
  }
}

/// CMPP_CONNECT_RESP's status.
public enum CMPPConnectStatus {
  public static func name(_ code: UInt32) -> String {
    switch code {
    case 0: "ok"
    case 1: "structure"
    case 2: "bad source address"
    case 3: "authentication failed"
    case 4: "version too high"
    default: "other error \(code)"
    }
  }
}
