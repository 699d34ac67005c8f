#include <ringo/chunk.hpp>

#include <utility>

#include "io/passed_descriptors.hpp"
#include "runtime/scheduler.hpp"

namespace ringo::detail {

std::span<const std::byte> bytes_of(const buffer& b) noexcept {
  return {const_cast<buffer&>(b).bytes() + b.begin, b.end - b.begin};
}

void give_back(buffer& b) noexcept {
  if (b.passed != nullptr) [[unlikely]]
    delete std::exchange(b.passed, nullptr);
  worker* w = current_worker();
  w != nullptr ? scheduler_of(*w).driver_->buffers.give_back(b) : buffer_pool::free(b);
}

}  // namespace ringo::detail
