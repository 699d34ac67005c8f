// Whether a ring's receives had better poll first.
#pragma once
#include <algorithm>

namespace ringo::detail {

// A receive that polls first saves the attempt if no bytes are there, and costs the poll if they are. So receives do
// not poll first while two of three are answered in the enter that submits them, as under load.
class first_polls {
 public:
  bool pay() const noexcept { return at_once_ <= 0; }
  // An enter has submitted `count` entries of the queue, and has not slept.
  void note_enter(unsigned first, unsigned count) noexcept {
    first_ = first;
    count_ = count;
  }
  // The receive in this entry was answered.
  void note_answer(unsigned entry) noexcept {
    at_once_ = entry - first_ < count_ ? std::min(at_once_ + 1, most_seen) : std::max(at_once_ - 2, -most_seen);
  }

 private:
  static constexpr int most_seen = 32;

  unsigned first_ = 0, count_ = 0;  // the entries of the last enter
  int at_once_ = 0;
};

}  // namespace ringo::detail
