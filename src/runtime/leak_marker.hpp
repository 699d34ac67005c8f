// Marks the memory that a search for leaks reaches (leak_search.cpp says from where).
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <ringo/detail/context_core.hpp>
#include <ringo/detail/routine.hpp>

#include "platform/heap_map.hpp"

namespace ringo::detail {

// The search's own memory may be a mapping of its own, and so a root. So it keeps addresses as their complements.
enum class hidden : std::uintptr_t {};
inline hidden hide(std::uintptr_t address) noexcept { return hidden{~address}; }
inline hidden hide(const void* address) noexcept { return hide(reinterpret_cast<std::uintptr_t>(address)); }
inline std::uintptr_t address_of(hidden h) noexcept { return ~static_cast<std::uintptr_t>(h); }

// Marks blocks, and what they refer to.
class marker {
 public:
  // `blind` is memory that is not read, in ascending order.
  marker(const heap_map& map, const std::vector<memory_range>& blind)
      : map_(map), blind_(blind), marked_((map.indices() + 63) / 64), words_(words_at_once) {}
  // Does not go where `before` has been.
  explicit marker(const marker& before)
      : map_(before.map_),
        blind_(before.blind_),
        before_(&before),
        marked_(before.marked_.size()),
        words_(words_at_once),
        records_(before.records_),
        contexts_(before.contexts_),
        leaves_out_cancellation_(before.leaves_out_cancellation_) {}
  marker& operator=(const marker&) = delete;

  bool has(std::uintptr_t address) const noexcept {
    const auto block = map_.block_at(address);
    return !block || is_marked(block->index);  // what is in no block is a root
  }
  bool is_marked(std::size_t index) const noexcept { return (marked_[index / 64] >> index % 64 & 1) != 0; }
  void mark(std::uintptr_t address) {
    const auto block = map_.block_at(address);
    if (!block || is_marked(block->index) || (before_ != nullptr && before_->is_marked(block->index))) return;
    marked_[block->index / 64] |= std::uint64_t{1} << block->index % 64;
    pending_.push_back(hide(block->begin));
  }
  void add_record(const routine& r) { records_.insert(hide(&r)); }
  // From now on, no pointer is followed by which a context's cancellation finds the contexts and routines below it.
  // Each such context is to be added.
  void leave_out_cancellation() noexcept { leaves_out_cancellation_ = true; }
  void add_context(const context_core& c) {
    if (const auto block = map_.block_at(reinterpret_cast<std::uintptr_t>(&c))) {
      contexts_.emplace(hide(block->begin), hide(&c));
    }
  }
  void mark_elsewhere();

  // Marks what the marked blocks refer to. Counts the words of these blocks that are keys of `counted`, as complements.
  void follow(std::unordered_map<std::uint64_t, std::size_t>* counted = nullptr);

 private:
  static constexpr std::size_t words_at_once = 8192;
  static constexpr std::uint64_t address_bits = (std::uint64_t{1} << 48) - 1;  // the rest may be the program's tag
  static constexpr std::size_t page = 4096;

  struct hidden_hash {
    std::size_t operator()(hidden h) const noexcept { return static_cast<std::size_t>(h) * 0x9e3779b97f4a7c15U >> 20; }
  };

  void read(std::span<const memory_range> ranges);
  void see(std::uintptr_t begin, std::span<const std::uint64_t> words);
  void mark_range(memory_range r, int pages);

  const heap_map& map_;
  const std::vector<memory_range>& blind_;
  const marker* before_ = nullptr;
  std::vector<std::uint64_t> marked_;
  std::vector<hidden> pending_;  // blocks that are marked and not yet read
  std::vector<std::uint64_t> words_;
  std::unordered_set<hidden, hidden_hash> records_;
  std::unordered_map<hidden, hidden, hidden_hash> contexts_;  // by the begin of their blocks
  bool leaves_out_cancellation_ = false;
  std::unordered_map<std::uint64_t, std::size_t>* counted_ = nullptr;
};

}  // namespace ringo::detail
