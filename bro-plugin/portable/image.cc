#include "image.h"

#include <fcntl.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>

namespace bzw {
namespace portable {

namespace {

// The GNU hash table: number of buckets, first symbol in it, words of the filter, shift;
// the filter; the buckets; and one word per symbol, whose lowest bit ends a chain.
struct HashTable {
    explicit HashTable(const std::uint32_t* table)
        : size(table[0]), first(table[1]),
          bucket(table + 4 + table[2] * (sizeof(ElfW(Addr)) / sizeof(std::uint32_t))), chain(bucket + size) {}

    std::uint32_t size;
    std::uint32_t first;
    const std::uint32_t* bucket;
    const std::uint32_t* chain;
};

std::uint32_t hash_of(const char* name) {
    std::uint32_t hash = 5381;
    for (; *name; ++name)
        hash = hash * 33 + static_cast<unsigned char>(*name);
    return hash;
}

// How many symbols there are: the dynamic section has the table's address only.
std::size_t count_symbols(const std::uint32_t* hash) {
    const HashTable table(hash);
    std::uint32_t last = 0;
    for (std::uint32_t i = 0; i < table.size; ++i)
        last = std::max(last, table.bucket[i]);
    if (last < table.first)
        return table.first;
    while ((table.chain[last - table.first] & 1) == 0)
        ++last;
    return std::size_t{last} + 1;
}

} // namespace

bool Image::Open() {
    // The executable is the first file that is visited, and the only one looked at.
    ::dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t, void* self) {
            auto& image = *static_cast<Image*>(self);
            image.base = info->dlpi_addr;
            image.segments = info->dlpi_phdr;
            image.num_segments = info->dlpi_phnum;
            for (std::size_t i = 0; i < image.num_segments; ++i) {
                const std::uintptr_t start = image.base + image.segments[i].p_vaddr;
                if (image.segments[i].p_type == PT_INTERP)
                    image.loader = reinterpret_cast<const char*>(start);
                if (image.segments[i].p_type != PT_DYNAMIC)
                    continue;
                const auto* entry = reinterpret_cast<const ElfW(Dyn)*>(start);
                for (; entry->d_tag != DT_NULL; ++entry) {
                    const std::uintptr_t address = entry->d_un.d_ptr;
                    switch (entry->d_tag) {
                    case DT_SYMTAB:
                        image.symbols = reinterpret_cast<const ElfW(Sym)*>(address);
                        break;
                    case DT_STRTAB:
                        image.strings = reinterpret_cast<const char*>(address);
                        break;
                    case DT_GNU_HASH:
                        image.hash = reinterpret_cast<const std::uint32_t*>(address);
                        break;
                    default:
                        break;
                    }
                }
            }
            if (image.hash)
                image.count = count_symbols(image.hash);
            return 1;
        },
        this);
    return symbols && strings && count > 0;
}

const ElfW(Sym) * Image::Entry(const char* name) const {
    const HashTable table(hash);
    const std::uint32_t wanted = hash_of(name);
    std::uint32_t i = table.size ? table.bucket[wanted % table.size] : 0;
    if (i < table.first)
        return nullptr;
    for (;; ++i) {
        const std::uint32_t word = table.chain[i - table.first];
        const ElfW(Sym)& symbol = symbols[i];
        if ((word | 1) == (wanted | 1) && symbol.st_shndx != SHN_UNDEF &&
            std::strcmp(strings + symbol.st_name, name) == 0)
            return &symbol;
        if (word & 1)
            return nullptr;
    }
}

const void* Image::Find(const char* name, unsigned type, ElfW(Word) flags, std::size_t* size) const {
    const ElfW(Sym)* symbol = Entry(name);
    // Symbols of other types are, among others, variables that each thread has for itself, and
    // functions that have to be called to learn an address.
    if (!symbol || (symbol->st_info & 0xf) != type)
        return nullptr;
    for (std::size_t i = 0; i < num_segments; ++i) {
        const ElfW(Phdr)& segment = segments[i];
        const std::uintptr_t offset = symbol->st_value - segment.p_vaddr;
        if (segment.p_type == PT_LOAD && (segment.p_flags & flags) == flags && offset < segment.p_memsz &&
            symbol->st_size <= segment.p_memsz - offset) {
            *size = symbol->st_size;
            return reinterpret_cast<const void*>(base + symbol->st_value);
        }
    }
    return nullptr;
}

