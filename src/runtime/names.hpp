// The table of names. Debuggers read it, too (src/debugger/waits.py).
#pragma once
#include <cstddef>
#include <cstdint>

#include <ringo/detail/object_name.hpp>
#include <ringo/detail/spin_lock.hpp>

namespace ringo::detail {

struct name_entry {
  name_entry* next;
  std::uintptr_t object;  // the complement of its address: a search for pointers must not take it for a use
  std::size_t length;     // of the text, which follows

  char* text() noexcept { return reinterpret_cast<char*>(this + 1); }
};

// Chains by a hash of the address. A server may have a million sessions, each with a name. Pages of the table that no
// name is in take no memory.
struct name_table {
  static constexpr std::size_t chains = 65536, locks = 64;

  name_entry* first[chains];
  leaf_spin_lock lock[locks];  // of each chain whose number has this remainder
};

}  // namespace ringo::detail

extern constinit ringo::detail::name_table ringo_names;
