// Names of the functions that addresses of code belong to, for reports of native stacks.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ringo::detail {

// A name of the compiler's as the program has it; the same name if it is none of C++. Throws: std::bad_alloc.
std::string demangled(const char* name);

struct code_place {
  std::string function;  // demangled; empty if it is not known
  std::string module;    // the file of the program or library, without its folder; empty: no module has this address
  std::uintptr_t offset = 0;  // in the module, as addr2line and objdump count
  std::uintptr_t begin = 0;   // the address of the function; 0 if it is not known

  // "function (module+0x12)"
  std::string text() const;
};

// The program and its shared libraries as they are when this is made. It reads their symbol tables from the files,
// which also has the functions that a program does not export; a stripped file has only what it exports. Thread: one at
// a time.
class code_names {
 public:
  code_names();
  code_names(const code_names&) = delete;
  code_names& operator=(const code_names&) = delete;
  ~code_names();

  bool is_code(std::uintptr_t address) const noexcept;
  bool is_in_module(std::uintptr_t address) const noexcept;  // code or data
  code_place find(std::uintptr_t address);                   // throws std::bad_alloc

 private:
  struct module;
  module* module_of(std::uintptr_t address) const noexcept;

  std::vector<std::unique_ptr<module>> modules_;
};

}  // namespace ringo::detail
