/*
 * The C ABI of the ZeroMQ log writer for Bro and Zeek.
 *
 * This header is everything the C++ glue of a host may know of the Rust side, and
 * it is usable from plain C. "Host" is a Bro or a Zeek; a "writer" publishes the
 * records of one log path.
 *
 * Ownership. Everything passed in stays the caller's and is not kept after the
 * call returns, unless a function says otherwise. Strings returned are static.
 *
 * Threads. A writer belongs to the thread that opened it: write, heartbeat, stats
 * and close must be called from that thread. Different writers may be used on
 * different threads at the same time. Functions without a writer argument may be
 * called from any thread at any time.
 *
 * Errors. Functions that return int return BZW_OK or one of the negative BZW_ERR_*
 * codes. No panic, exception or abort leaves this library.
 *
 * The numbers of this header never change their meaning. Structs grow at the end
 * only; struct_size tells the library which version of a struct the caller has, and older, shorter
 * versions are accepted.
 */
#ifndef BRO_ZEROMQ_WRITER_H
#define BRO_ZEROMQ_WRITER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this interface. Compare with bzw_abi_version() before use. */
#define BZW_ABI_VERSION 1

/* Results. */
#define BZW_OK 0              /* done (for a write: the record was taken and counted) */
#define BZW_ERR_NULL (-1)     /* a required pointer was null */
#define BZW_ERR_VERSION (-2)  /* abi_version or struct_size is not one this library knows */
#define BZW_ERR_LAYOUT (-3)   /* the host layout is inconsistent or not supported */
#define BZW_ERR_CONFIG (-4)   /* an option's value is not allowed; the report says which */
#define BZW_ERR_SOCKET (-5)   /* ZeroMQ refused the context, the socket or the endpoint */
#define BZW_ERR_ARGUMENT (-6) /* an argument is out of range */
#define BZW_ERR_PANIC (-7)    /* a bug in this library; the writer can only be closed now */

/* How urgent a report is. */
#define BZW_REPORT_INFO 0
#define BZW_REPORT_WARNING 1
#define BZW_REPORT_ERROR 2

/* An offset or tag that a host does not have. */
#define BZW_ABSENT UINT32_MAX

/*
 * How a host lays out threading::Field and threading::Value, and which numbers its
 * TypeTag enumerators have. Offsets and sizes are in bytes. The glue fills it from
 * the host's own headers; bzw_layout_known() has those of released hosts.
 */
typedef struct bzw_layout {
    uint32_t struct_size; /* sizeof(bzw_layout) of the caller */

    uint32_t tag_size;       /* sizeof(TypeTag): 4 up to Zeek 7.2, 1 from 8.0 */
    uint32_t ip_family_size; /* sizeof(IPFamily): 4 up to Zeek 7.2, 1 from 8.0 */
    uint32_t ip_family_v4;   /* the value of IPv4 */
    uint32_t ip_family_v6;   /* the value of IPv6 */

    /* struct threading::Field */
    uint32_t field_size;
    uint32_t field_name; /* const char* */
    uint32_t field_type;
    uint32_t field_subtype;
    uint32_t field_optional; /* bool */

    /* struct threading::Value */
    uint32_t value_size;
    uint32_t value_type;
    uint32_t value_subtype; /* BZW_ABSENT in Bro 2.5 */
    uint32_t value_present; /* bool */
    uint32_t value_val;     /* the union */

    /* members of the union, counted from its start */
    uint32_t val_port_port;     /* 64-bit number */
    uint32_t val_set_size;      /* 64-bit signed number of elements; vectors are the same */
    uint32_t val_set_vals;      /* Value** */
    uint32_t val_addr_family;   /* IPFamily */
    uint32_t val_addr_in;       /* 4 or 16 bytes, network order */
    uint32_t val_subnet_prefix; /* an address: family and bytes */
    uint32_t val_subnet_length; /* one byte, counted on the 128-bit form */
    uint32_t val_string_data;   /* char*, not terminated */
    uint32_t val_string_length; /* int, 32 bits */

    /* enumerators of TypeTag; BZW_ABSENT where the host has none */
    uint32_t tag_bool;
    uint32_t tag_int;
    uint32_t tag_count;
    uint32_t tag_counter;
    uint32_t tag_double;
    uint32_t tag_time;
    uint32_t tag_interval;
    uint32_t tag_string;
    uint32_t tag_pattern;
    uint32_t tag_enum;
    uint32_t tag_port;
    uint32_t tag_addr;
    uint32_t tag_subnet;
    uint32_t tag_table;
    uint32_t tag_func;
    uint32_t tag_file;
    uint32_t tag_vector;
} bzw_layout;

