#include <ringo/event.hpp>

#include <atomic>
#include <cstdint>

#include <ringo/detail/foreign_threads.hpp>

namespace ringo {

namespace detail {

class event_core final : public gate {
 public:
  explicit event_core(bool is_set) noexcept : set_(is_set) {}

  void set() {
    owner.refuse_if_destroyed("event::set");
    if (worker* w = current_worker()) {
      enter(w, "event::set");
      section_of here(*this, w);
      return set_here(here);
    }
    setters_.fetch_add(1, std::memory_order_relaxed);
    try {
      do_where_used(owner, [this](worker* there) {
        section_of here(*this, there);
        set_here(here);
        setters_.fetch_sub(1, std::memory_order_relaxed);
      });
    } catch (...) {  // there was no memory to post it
      setters_.fetch_sub(1, std::memory_order_relaxed);
      throw;
    }
  }
  void reset() {
    worker* w = worker_or_unused("event::reset");
    enter(w, "event::reset");
    const section_of here(*this, w);
    set_.store(false, std::memory_order_relaxed);
  }
  bool is_open() const noexcept override { return set_.load(std::memory_order_acquire); }
  void describe(wait_report& text) const override { text.add(this, "event"); }
  bool unused() const noexcept override { return gate::unused() && setters_.load(std::memory_order_relaxed) == 0; }

 private:
  void set_here(section& in) noexcept {
    set_.store(true, std::memory_order_release);  // is_set(), without the lock, sees what came before
    claim_all(in);
  }

  std::atomic<bool> set_;
  std::atomic<std::uint32_t> setters_ = 0;  // calls of other threads that a worker has yet to do
};

}  // namespace detail

event::event(bool set) : core_(new detail::event_core(set)) {}
event::event(const detail::object_name& name, bool set) : event(set) { core_->set_name(name); }
event::~event() { detail::end_of(core_, false); }
void event::set() { core_->set(); }
void event::reset() { core_->reset(); }
bool event::is_set() const noexcept { return core_->is_open(); }
detail::gate_operation event::wait() noexcept { return detail::gate_operation(*core_); }

}  // namespace ringo
