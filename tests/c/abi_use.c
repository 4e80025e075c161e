/*
 * Uses every function of the C ABI, wrong arguments included, from plain C. abi_use.cc
 * compiles the same text as C++, so it keeps to what both languages share.
 *
 * Prints a line for each check that fails; the exit status is 1 if one does.
 */
#include "bro_zeromq_writer.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                  \
            failures++;                                                                                      \
        }                                                                                                    \
    } while (0)

#define CHECK_CODE(call, expected)                                                                           \
    do {                                                                                                     \
        const int code = (call);                                                                             \
        if (code != (expected)) {                                                                            \
            fprintf(stderr, "%s:%d: %s gives %d (%s), expected %s\n", __FILE__, __LINE__, #call, code,       \
                    bzw_strerror(code), #expected);                                                          \
            failures++;                                                                                      \
        }                                                                                                    \
    } while (0)

/* What the writer has reported. */
typedef struct reports {
    int count[3];
    char last[1024];
    char code[64];
} reports;

static void keep_report(void* context, int level, const char* message) {
    reports* const all = (reports*)context;
    CHECK(level == BZW_REPORT_INFO || level == BZW_REPORT_WARNING || level == BZW_REPORT_ERROR);
    CHECK(message != NULL && message[0] != '\0' && strchr(message, '\n') == NULL);
    if (level >= 0 && level < 3)
        all->count[level]++;
    strncpy(all->last, message, sizeof all->last - 1);
    strncpy(all->code, bzw_report_code(), sizeof all->code - 1);
}

static void test_versions(void) {
    CHECK(bzw_abi_version() == BZW_ABI_VERSION);
    int major = -1;
    int minor = -1;
    int patch = -1;
    char rest = '\0';
    CHECK(sscanf(bzw_version(), "%d.%d.%d%c", &major, &minor, &patch, &rest) == 3);
}

static void test_errors(void) {
    static const int codes[] = {BZW_OK,         BZW_ERR_NULL,   BZW_ERR_VERSION,  BZW_ERR_LAYOUT,
                                BZW_ERR_CONFIG, BZW_ERR_SOCKET, BZW_ERR_ARGUMENT, BZW_ERR_PANIC};
    static const int unknown[] = {1, 42, BZW_ERR_PANIC - 1, INT_MAX, INT_MIN};
    const size_t num_codes = sizeof codes / sizeof codes[0];
    size_t i;
    size_t j;
    for (i = 0; i < num_codes; i++) {
        const char* const text = bzw_strerror(codes[i]);
        CHECK(text != NULL && text[0] != '\0');
        for (j = 0; text != NULL && j < i; j++)
            CHECK(strcmp(text, bzw_strerror(codes[j])) != 0);
    }
    for (i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        const char* const text = bzw_strerror(unknown[i]);
        CHECK(text != NULL && strstr(text, "unknown") != NULL);
    }
}

static void test_options(void) {
    static const char* const documented[] = {"endpoint", "zmq_hwm", "zmq_linger", "zmq_connect_pause"};
    size_t found = 0;
    uint32_t index;
    const char* name;
    for (index = 0; (name = bzw_option_name(index)) != NULL; index++) {
        size_t i;
        CHECK(name[0] != '\0' && strstr(name, "::") == NULL);
        for (i = 0; i < sizeof documented / sizeof documented[0]; i++)
            found += strcmp(name, documented[i]) == 0;
        if (index > 1000)
            break;
    }
    CHECK(index >= 4 && index < 1000);
    CHECK(found == sizeof documented / sizeof documented[0]);
    CHECK(bzw_option_name(index + 1) == NULL);
    CHECK(bzw_option_name(UINT32_MAX) == NULL);
}

static bzw_layout layout_of(const char* wanted) {
    bzw_layout layout;
    uint32_t index;
    const char* name;
    memset(&layout, 0, sizeof layout);
    layout.struct_size = sizeof layout;
    for (index = 0; (name = bzw_layout_known(index, &layout)) != NULL; index++) {
        if (strcmp(name, wanted) == 0)
            return layout;
    }
    fprintf(stderr, "no layout %s\n", wanted);
    failures++;
    return layout;
}

static void test_layouts(void) {
    bzw_layout layout;
    uint32_t index;
    memset(&layout, 0, sizeof layout);
    layout.struct_size = sizeof layout;
    for (index = 0; bzw_layout_known(index, &layout) != NULL && index < 1000; index++) {
        CHECK(layout.struct_size == sizeof layout);
        CHECK(layout.value_size >= layout.value_val + 24);
        CHECK_CODE(bzw_layout_check(&layout), BZW_OK);
    }
    CHECK(index >= 6 && index < 1000);
    CHECK(bzw_layout_known(UINT32_MAX, &layout) == NULL);
    CHECK(bzw_layout_known(0, NULL) == NULL);

    memset(&layout, 0xee, sizeof layout);
    layout.struct_size = 0;
    CHECK(bzw_layout_known(0, &layout) == NULL);
    layout.struct_size = sizeof layout - 1;
    CHECK(bzw_layout_known(0, &layout) == NULL);
    CHECK(layout.tag_vector == 0xeeeeeeee);

    CHECK_CODE(bzw_layout_check(NULL), BZW_ERR_NULL);
    layout = layout_of("zeek-8.0");
    layout.struct_size = 0;
    CHECK_CODE(bzw_layout_check(&layout), BZW_ERR_VERSION);
    layout = layout_of("zeek-8.0");
    layout.tag_size = 3;
    CHECK_CODE(bzw_layout_check(&layout), BZW_ERR_LAYOUT);
    layout = layout_of("zeek-8.0");
    layout.value_val = layout.value_size;
    CHECK_CODE(bzw_layout_check(&layout), BZW_ERR_LAYOUT);
    layout = layout_of("zeek-8.0");
    layout.value_present = BZW_ABSENT;
    CHECK_CODE(bzw_layout_check(&layout), BZW_ERR_LAYOUT);
}

/* One column named "n" of type count, and a value for it, in a host's own layout. */
typedef struct record {
    uint64_t field[32];
    uint64_t value[32];
    const void* fields[1];
    const void* vals[1];
} record;

static void put_tag(const bzw_layout* layout, void* memory, uint32_t offset, uint32_t tag) {
    memcpy((char*)memory + offset, &tag, layout->tag_size); /* little-endian */
}

static void make_record(const bzw_layout* layout, record* made, uint64_t n) {
    static const char name[] = "n";
    const char* const name_pointer = name;
    memset(made, 0, sizeof *made);
    CHECK(layout->field_size <= sizeof made->field && layout->value_size <= sizeof made->value);
    memcpy((char*)made->field + layout->field_name, &name_pointer, sizeof name_pointer);
    put_tag(layout, made->field, layout->field_type, layout->tag_count);
    put_tag(layout, made->value, layout->value_type, layout->tag_count);
    ((char*)made->value)[layout->value_present] = 1;
    memcpy((char*)made->value + layout->value_val, &n, sizeof n);
    made->fields[0] = made->field;
    made->vals[0] = made->value;
}

/* Port 9 (discard) of the loopback address: connecting is fine, but nobody listens. */
static const bzw_option nobody[] = {{"endpoint", "tcp://127.0.0.1:9"}, {"zmq_linger", "0"}};

static bzw_open_args good_args(const bzw_layout* layout, const record* one, reports* all) {
    bzw_open_args args;
    memset(&args, 0, sizeof args);
    args.struct_size = sizeof args;
    args.abi_version = BZW_ABI_VERSION;
    args.layout = layout;
    args.path = "abi";
    args.filter_name = "default-zmq";
    args.config = nobody;
    args.num_config = 2;
    args.fields = one->fields;
    args.num_fields = 1;
    args.report = keep_report;
    args.report_context = all;
    memset(all, 0, sizeof *all);
    return args;
}

/* Opens with arguments that must be refused. */
static void refuse(const bzw_open_args* args, int expected) {
    bzw_writer* writer = (bzw_writer*)(void*)&failures; /* anything but null */
    CHECK_CODE(bzw_writer_open(args, &writer), expected);
    CHECK(writer == NULL);
}

static void refuse_option(const bzw_open_args* good, const char* name, const char* value, int expected) {
    reports* const all = (reports*)good->report_context;
    bzw_open_args args = *good;
    bzw_option options[2];
    options[0].name = "endpoint";
    options[0].value = "tcp://127.0.0.1:9";
    options[1].name = name;
    options[1].value = value;
    args.config = options;
    args.num_config = 2;
    memset(all, 0, sizeof *all);
    refuse(&args, expected);
    if (expected != BZW_ERR_NULL) {
        CHECK(all->count[BZW_REPORT_ERROR] >= 1);
        CHECK(strstr(all->last, name) != NULL);
        CHECK(strcmp(all->code, "NotSent") == 0 && bzw_report_code() == NULL);
    }
}

static void test_open_refused(const bzw_layout* layout, const record* one) {
    reports all;
    const bzw_open_args good = good_args(layout, one, &all);
    bzw_open_args args = good;
    bzw_layout bad_layout = *layout;
    bzw_writer* writer = NULL;

    CHECK_CODE(bzw_writer_open(NULL, &writer), BZW_ERR_NULL);
    CHECK_CODE(bzw_writer_open(&good, NULL), BZW_ERR_NULL);
    CHECK_CODE(bzw_writer_open(NULL, NULL), BZW_ERR_NULL);

    args.struct_size = 0;
    refuse(&args, BZW_ERR_VERSION);
    args.struct_size = sizeof args - 1;
    refuse(&args, BZW_ERR_VERSION);
    args = good;
    args.abi_version = BZW_ABI_VERSION + 1;
    refuse(&args, BZW_ERR_VERSION);
    args = good;
    args.layout = NULL;
    refuse(&args, BZW_ERR_NULL);
    args = good;
    bad_layout.struct_size = 1;
    args.layout = &bad_layout;
    refuse(&args, BZW_ERR_VERSION);
    bad_layout = *layout;
    bad_layout.tag_size = 2;
    refuse(&args, BZW_ERR_LAYOUT);
    args = good;
    args.path = NULL;
    refuse(&args, BZW_ERR_NULL);
    args = good;
    args.globals = NULL;
    args.num_globals = 1;
    refuse(&args, BZW_ERR_NULL);
    args = good;
    args.config = NULL;
    refuse(&args, BZW_ERR_NULL);
    args = good;
    args.fields = NULL;
    refuse(&args, BZW_ERR_NULL);
    args = good;
    args.num_fields = -1;
    refuse(&args, BZW_ERR_ARGUMENT);
    args = good;
    args.config = NULL; /* and so no endpoint */
    args.num_config = 0;
    refuse(&args, BZW_ERR_CONFIG);

    refuse_option(&good, NULL, "1", BZW_ERR_NULL);
    refuse_option(&good, "zmq_hwm", NULL, BZW_ERR_NULL);
    refuse_option(&good, "zmq_hwm", "many", BZW_ERR_CONFIG);
    refuse_option(&good, "zmq_hwm", "-1", BZW_ERR_CONFIG);
    refuse_option(&good, "zmq_hwm", "99999999999999999999", BZW_ERR_CONFIG);
    refuse_option(&good, "zmq_linger", "-2", BZW_ERR_CONFIG);
    refuse_option(&good, "zmq_connect_pause", "soon", BZW_ERR_CONFIG);
}

static void test_writer(const bzw_layout* layout, record* one) {
    reports all;
    bzw_open_args args = good_args(layout, one, &all);
    bzw_writer* writer = NULL;
    bzw_stats stats;
    const void* null_value[1] = {NULL};

    CHECK_CODE(bzw_writer_open(&args, &writer), BZW_OK);
    CHECK(writer != NULL);
    if (writer == NULL) {
        fprintf(stderr, "%s\n", all.last);
        return;
    }
    CHECK(bzw_writer_endpoints(writer) == 1);
    CHECK(bzw_writer_endpoints(NULL) == 0);

    CHECK_CODE(bzw_writer_write(writer, 1, one->vals), BZW_OK);
    CHECK_CODE(bzw_writer_write(writer, 1, null_value), BZW_OK);
    CHECK_CODE(bzw_writer_write(NULL, 1, one->vals), BZW_ERR_NULL);
    CHECK_CODE(bzw_writer_write(writer, 1, NULL), BZW_ERR_NULL);
    /* Calls that pass no record of this log: each is counted as a lost record. */
    CHECK_CODE(bzw_writer_write(writer, 0, one->vals), BZW_OK);
    CHECK_CODE(bzw_writer_write(writer, 2, one->vals), BZW_OK);
    CHECK_CODE(bzw_writer_write(writer, -1, one->vals), BZW_OK);
    CHECK_CODE(bzw_writer_write(writer, 2, NULL), BZW_OK);
    CHECK_CODE(bzw_writer_reject(writer, "it is none"), BZW_OK);
    CHECK_CODE(bzw_writer_reject(writer, NULL), BZW_ERR_NULL);
    CHECK_CODE(bzw_writer_reject(NULL, "it is none"), BZW_ERR_NULL);
    CHECK_CODE(bzw_writer_reject(writer, "\xff"), BZW_ERR_ARGUMENT);

    CHECK_CODE(bzw_writer_heartbeat(writer, 1700000000.0, 1700000000.5), BZW_OK);
    CHECK_CODE(bzw_writer_heartbeat(NULL, 1700000000.0, 1700000000.5), BZW_ERR_NULL);

    CHECK_CODE(bzw_writer_flush(writer), BZW_OK);
    CHECK_CODE(bzw_writer_flush(NULL), BZW_ERR_NULL);

    memset(&stats, 0xee, sizeof stats);
    stats.struct_size = sizeof stats;
    CHECK_CODE(bzw_writer_stats(writer, 0, &stats), BZW_OK);
    CHECK(stats.struct_size == sizeof stats);
    CHECK(stats.subscribed == 0);
    CHECK(stats.records_written == 7);
    CHECK(stats.dropped_encoding == 5);
    CHECK(stats.records_sent == 0 && stats.bytes_sent == 0);
    CHECK(stats.records_written == stats.dropped_no_subscriber + stats.dropped_queue_full +
                                       stats.dropped_encoding + stats.dropped_closed + stats.dropped_spool);
    CHECK(stats.records_queued == 0 && stats.records_spooled == 0 && stats.records_recovered == 0);
    CHECK(stats.unknown_values == 0);
    CHECK_CODE(bzw_writer_stats(writer, 1, &stats), BZW_ERR_ARGUMENT);
    CHECK_CODE(bzw_writer_stats(writer, UINT32_MAX, &stats), BZW_ERR_ARGUMENT);
    CHECK_CODE(bzw_writer_stats(NULL, 0, &stats), BZW_ERR_NULL);
    CHECK_CODE(bzw_writer_stats(writer, 0, NULL), BZW_ERR_NULL);
    stats.struct_size = 0;
    CHECK_CODE(bzw_writer_stats(writer, 0, &stats), BZW_ERR_VERSION);
    stats.struct_size = sizeof stats - 1;
    CHECK_CODE(bzw_writer_stats(writer, 0, &stats), BZW_ERR_VERSION);
    /* A caller built with an older header, whose struct ends before records_queued. */
    stats.struct_size = offsetof(bzw_stats, records_queued);
    stats.records_written = stats.records_queued = 0xeeeeeeee;
    CHECK_CODE(bzw_writer_stats(writer, 0, &stats), BZW_OK);
    CHECK(stats.struct_size == offsetof(bzw_stats, records_queued) && stats.records_written < 0xeeeeeeee);
    CHECK(stats.records_queued == 0xeeeeeeee);
    stats.struct_size = sizeof stats - 1;

    CHECK_CODE(bzw_log_stats(NULL, &stats), BZW_ERR_NULL);
    CHECK_CODE(bzw_log_stats("abi", NULL), BZW_ERR_NULL);
    CHECK_CODE(bzw_log_stats("abi", &stats), BZW_ERR_VERSION);
    stats.struct_size = sizeof stats;
    CHECK_CODE(bzw_log_stats("no such log", &stats), BZW_OK);
    CHECK(stats.struct_size == sizeof stats && stats.records_written == 0);
    CHECK_CODE(bzw_log_stats(args.path, &stats), BZW_OK);
    CHECK(stats.records_written >= 6 && stats.dropped_encoding >= 4);

    CHECK_CODE(bzw_writer_close(writer), BZW_OK);
    CHECK(all.count[BZW_REPORT_ERROR] == 0);
    CHECK_CODE(bzw_writer_close(NULL), BZW_OK);
}

/* Two writers at once, without reports, one of them without columns. */
static void test_two_writers(const bzw_layout* layout, record* one) {
    reports all;
    bzw_open_args args = good_args(layout, one, &all);
    bzw_writer* first = NULL;
    bzw_writer* second = NULL;

    args.report = NULL;
    args.report_context = NULL;
    args.filter_name = NULL;
    args.globals = nobody;
    args.num_globals = 2;
    args.config = NULL;
    args.num_config = 0;
    CHECK_CODE(bzw_writer_open(&args, &first), BZW_OK);
    args.fields = NULL;
    args.num_fields = 0;
    CHECK_CODE(bzw_writer_open(&args, &second), BZW_OK);
    CHECK_CODE(bzw_writer_write(first, 1, one->vals), BZW_OK);
    CHECK_CODE(bzw_writer_write(second, 0, NULL), BZW_OK);
    CHECK_CODE(bzw_writer_close(first), BZW_OK);
    CHECK_CODE(bzw_writer_close(second), BZW_OK);
}

int main(void) {
    bzw_layout layout;
    uint32_t index;

    test_versions();
    test_errors();
    test_options();
    test_layouts();
    memset(&layout, 0, sizeof layout);
    layout.struct_size = sizeof layout;
    for (index = 0; bzw_layout_known(index, &layout) != NULL; index++) {
        record one;
        make_record(&layout, &one, 42);
        test_writer(&layout, &one);
        if (index == 0) {
            test_open_refused(&layout, &one);
            test_two_writers(&layout, &one);
        }
    }
    return failures == 0 ? 0 : 1;
}
