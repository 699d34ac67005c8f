#include <ringo/context.hpp>

#include <stdexcept>
#include <stop_token>
#include <utility>

namespace ringo {

context context::current() noexcept {
  detail::context_core* c = detail::current_context_core();
  if (c) c->retain();
  return context(c);
}

context context::derive(const context& parent, bool follows, time_point deadline, const char* call) {
  detail::worker* w = detail::worker_or_unused(call);
  context child(new detail::context_core(parent.core_, follows, deadline));
  child.core_->join_tree(w, call);
  return child;
}

context context::with_cancel(const context& parent) {
  return derive(parent, true, time_point::max(), "context::with_cancel");
}

context context::with_timeout(const context& parent, delay length) {
  const time_point start = now();
  const bool endless = length.value() > time_point::max() - start;
  return derive(parent, true, endless ? time_point::max() : start + length.value(), "context::with_timeout");
}

context context::with_deadline(const context& parent, time_point deadline) {
  return derive(parent, true, deadline, "context::with_deadline");
}

context context::without_cancel(const context& parent) {
  return derive(parent, false, time_point::max(), "context::without_cancel");
}

context context::from(std::stop_token token, const context& parent) {
  context child = derive(parent, true, time_point::max(), "context::from");
  child.core_->follow(std::move(token));
  return child;
}

std::stop_token context::stop_token() const { return core_ ? core_->stop_token() : std::stop_token(); }

void context::cancel(std::exception_ptr cause) const {
  if (!core_) {
    throw std::logic_error(
        "ringo: context::cancel of the background context, which never ends: cancel one made by context::with_cancel");
  }
  detail::worker* w = detail::current_worker();
  if (w != nullptr) {
    core_->enter(w, "context::cancel");
    return core_->cancel(w, cause);
  }
  detail::refuse_in_forked_child("context::cancel");
  core_->cancel_from_outside(cause);
}

context named(const std::string& name, context of) {
  if (!of.core_) throw std::logic_error("ringo: named() of the background context, which all routines share");
  of.core_->set_name(name);
  return of;
}

cancel_guard::cancel_guard(context c) : of_(std::move(c)) {
  if (of_ == context::background())
    throw std::logic_error("ringo: a cancel_guard of the background context, which never ends");
}

std::function<bool()> context::call_after(detail::worker* w, detail::routine& r) const {
  return core_ ? core_->call_after(w, r) : detail::context_core::call_never(r);
}

}  // namespace ringo
