#include <ringo/detail/source_core.hpp>

#include <ringo/detail/foreign_threads.hpp>

namespace ringo::detail {

void source_core::orphan() noexcept {
  worker* w = current_worker();
  if (used_by(w)) return orphan_here(w);
  do_where_used(owner, [this](worker* there) { orphan_here(there); });
}

void source_core::orphan_here(worker* w) noexcept {
  const bool shared = w != nullptr && w->shared;
  routine_list woken;
  bool last;
  {
    const optional_guard guard(lock, shared);
    orphaned_.store(true, std::memory_order_relaxed);
    for (wait_queue* each : {&queue_, &apart_}) {
      while (waiter* waiting = each->front()) {
        // Where no worker is, their runtime has ended: nobody can make them ready.
        if (w != nullptr && waiting->who->claim(shared)) {
          each->remove(*waiting);
          waiting->state = progress::orphaned;  // its routine finds nothing to take out
          woken.push_back(*waiting->who);
        } else {
          detach(*each, *waiting);
        }
      }
    }
    last = unused();
  }
  if (!woken.empty()) w->make_ready(woken);
  if (last) delete this;
}

void source_core::retain() noexcept {
  const worker* w = current_worker();
  const optional_guard guard(lock, w == nullptr || w->shared);
  ++holds_;
}

void source_core::let_go() noexcept {
  worker* w = current_worker();
  if (used_by(w)) return let_go_here(w);
  do_where_used(owner, [this](worker* there) { let_go_here(there); });
}

void source_core::let_go_here(worker* w) noexcept {
  bool last;
  {
    const optional_guard guard(lock, w != nullptr && w->shared);
    --holds_;
    last = unused();
  }
  if (last) delete this;
}

}  // namespace ringo::detail
