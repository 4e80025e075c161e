// The records that the program's own checks write.
#include "records.h"

#include <limits>

#if HOST_VERSION >= 30200
using namespace zeek;
#endif

std::vector<Column> every_type() {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double infinity = std::numeric_limits<double>::infinity();
    const auto strings = [](const std::vector<std::string>& all) {
        std::vector<Value*> values;
        for (const std::string& one : all)
            values.push_back(text(TYPE_STRING, one));
        return values;
    };

    return {
        {"ts", TYPE_TIME, TYPE_VOID, real(TYPE_TIME, 1699999999.123456), "1699999999.123456"},
        {"yes", TYPE_BOOL, TYPE_VOID, boolean(true), "true"},
        {"no", TYPE_BOOL, TYPE_VOID, boolean(false), "false"},
        {"int_min", TYPE_INT, TYPE_VOID, number(std::numeric_limits<int64_t>::min()), "-9223372036854775808"},
        {"count_max", TYPE_COUNT, TYPE_VOID, count(std::numeric_limits<uint64_t>::max()),
         "18446744073709551615"},
        {"double_one", TYPE_DOUBLE, TYPE_VOID, real(TYPE_DOUBLE, 1.0), "1.0"},
        {"double_big", TYPE_DOUBLE, TYPE_VOID, real(TYPE_DOUBLE, 1e30), "1e30"},
        {"double_small", TYPE_DOUBLE, TYPE_VOID, real(TYPE_DOUBLE, 1.5e-7), "1.5e-7"},
        {"nan", TYPE_DOUBLE, TYPE_VOID, real(TYPE_DOUBLE, nan), "null"},
        {"infinite", TYPE_DOUBLE, TYPE_VOID, real(TYPE_DOUBLE, -infinity), "null"},
        {"duration", TYPE_INTERVAL, TYPE_VOID, real(TYPE_INTERVAL, 0.25), "0.25"},
        {"string", TYPE_STRING, TYPE_VOID, text(TYPE_STRING, "quote \" slash / back \\ tab \t line \n"),
         "\"quote \\\" slash / back \\\\ tab \\t line \\n\""},
        {"empty", TYPE_STRING, TYPE_VOID, text(TYPE_STRING, ""), "\"\""},
        {"utf8", TYPE_STRING, TYPE_VOID,
         text(TYPE_STRING, "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"),
         "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\""},
        {"not_utf8", TYPE_STRING, TYPE_VOID, text(TYPE_STRING, "a\xff\xc0\x80z\xe2\x82"),
         "\"a\\\\xff\\\\xc0\\\\x80z\\\\xe2\\\\x82\""},
        {"enum", TYPE_ENUM, TYPE_VOID, text(TYPE_ENUM, "Notice::ACTION_LOG"), "\"Notice::ACTION_LOG\""},
        {"file", TYPE_FILE, TYPE_VOID, text(TYPE_FILE, "log.txt"), "\"log.txt\""},
        {"func", TYPE_FUNC, TYPE_VOID, text(TYPE_FUNC, "Log::default_path_func"),
         "\"Log::default_path_func\""},
        {"id.resp_p", TYPE_PORT, TYPE_VOID, port(443), "443"},
        {"id.orig_h", TYPE_ADDR, TYPE_VOID, addr("10.0.0.1"), "\"10.0.0.1\""},
        {"id.resp_h", TYPE_ADDR, TYPE_VOID, addr("2001:db8::1"), "\"2001:db8::1\""},
        {"net4", TYPE_SUBNET, TYPE_VOID, subnet("10.0.0.0", 8), "\"10.0.0.0/8\""},
        {"net6", TYPE_SUBNET, TYPE_VOID, subnet("2001:db8::", 32), "\"2001:db8::/32\""},
        {"set", TYPE_TABLE, TYPE_STRING, container(TYPE_TABLE, TYPE_STRING, strings({"a", "b"})),
         "[\"a\",\"b\"]"},
        {"empty_set", TYPE_TABLE, TYPE_COUNT, container(TYPE_TABLE, TYPE_COUNT, {}), "[]"},
        {"vector", TYPE_VECTOR, TYPE_INTERVAL,
         container(TYPE_VECTOR, TYPE_INTERVAL, {real(TYPE_INTERVAL, 0.5), real(TYPE_INTERVAL, 2.0)}),
         "[0.5,2.0]"},
        {"empty_vector", TYPE_VECTOR, TYPE_ADDR, container(TYPE_VECTOR, TYPE_ADDR, {}), "[]"},
        {"ports", TYPE_TABLE, TYPE_PORT, container(TYPE_TABLE, TYPE_PORT, {port(22), port(80)}), "[22,80]"},
        {"nested", TYPE_VECTOR, TYPE_TABLE,
         container(TYPE_VECTOR, TYPE_TABLE,
                   {container(TYPE_TABLE, TYPE_STRING, strings({"x"})),
                    container(TYPE_TABLE, TYPE_STRING, {}),
                    container(TYPE_TABLE, TYPE_STRING, strings({"y", "z"}))}),
         "[[\"x\"],[],[\"y\",\"z\"]]"},
        {"no_string", TYPE_STRING, TYPE_VOID, unset(TYPE_STRING), ""},
        {"no_set", TYPE_TABLE, TYPE_STRING, unset(TYPE_TABLE), ""},
        {"no_addr", TYPE_ADDR, TYPE_VOID, unset(TYPE_ADDR), ""},
        {"last", TYPE_COUNT, TYPE_VOID, count(0), "0"},
    };
}

std::string json_of(const std::vector<Column>& columns) {
    std::string json;
    for (const Column& column : columns) {
        if (!column.json.empty())
            json += (json.empty() ? "{\"" : ",\"") + column.name + "\":" + column.json;
    }
    return json + "}";
}

std::vector<Column> small_record(uint64_t n, const std::string& who) {
    return {
        {"n", TYPE_COUNT, TYPE_VOID, count(n), std::to_string(n)},
        {"who", TYPE_STRING, TYPE_VOID, text(TYPE_STRING, who), "\"" + who + "\""},
    };
}
