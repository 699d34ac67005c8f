#include "runtime/names.hpp"

#include <cstring>
#include <mutex>
#include <new>

namespace ringo::detail {
namespace {

std::uintptr_t key_of_object(const void* object) noexcept { return ~reinterpret_cast<std::uintptr_t>(object); }

// Spreads addresses over the chains, also if they all are multiples of some power of two, by the golden ratio.
std::size_t chain_number(std::uintptr_t key) noexcept {
  static_assert(name_table::chains == std::size_t{1} << 16);
  return static_cast<std::size_t>(std::uint64_t{key} * 0x9e3779b97f4a7c15 >> (64 - 16));
}

// With the object's chain locked.
class locked_chain {
 public:
  explicit locked_chain(std::uintptr_t key) noexcept
      : number_(chain_number(key)), guard_(ringo_names.lock[number_ % name_table::locks]) {}

  // The link to the entry; the last one, which is null, if there is none.
  name_entry*& find(std::uintptr_t key) noexcept {
    name_entry** link = &ringo_names.first[number_];
    while (*link != nullptr && (*link)->object != key) link = &(*link)->next;
    return *link;
  }

 private:
  std::size_t number_;
  std::lock_guard<leaf_spin_lock> guard_;
};

}  // namespace

void set_name(const void* object, const std::string& name) {
  const std::uintptr_t key = key_of_object(object);
  void* const memory = ::operator new(sizeof(name_entry) + name.size());
  auto* const made = ::new (memory) name_entry{.next = nullptr, .object = key, .length = name.size()};
  std::memcpy(made->text(), name.data(), name.size());
  name_entry* before;
  {
    locked_chain chain(key);
    name_entry*& link = chain.find(key);
    before = link;
    if (before != nullptr) made->next = before->next;
    link = made;
  }
  ::operator delete(before);
}

void forget_name(const void* object) noexcept {
  const std::uintptr_t key = key_of_object(object);
  name_entry* found;
  {
    locked_chain chain(key);
    name_entry*& link = chain.find(key);
    found = link;
    if (found != nullptr) link = found->next;
  }
  ::operator delete(found);
}

std::string name_of(const void* object) {
  const std::uintptr_t key = key_of_object(object);
  locked_chain chain(key);
  name_entry* const found = chain.find(key);
  return found != nullptr ? std::string(found->text(), found->length) : std::string();
}

}  // namespace ringo::detail

constinit ringo::detail::name_table ringo_names{};
