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
// Section"), looked up by its GNU hash table. Symbols for debuggers are not needed.
class Image {
public:
    // False if the executable has no readable symbol table.
    bool Open();

    // The address of a function that the executable itself defines, or null. Symbols of
    // libraries and of other plugins are not looked at.
    const void* Function(const char* name) const;

    // The address of a variable or a vtable that the executable itself defines, or null; and its
    // size. All of it is in memory.
    const void* Data(const char* name, std::size_t* size) const;

    // The dynamic loader that the executable asks for, which tells its C library; or null.
    const char* Loader() const { return loader; }

    // The name of a symbol defined here that starts with one text and contains another,
    // or null.
    const char* Name(const char* start, const char* part) const;

    // Returns true if there is code at an address.
    bool IsCode(std::uintptr_t address) const;

    // The name of a function defined here at an address, or null.
    const char* NameOf(std::uintptr_t address) const;

    // Returns true if the executable defines, or asks another file for, a symbol that starts with this.
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
    // Returns true if anything can be read at all: reading takes two file descriptors, which the
    // process then keeps for all readers.
    bool Usable() const;

    // Copies `size` bytes from an address. Returns false if not all of them are there.
    bool Read(const void* from, void* to, std::size_t size) const;

    template <class T> bool Read(const void* from, T* to) const {
        return Read(from, static_cast<void*>(to), sizeof *to);
    }

    // Copies a string of at most `longest` bytes that ends in a NUL. Returns false if there is none.
    bool Text(const char* from, std::size_t longest, std::string* to) const;

    // Returns true if a string of at most `longest` bytes that ends in a NUL is there.
    bool String(const char* from, std::size_t longest) const;
};

} // namespace portable
} // namespace bzw

#endif
