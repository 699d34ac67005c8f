// The memory of this process: the blocks that malloc has given out, and everything else that may hold a pointer.
//
// C++ has no list of heap blocks, so this walks the heaps of glibc's malloc, in which each chunk has a header with its
// size. A heap counts as known only if the walk is consistent from its first chunk to its end: sizes, flags and the
// sizes behind free chunks. All other memory is in `elsewhere()`, also the heaps of other allocators and blocks that
// malloc has mapped alone. A search that starts from all of `elsewhere()` therefore finds too much there, never too
// little.
//
// Other threads may use malloc meanwhile. The kernel copies what is read (own_memory.hpp), so that is no fault, but a
// heap that changes during the walk may look inconsistent, or be described as it was a moment ago.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "platform/own_memory.hpp"

namespace ringo::detail {

// Zeroed memory that does not come from malloc, so that to use it does not change the heaps.
class own_pages {
 public:
  own_pages() = default;
  explicit own_pages(std::size_t words);  // throws std::bad_alloc
  own_pages(own_pages&& from) noexcept : words_(std::exchange(from.words_, {})) {}
  own_pages& operator=(own_pages&& from) noexcept {
    std::swap(words_, from.words_);
    return *this;
  }
  ~own_pages();
  std::span<std::uint64_t> words() const noexcept { return words_; }
  memory_range range() const noexcept;

 private:
  std::span<std::uint64_t> words_;
};

class heap_map {
 public:
  // Throws: std::bad_alloc.
  heap_map();

  // Whether malloc is glibc's, as far as can be told: blocks that it has just given out are found.
  bool is_known() const noexcept { return is_known_; }

  struct block : memory_range {
    std::size_t index;  // below indices()
  };
  // The block that contains the address; none if it is in no known heap, or free.
  std::optional<block> block_at(std::uintptr_t address) const noexcept;
  void leave_out_block(std::uintptr_t begin) noexcept;  // it is free, although malloc has given it out
  std::size_t indices() const noexcept { return words_ * 64; }

  // All memory that may hold a pointer and is in no known heap, in ascending order.
  const std::vector<memory_range>& elsewhere() const noexcept { return elsewhere_; }

 private:
  struct heap : memory_range {    // from the first chunk to the end of the last
    std::size_t first_index = 0;  // of its chunks: one for each 16 bytes
  };
  struct mapping : memory_range {
    enum class kind : std::uint8_t { heap, anonymous, file, other } is = kind::other;
  };
  class walker;

  static std::vector<mapping> mappings();
  void walk(walker& walks);
  void add_thread_heaps(const mapping& in, bool first_of_arena, walker& walks);
  bool add_heap(memory_range of, bool of_thread, walker& walks);
  void leave_out(memory_range taken);
  void leave_out_main_arena(const std::vector<mapping>& all, std::uintptr_t top);

  std::vector<heap> heaps_;  // by address
  // A bit for each 16 bytes of the heaps: a chunk begins there; it is in use.
  own_pages bits_;
  std::span<std::uint64_t> starts_, used_;
  std::size_t words_ = 0;  // how many of each are in use
  std::vector<memory_range> elsewhere_;
  bool is_known_ = false;
};

}  // namespace ringo::detail
