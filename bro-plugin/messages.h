// The glue's messages: each is a text, or the part of a text that never differs. The documentation has all.
#ifndef BZW_MESSAGES_H
#define BZW_MESSAGES_H

namespace bzw {
namespace message {

constexpr char no_options[] = "the options in LogZeroMQ could not be read";
constexpr char exception[] = "unknown exception while opening the writer";
constexpr char not_sent[] = " is not sent: ";
constexpr char otherwise[] = " does not hand it over as other hosts do; ";
constexpr char only_known_hosts[] = "LogZeroMQ::only_known_hosts is set, and of ";
constexpr char no_descriptor[] = "the host has no file descriptor left; raise the limit (ulimit -n)";
constexpr char wrong_record[] = "A record is not sent, nor are others like it: ";
constexpr char wrong_value[] = "a value is not of its column's type, or leads nowhere";
constexpr char other_writers[] = "a log is not sent: the host makes other writers than it says; please ";
constexpr char no_flush[] = "records come up to a second late, and LogZeroMQ::flush_interval has no effect: ";
constexpr char own_layout[] = " lays out its log records as no version known to this plugin does";
constexpr char unusable[] = "cannot be used here: ";

} // namespace message
} // namespace bzw

#endif
