// Which runtime an object belongs to: the first that uses it, until that one ends.
#pragma once
#include <atomic>
#include <cstdint>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/current_worker.hpp>
#include <ringo/detail/destroyed.hpp>

namespace ringo::detail {

class ownership {
 public:
  ownership() noexcept : owner_(current_worker() ? current_worker()->runtime_id : 0) {}

  // Makes the object the runtime's; throws std::logic_error if it is another's that runs. w is null where no runtime
  // runs.
  RINGO_ALWAYS_INLINE void enter(const worker* w, const char* call) {
    if (w != nullptr && owner_.load(std::memory_order_relaxed) != w->runtime_id) [[unlikely]]
      change(*w, call);
  }
  // Whether it is the worker's runtime's, and that has no other worker.
  RINGO_ALWAYS_INLINE bool is_of_lone(const worker& w) const noexcept {
    return owner_.load(std::memory_order_relaxed) == w.lone_id;
  }
  // At the end of the object's destructor: every enter() from now on throws std::logic_error.
  void mark_destroyed() noexcept {
    owner_.store(destroyed, std::memory_order_relaxed);
    keep_mark(owner_);
  }
  void refuse_if_destroyed(const char* call) const {  // where enter() does not come first
    if (runtime_id() == destroyed) [[unlikely]]
      throw_used_after_end(call);
  }
  std::uint64_t runtime_id() const noexcept { return owner_.load(std::memory_order_acquire); }  // 0: none yet

 private:
  static constexpr std::uint64_t destroyed = ~std::uint64_t{0} - 1;  // no runtime's, and none's lone_id

  [[gnu::cold]] void change(const worker& w, const char* call);

  std::atomic<std::uint64_t> owner_;
};

}  // namespace ringo::detail
