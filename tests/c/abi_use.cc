// Compiles abi_use.c as C++, and checks what only C++ can check of the header: its structs
// are as plain as they are in C.
#include "bro_zeromq_writer.h"

#include <type_traits>

static_assert(std::is_standard_layout<bzw_layout>::value && std::is_trivial<bzw_layout>::value, "bzw_layout");
static_assert(std::is_standard_layout<bzw_option>::value && std::is_trivial<bzw_option>::value, "bzw_option");
static_assert(std::is_standard_layout<bzw_open_args>::value && std::is_trivial<bzw_open_args>::value,
              "bzw_open_args");
static_assert(std::is_standard_layout<bzw_stats>::value && std::is_trivial<bzw_stats>::value, "bzw_stats");

#include "abi_use.c"