/* One option: its name without the module ("endpoint") and its value as text. */
typedef struct bzw_option {
    const char* name;
    const char* value;
} bzw_option;

/*
 * Receives a message for the host's reporter. `level` is one of BZW_REPORT_*;
 * `message` is UTF-8, one line, valid only during the call. Called only from within
 * a call into the writer it was given to, on that call's thread. It must not call
 * back into the writer.
 */
typedef void (*bzw_report_fn)(void* context, int level, const char* message);

/* What a writer needs to know. All strings are NUL-terminated. */
typedef struct bzw_open_args {
    uint32_t struct_size; /* sizeof(bzw_open_args) of the caller */
    uint32_t abi_version; /* BZW_ABI_VERSION */

    const bzw_layout* layout;
    const char* path;        /* log path: "conn"; the option topic makes the first frame of it */
    const char* filter_name; /* for reports only; may be null */

    /* The script's options (LogZeroMQ::…), then the filter's own $config, which wins.
       An option that is absent has its default. Either pointer may be null if its count is 0. */
    const bzw_option* globals;
    size_t num_globals;
    const bzw_option* config;
    size_t num_config;

    /* threading::Field* const* as DoInit gets it. */
    const void* const* fields;
    int num_fields;

    bzw_report_fn report; /* may be null: no reports */
    void* report_context;
} bzw_open_args;

/*
 * What became of a writer's records at one of its endpoints. At every moment
 *   records_written + records_recovered =
 *       records_sent + records_queued + records_spooled + the sum of all dropped_*.
 */
typedef struct bzw_stats {
    uint32_t struct_size;           /* in: sizeof(bzw_stats) of the caller */
    uint32_t subscribed;            /* 1 while a subscription matches the log path */
    uint64_t records_written;       /* records the host handed over */
    uint64_t records_sent;          /* given to the operating system */
    uint64_t dropped_no_subscriber; /* nobody subscribed to the log path */
    uint64_t dropped_queue_full;    /* the high water mark was reached */
    uint64_t dropped_encoding;      /* the record could not be turned into JSON */
    uint64_t dropped_closed;        /* lost with the connection, or the socket failed or was closed */
    uint64_t unknown_values;        /* values of a type without JSON form, sent as null */
    uint64_t bytes_sent;            /* all frames of the records given to libzmq */
    uint64_t records_queued;        /* waiting in memory */
    uint64_t records_spooled;       /* waiting in the spool */
    uint64_t records_recovered;     /* found in the spool, from an earlier run */
    uint64_t dropped_spool;         /* the spool was full or failed */
} bzw_stats;

typedef struct bzw_writer bzw_writer; /* opaque */

/* The BZW_ABI_VERSION the library was built with. */
uint32_t bzw_abi_version(void);

/* The library's version, "MAJOR.MINOR.PATCH". */
const char* bzw_version(void);

/* Within a bzw_report_fn: what the message is about, for programs, such as "NotSent"; this code stays
   when the text changes. Elsewhere null. */
const char* bzw_report_code(void);

/* What a code of BZW_ERR_* means; for any other code a text that says it is unknown. */
const char* bzw_strerror(int code);

/*
 * The names of all options, and of texts that the script makes of options that are
 * tables, index 0, 1, 2, … until null. The glue looks each up as LogZeroMQ::NAME and
 * passes the values it finds, but for tables, as bzw_open_args.globals.
 */
