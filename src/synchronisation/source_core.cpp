#include <ringo/detail/source_core.hpp>

#include <ringo/detail/foreign_threads.hpp>

namespace ringo::detail {

void source_core::orphan() noexcept {
  worker* w = current_worker();
  if (used_by(w)) return orphan_here(w);
  do_where_used(owner, [this](worker* there) { orphan_here(there); });
}

void source_core::orphan_here(worker* w) noexcept {
  section_of here(*this, w);
  orphaned_.store(true, std::memory_order_relaxed);
  for (wait_queue* each : {&queue_, &apart_}) {
    while (waiter* waiting = each->front()) {
      // Without a worker no routine can go on: its runtime has ended.
      if (w != nullptr && waiting->who->claim(here.shared())) {
        each->remove(*waiting);
        here.wake(*waiting, progress::orphaned);  // its routine finds nothing to take out
      } else {
        detach(*each, *waiting);
      }
    }
  }
}

void source_core::retain() noexcept {
  const section_of here(*this);
  ++holds_;
}

void source_core::let_go() noexcept {
  worker* w = current_worker();
  if (used_by(w)) return let_go_here(w);
  do_where_used(owner, [this](worker* there) { let_go_here(there); });
}

void source_core::let_go_here(worker* w) noexcept {
  const section_of here(*this, w);
  --holds_;
}

}  // namespace ringo::detail