const void* Image::Function(const char* name) const {
    std::size_t size;
    return Find(name, STT_FUNC, PF_X, &size);
}

const void* Image::Data(const char* name, std::size_t* size) const {
    return Find(name, STT_OBJECT, PF_R, size);
}

const char* Image::Name(const char* start, const char* part) const {
    const std::size_t length = std::strlen(start);
    for (std::size_t i = 1; i < count; ++i) {
        const char* name = strings + symbols[i].st_name;
        if (symbols[i].st_shndx != SHN_UNDEF && std::strncmp(name, start, length) == 0 &&
            std::strstr(name, part))
            return name;
    }
    return nullptr;
}

bool Image::IsCode(std::uintptr_t address) const {
    for (std::size_t i = 0; i < num_segments; ++i)
        if (segments[i].p_type == PT_LOAD && (segments[i].p_flags & PF_X) &&
            address - base - segments[i].p_vaddr < segments[i].p_memsz)
            return true;
    return false;
}

const char* Image::NameOf(std::uintptr_t address) const {
    for (std::size_t i = 1; i < count; ++i)
        if (symbols[i].st_shndx != SHN_UNDEF && (symbols[i].st_info & 0xf) == STT_FUNC &&
            base + symbols[i].st_value == address)
            return strings + symbols[i].st_name;
    return nullptr;
}

bool Image::Mentions(const char* start) const {
    const std::size_t length = std::strlen(start);
    for (std::size_t i = 1; i < count; ++i)
        if (std::strncmp(strings + symbols[i].st_name, start, length) == 0)
            return true;
    return false;
}

// The kernel copies memory into a pipe, and says so (EFAULT) when there is nothing to copy.
// Unlike process_vm_readv this is never forbidden. Hundreds of writers may begin at once: they
// share one pipe, in turns.
namespace {
struct Pipe {
    std::mutex mutex;
    int ends[2] = {-1, -1};

    // Opens the pipe, if it is not open yet. The caller has locked the mutex.
    bool Open() {
        if (ends[0] < 0 && ::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
            ends[0] = ends[1] = -1;
        return ends[0] >= 0;
    }
};

// Never destroyed: a thread of the host's may still read when its process ends.
Pipe& the_pipe() {
    static Pipe* const pipe = new Pipe;
    return *pipe;
}
} // namespace

bool Memory::Usable() const {
    Pipe& pipe = the_pipe();
    const std::lock_guard<std::mutex> lock(pipe.mutex);
    return pipe.Open();
}

bool Memory::Read(const void* from, void* to, std::size_t size) const {
    // A pipe takes at least one page, but a write of several pages may stop at a bad one.
    constexpr std::size_t page = 4096;
    const char* source = static_cast<const char*>(from);
    char* target = static_cast<char*>(to);
    Pipe& pipe = the_pipe();
    const std::lock_guard<std::mutex> lock(pipe.mutex);
    if (!pipe.Open())
        return false;
    int(&ends)[2] = pipe.ends;
    while (size > 0) {
        const std::size_t part = std::min(size, page - reinterpret_cast<std::uintptr_t>(source) % page);
        ssize_t written;
        do
            written = ::write(ends[1], source, part);
        while (written < 0 && errno == EINTR);
        if (written <= 0)
            return false;
        ssize_t got;
        do
            got = ::read(ends[0], target, static_cast<std::size_t>(written));
        while (got < 0 && errno == EINTR);
        if (got != written)
            return false;
        source += written;
        target += written;
        size -= static_cast<std::size_t>(written);
    }
    return true;
}

bool Memory::Text(const char* from, std::size_t longest, std::string* to) const {
    char part[64];
    to->clear();
    while (to->size() < longest) {
        // Reads no further than to the page's end: what is behind the string need not be there.
        const std::size_t size =
            std::min(sizeof part, 4096 - reinterpret_cast<std::uintptr_t>(from) % std::size_t{4096});
        if (!Read(from, part, size))
            return false;
        const void* end = std::memchr(part, 0, size);
        to->append(part, end ? static_cast<std::size_t>(static_cast<const char*>(end) - part) : size);
        if (end)
            return true;
        from += size;
    }
    return false;
}

bool Memory::String(const char* from, std::size_t longest) const {
    std::string copy;
    return Text(from, longest, &copy);
}

} // namespace portable
} // namespace bzw
