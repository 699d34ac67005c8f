// The functions and stop tokens that wait for a context's cancellation.
#include <utility>

#include <ringo/context.hpp>
#include <ringo/detail/started.hpp>

#include "runtime/context_followers.hpp"

namespace ringo::detail {

bool context_core::after_call::stop() noexcept {
  // acq_rel: whichever of stop() and start_calls() has the routine sees all that was done with it before.
  routine* r = pending.exchange(nullptr, std::memory_order_acq_rel);
  if (r != nullptr) r->release();
  return r != nullptr;
}

context_core::followers& context_core::with_followers(worker* w) {
  {
    const auto here = locked(w);
    if (followers_) return *followers_;
  }
  owned<followers> made(new followers);
  const auto here = locked(w);
  if (!followers_) followers_.swap(made);
  return *followers_;
}

std::function<bool()> context_core::call_after(worker* w, routine& r) {
  std::list<std::shared_ptr<after_call>> one;
  try {
    one.push_back(std::make_shared<after_call>(r));
  } catch (...) {
    r.release();
    throw;
  }
  const auto call = one.front();
  enter(w, "context::after_func");
  retain();
  std::function<bool()> stop = [of = context_access::adopt(this), call] {
    return context_access::core(of)->stop_call(*call);
  };
  auto& calls = with_followers(w).calls;
  {
    const auto here = locked(w);
    call->place = one.begin();
    calls.splice(calls.end(), one);
  }
  if (is_cancelled()) {
    if (w != nullptr) {
      start_calls(*w);
    } else {
      calls_pending_.store(true, std::memory_order_relaxed);
    }
  }
  return stop;
}

std::function<bool()> context_core::call_never(routine& r) {
  const auto never = std::make_shared<after_call>(r);
  return [never] { return never->stop(); };
}

bool context_core::stop_call(after_call& c) {
  worker* w = worker_or_unused("the stop function of context::after_func");
  enter(w, "the stop function of context::after_func");
  std::list<std::shared_ptr<after_call>> stopped;
  {
    const auto here = locked(w);
    if (c.place) stopped.splice(stopped.end(), followers_->calls, *std::exchange(c.place, std::nullopt));
  }
  return c.stop();
}

void context_core::start_calls(worker& w) noexcept {
  for (;;) {
    std::list<std::shared_ptr<after_call>> next;
    routine* r;
    {
      const auto here = locked(&w);
      if (!has_calls()) return;
      next.splice(next.end(), followers_->calls, followers_->calls.begin());
      next.front()->place.reset();
      r = next.front()->pending.exchange(nullptr, std::memory_order_acq_rel);
    }
    if (r != nullptr) start_in(w, *r, nullptr, r->started);
  }
}

std::stop_token context_core::stop_token() {
  worker* w = worker_or_unused("context::stop_token");
  enter(w, "context::stop_token");
  std::stop_source source;
  auto& stop = with_followers(w).stop;
  {
    const auto here = locked(w);
    if (!stop) stop = source;
    source = *stop;
  }
  if (is_cancelled()) source.request_stop();  // an earlier cancellation has not seen the source
  return source.get_token();
}

void context_core::follow(std::stop_token token) {
  with_followers(current_worker()).followed.emplace(std::move(token), followers::on_stop{this});
}

void context_core::stop_requested() noexcept {
  if (!try_retain()) return;
  const context self = context_access::adopt(this);
  worker* w = current_worker();
  w != nullptr && w->runtime_id == owner().runtime_id() ? cancel(w, nullptr) : cancel_from_outside(nullptr);
}

}  // namespace ringo::detail
