#include <ringo/latch.hpp>

#include <limits>
#include <stdexcept>
#include <string>

namespace ringo {

namespace detail {

class latch_core final : public gate {
 public:
  explicit latch_core(std::size_t n) noexcept : count_(n) {}

  void count_down(std::size_t n) {
    worker* w = worker_or_unused("latch::count_down");
    enter(w, "latch::count_down");
    section_of here(*this, w);
    if (n > count_) {
      throw std::logic_error("ringo: latch::count_down by " + std::to_string(n) + " of a latch with a counter of " +
                             std::to_string(count_));
    }
    count_ -= n;
    if (count_ == 0) claim_all(here);
  }
  bool is_open() const noexcept override { return count_ == 0; }
  void describe(wait_report& text) const override { text.add(this, "latch"); }

 private:
  std::size_t count_;
};

}  // namespace detail

latch::latch(std::size_t n) {
  if (n > std::numeric_limits<std::size_t>::max() / 2)
    throw std::invalid_argument("ringo: a latch of " + std::to_string(n) + ": was it a negative number?");
  core_ = new detail::latch_core(n);
}

latch::latch(const detail::object_name& name, std::size_t n) : latch(n) { core_->set_name(name); }
latch::~latch() { detail::end_of(core_, std::size_t{1}); }
void latch::count_down(std::size_t n) { core_->count_down(n); }
detail::gate_operation latch::wait() noexcept { return detail::gate_operation(*core_); }

}  // namespace ringo
