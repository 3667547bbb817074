// Package protocol defines the language of a Sallyport connection: lines, commands, replies, their codes and
// keywords, and the limit of each. README.md beside this file describes the same with its ABNF.
//
// A server reads commands with [Reader.Next] and [ParseCommand] and writes replies with
// [Reply.Append]. A client writes requests with [Request.Append] and reads replies with
// [ReadReply]. [Reply.Err] turns a refusal into a [*ReplyError].
//
// The package knows no network: it works on io.Reader and byte slices. It buffers at most [MaxLine]
// bytes unless [Reader.Grow] allows more.
package protocol
