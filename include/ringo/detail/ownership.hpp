// The owner of an object: the first runtime that uses it, until that runtime ends.
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

  // Makes the worker's runtime the owner. Throws std::logic_error if another one is and runs. w: null if none runs.
  RINGO_ALWAYS_INLINE void enter(const worker* w, const char* call) {
    if (w != nullptr && owner_.load(std::memory_order_relaxed) != w->runtime_id) [[unlikely]]
      change(*w, call);
  }
  bool is_of(const worker& w) const noexcept { return owner_.load(std::memory_order_relaxed) == w.runtime_id; }
  // Whether the worker's runtime is the owner, and has one worker only.
  RINGO_ALWAYS_INLINE bool is_of_lone(const worker& w) const noexcept {
    return owner_.load(std::memory_order_relaxed) == w.lone_id;
  }
  // Called at the end of the object's destructor: each later enter() throws std::logic_error.
  void mark_destroyed() noexcept {
    owner_.store(destroyed, std::memory_order_relaxed);
    keep_mark(owner_);
  }
  void refuse_if_destroyed(const char* call) const {  // for calls without enter()
    if (runtime_id() == destroyed) [[unlikely]]
      throw_used_after_end(call);
  }
  std::uint64_t runtime_id() const noexcept { return owner_.load(std::memory_order_acquire); }  // 0: none yet

 private:
  static constexpr std::uint64_t destroyed = ~std::uint64_t{0} - 1;  // not the id of a runtime, nor a lone_id

  [[gnu::cold]] void change(const worker& w, const char* call);

  std::atomic<std::uint64_t> owner_;
};

}  // namespace ringo::detail
