#include "platform/code_names.hpp"

#include <cxxabi.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>

namespace ringo::detail {
namespace {

// A whole file, mapped while this lives; empty if it cannot be read.
class mapped_file {
 public:
  explicit mapped_file(const char* path) noexcept {
    const int file = ::open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    struct stat about{};
    if (::fstat(file, &about) == 0 && about.st_size > 0) {
      const auto size = static_cast<std::size_t>(about.st_size);
      void* const at = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
      if (at != MAP_FAILED) bytes_ = {static_cast<const std::byte*>(at), size};
    }
    ::close(file);
  }
  mapped_file(const mapped_file&) = delete;
  mapped_file& operator=(const mapped_file&) = delete;
  ~mapped_file() {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): munmap() takes what mmap() gave
    if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }

  // An array within the file; empty if the file is shorter, or the array not aligned.
  template <class T>
  std::span<const T> array(std::uint64_t offset, std::uint64_t count) const noexcept {
    if (offset > bytes_.size() || count > (bytes_.size() - offset) / sizeof(T) || offset % alignof(T) != 0) return {};
    return {reinterpret_cast<const T*>(bytes_.data() + offset), static_cast<std::size_t>(count)};
  }

 private:
  std::span<const std::byte> bytes_;
};

struct address_range {
  std::uintptr_t begin, end;
  bool is_code;
};

// A coroutine's body is a function of the compiler's. g++ calls that of f f(f()::_Z1fv.Frame*) [clone .actor], and
// clang f() [clone .resume].
std::string without_frame(std::string name) {
  const std::size_t end = name.find(".Frame*)");
  if (end != std::string::npos) {
    std::size_t begin = end;
    for (int open = 1; open != 0 && begin != 0;) {
      --begin;
      open += name[begin] == ')' ? 1 : name[begin] == '(' ? -1 : 0;
    }
    name.erase(begin + 1, end + 7 - (begin + 1));
  }
  for (const std::string_view part : {" [clone .actor]", " [clone .resume]"}) {
    if (name.ends_with(part)) name.erase(name.size() - part.size());
  }
  return name;
}

}  // namespace

std::string demangled(const char* name) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(name, nullptr, nullptr, &status), std::free);
  return text ? text.get() : name;
}

struct code_names::module {
  std::string path, name;
  std::uintptr_t bias = 0;  // what is added to the addresses in the file
  std::vector<address_range> ranges;
  std::unique_ptr<mapped_file> file;  // once a name in it has been asked for

  // Sets the function's name and address.
  void find_function(code_place& of) {
    if (file == nullptr) file = std::make_unique<mapped_file>(path.c_str());
    const auto header = file->array<ElfW(Ehdr)>(0, 1);
    if (header.empty() || std::memcmp(header[0].e_ident, ELFMAG, SELFMAG) != 0) return;
    const auto sections = file->array<ElfW(Shdr)>(header[0].e_shoff, header[0].e_shnum);
    for (const ElfW(Word) type : {ElfW(Word){SHT_SYMTAB}, ElfW(Word){SHT_DYNSYM}}) {
      for (const ElfW(Shdr) & table : sections) {
        if (table.sh_type != type || table.sh_link >= sections.size()) continue;
        const ElfW(Shdr)& text = sections[table.sh_link];
        const auto names = file->array<char>(text.sh_offset, text.sh_size);
        if (names.empty() || names.back() != '\0') continue;
        for (const ElfW(Sym) & symbol : file->array<ElfW(Sym)>(table.sh_offset, table.sh_size / sizeof(ElfW(Sym)))) {
          // Its type is in the low four bits, and STT_FUNC is of the same value in files of 32 and of 64 bits.
          if ((symbol.st_info & 0xf) != STT_FUNC || symbol.st_name >= names.size()) continue;
          if (of.offset < symbol.st_value || of.offset - symbol.st_value >= symbol.st_size) continue;
          of.function = without_frame(demangled(&names[symbol.st_name]));
          of.begin = bias + symbol.st_value;
          return;
        }
      }
    }
  }
};

code_names::code_names() {
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* into) {
        auto one = std::make_unique<module>();
        one->path = info->dlpi_name;
        if (one->path.empty()) {  // the program itself
          std::array<char, 4096> path{};
          const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
          one->name.assign(path.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
          one->path = "/proc/self/exe";
        } else {
          one->name = one->path;
        }
        one->name.erase(0, one->name.rfind('/') + 1);
        one->bias = info->dlpi_addr;
        for (const ElfW(Phdr) & part : std::span(info->dlpi_phdr, info->dlpi_phnum)) {
          if (part.p_type != PT_LOAD) continue;
          const std::uintptr_t begin = one->bias + part.p_vaddr;
          one->ranges.push_back({begin, begin + part.p_memsz, (part.p_flags & PF_X) != 0});
        }
        static_cast<std::vector<std::unique_ptr<module>>*>(into)->push_back(std::move(one));
        return 0;
      },
      &modules_);
}

code_names::~code_names() = default;

code_names::module* code_names::module_of(std::uintptr_t address) const noexcept {
  for (const auto& each : modules_) {
    for (const address_range& range : each->ranges) {
      if (address >= range.begin && address < range.end) return each.get();
    }
  }
  return nullptr;
}

bool code_names::is_in_module(std::uintptr_t address) const noexcept { return module_of(address) != nullptr; }

bool code_names::is_code(std::uintptr_t address) const noexcept {
  const module* const of = module_of(address);
  return of != nullptr && std::any_of(of->ranges.begin(), of->ranges.end(), [address](const address_range& range) {
           return range.is_code && address >= range.begin && address < range.end;
         });
}

code_place code_names::find(std::uintptr_t address) {
  module* const of = module_of(address);
  if (of == nullptr) return {{}, {}, address, 0};
  code_place place{{}, of->name, address - of->bias, 0};
  of->find_function(place);
  return place;
}

std::string code_place::text() const {
  std::array<char, 16> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), offset, 16).ptr;
  std::string where = module + (module.empty() ? "0x" : "+0x");
  where.append(digits.data(), end);
  return function.empty() ? where : function + " (" + where + ")";
}

}  // namespace ringo::detail
