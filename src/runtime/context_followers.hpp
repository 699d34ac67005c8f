// What follows a context's cancellation, besides routines, and the stop token that it follows.
#pragma once
#include <atomic>
#include <list>
#include <memory>
#include <optional>
#include <stop_token>

#include <ringo/detail/context_core.hpp>

namespace ringo::detail {

// A function that waits for its context's cancellation, as a routine that was not started.
struct context_core::after_call {
  explicit after_call(routine& r) noexcept : pending(&r) {}
  ~after_call() { stop(); }
  bool stop() noexcept;           // false if it was started or stopped before
  std::atomic<routine*> pending;  // null after that
  // Under the tree's lock: its place in its context's list, while it is there.
  std::optional<std::list<std::shared_ptr<after_call>>::iterator> place;
};

struct context_core::followers {
  struct on_stop {
    context_core* of;
    void operator()() const noexcept { of->stop_requested(); }
  };

  // Under the tree's lock.
  std::list<std::shared_ptr<after_call>> calls;
  std::optional<std::stop_source> stop;
  // Set before other threads know the context.
  std::optional<std::stop_callback<on_stop>> followed;
};

}  // namespace ringo::detail
