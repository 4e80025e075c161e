// The program that the plugin was loaded into, as a file of symbols and as memory.
#ifndef BZW_PORTABLE_IMAGE_H
#define BZW_PORTABLE_IMAGE_H

#include <link.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace bzw {
namespace portable {

// The executable's dynamic symbols (ELF specification, "Symbol Table" and "Dynamic
// Section"), looked up by its GNU hash table. Those for debuggers are not needed.
class Image {
public:
    // False if the executable has no readable symbol table.
    bool Open();

    // The address of a function that the executable itself defines, or null. A library's
    // or another plugin's symbol of the same name is not what is looked for.
    const void* Function(const char* name) const;

    // The address of a variable or a vtable, likewise, and its size, all of which is there.
    const void* Data(const char* name, std::size_t* size) const;

    // The dynamic loader that it asks for, which tells its C library, or null.
    const char* Loader() const { return loader; }

    // The name of a symbol defined here that starts with one text and contains another,
    // or null.
    const char* Name(const char* start, const char* part) const;

    // Whether there is code at an address.
    bool IsCode(std::uintptr_t address) const;

    // The name of a function defined here at an address, or null.
    const char* NameOf(std::uintptr_t address) const;

    // Whether it defines, or asks another file for, a symbol that starts with this.
    bool Mentions(const char* start) const;

private:
    const void* Find(const char* name, unsigned type, ElfW(Word) flags, std::size_t* size) const;
    const ElfW(Sym) * Entry(const char* name) const;

    std::uintptr_t base = 0;
    const ElfW(Phdr) * segments = nullptr;
    std::size_t num_segments = 0;
    const char* loader = nullptr;
    const ElfW(Sym) * symbols = nullptr;
    const std::uint32_t* hash = nullptr;
    const char* strings = nullptr;
    std::size_t count = 0;
};

// Memory that may not be there: copies without ever faulting.
class Memory {
public:
    // Whether anything can be read at all: it takes two file descriptors, which the process then
    // keeps for all.
    bool Usable() const;

    // Copies `size` bytes from an address; false, if not all of them are there.
    bool Read(const void* from, void* to, std::size_t size) const;

    template <class T> bool Read(const void* from, T* to) const {
        return Read(from, static_cast<void*>(to), sizeof *to);
    }

    // Copies a string of at most `longest` bytes that ends in a NUL; false, if there is none.
    bool Text(const char* from, std::size_t longest, std::string* to) const;

    // Whether a string of at most `longest` bytes that ends in a NUL is there.
    bool String(const char* from, std::size_t longest) const;
};

} // namespace portable
} // namespace bzw

#endif