const char* bzw_option_name(uint32_t index);

/*
 * The layouts of released hosts: fills *out (out->struct_size must be set) and
 * returns the name of the family, such as "zeek-8.0". Null when index is past the
 * last one, or out is null or of an unknown size.
 */
const char* bzw_layout_known(uint32_t index, bzw_layout* out);

/* BZW_OK if writers can be opened with this layout, else BZW_ERR_NULL, _VERSION or _LAYOUT. */
int bzw_layout_check(const bzw_layout* layout);

/*
 * Opens a writer: reads the options, makes its sockets and connects them.
 * On success *writer is the caller's until bzw_writer_close(). On failure *writer is
 * null and the reason has been reported. Takes as long as zmq_connect_pause asks for,
 * plus up to a quarter of a second while waiting for the first subscription; up to two
 * seconds if subscribers go on asking for other logs.
 */
int bzw_writer_open(const bzw_open_args* args, bzw_writer** writer);

/*
 * Publishes one record. `vals` is threading::Value** as DoWrite gets it, in the
 * layout given at open. Waits for room in a queue that is full, as long as the queue moves: until
 * it has stood still for a quarter of a second (four seconds where other logs' records leave the
 * connection meanwhile), or the writer is five seconds behind the host (bzw_writer_heartbeat). A
 * record that cannot be sent then is counted in the statistics and is no error: BZW_OK says the
 * record is accounted for. A record with another number of fields than the log has is counted, too
 * (dropped_encoding, at every endpoint). BZW_ERR_NULL: vals is null; there was no record to count.
 */
int bzw_writer_write(bzw_writer* writer, int num_fields, const void* const* vals);

/*
 * Counts a record that the caller found to be no record (dropped_encoding, at every endpoint)
 * and reports it with `why`, which is UTF-8 and must stay where it is for ever.
 */
int bzw_writer_reject(bzw_writer* writer, const char* why);

/*
 * To be called about once a second: notices subscriptions and reports what happened
 * since. Times are the host's, in seconds since the epoch; current_time is the system's when
 * the heartbeat was put into the queue that the records come through, so that it tells how
 * far behind the host the writer is.
 */
int bzw_writer_heartbeat(bzw_writer* writer, double network_time, double current_time);

/*
 * Tells the writer that the host has begun to end: from now on, the time that it waits for
 * room counts towards zmq_linger. To be called before the next record is written; may be called again.
 */
int bzw_writer_host_ends(bzw_writer* writer);

/*
 * Sends the records that wait to be sent in one message (batch_records). Does nothing without
 * batches: a record is sent when it is written.
 */
int bzw_writer_flush(bzw_writer* writer);

/*
 * For how many seconds at most the host should keep a record before it is written (the option
 * flush_interval); 0 if that is left to the host, and for null. It does not change while the writer
 * is open.
 */
double bzw_writer_flush_interval(const bzw_writer* writer);

/*
 * How many endpoints the writer publishes to, each with statistics of its own; endpoints
 * that share the records (socket_type "push") are one. 0 for null.
 */
uint32_t bzw_writer_endpoints(const bzw_writer* writer);

/* Fills *stats for endpoint 0, 1, … (BZW_ERR_ARGUMENT past the last). */
int bzw_writer_stats(const bzw_writer* writer, uint32_t endpoint, bzw_stats* stats);

/*
 * Fills *stats with the sum over all writers of a log path that the process has had and
 * all their endpoints; a writer's own part is brought up to date by each heartbeat. Any
 * thread, at any time. `subscribed` and `unknown_values` are 0.
 */
int bzw_log_stats(const char* path, bzw_stats* stats);

/*
 * Reports the totals, closes the writer and frees it; the pointer is invalid after
 * that, whatever is returned. Waits for unsent records, for up to zmq_linger; what is
 * unsent then stays in the spool, or is counted as dropped. Null is BZW_OK.
 */
int bzw_writer_close(bzw_writer* writer);

#ifdef __cplusplus
}
#endif

#endif
