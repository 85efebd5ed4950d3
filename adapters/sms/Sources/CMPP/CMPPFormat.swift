/// What Msg_Fmt says of a text: 0 ASCII, 3 write card, 4 binary, 8 UCS-2, 15 GB. Source: specs/sms.md §8.
public enum CMPPFormat {
  public static func coding(_ format: UInt8) -> TextCoding {
    switch format {
    case 0: .ascii
    case 8: .ucs2
    case 15: .gb18030
    case 3, 4: .binary
    default: format & 0x0c == 0x08 && format < 0x20 ? .ucs2 : .binary
    }
  }

  /// Nil for codings CMPP has no number for.
  public static func format(of coding: TextCoding) -> UInt8? {
    switch coding {
    case .ascii: 0
    case .ucs2: 8
    case .gb18030: 15
    default: nil
    }
  }
}
