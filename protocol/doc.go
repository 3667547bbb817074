// Package protocol is what both ends of a Sallyport connection speak: lines, commands, replies,
// their codes and keywords, and the limits on each. The wire format is described, with its ABNF, in
// README.md beside this file.
//
// A server reads commands with [Reader.Next] and [ParseCommand] and writes replies with
// [Reply.Append]. A client writes requests with [Request.Append] and reads replies with
// [ReadReply]; [Reply.Err] turns a refusal into a [*ReplyError].
//
// The package knows no network: it works on io.Reader and byte slices, and it buffers no more than
// [MaxLine] octets unless [Reader.Grow] asks for more.
package protocol
