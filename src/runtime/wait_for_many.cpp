#include <ringo/detail/wait_for_many.hpp>

#include <algorithm>

namespace ringo::detail {

lock_set::lock_set(std::size_t places) {
  if (places <= usual) return;
  many_.resize(places);
  first_ = many_.data();
}

void lock_set::lock_each() noexcept {
  std::sort(first_, first_ + count_);
  count_ = static_cast<std::size_t>(std::unique(first_, first_ + count_) - first_);
  for (std::size_t i = 0; i < count_; ++i) first_[i]->lock();
}

}  // namespace ringo::detail
