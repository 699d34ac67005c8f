// Posts: work that other threads hand to a runtime's workers.
#pragma once
#include <cstdint>

#include <ringo/detail/library.hpp>

namespace ringo::detail {

class worker;

// A post that needs no allocation: it is a node of the runtime's list.
struct posted {
  // Called on a worker of that runtime; with null if the runtime has ended, or if no runtime uses the post's object.
  // The post may be gone afterwards.
  virtual void deliver(worker* w) noexcept = 0;

  posted* next_posted = nullptr;

 protected:
  ~posted() = default;
};

// Hands the post to a runtime, whose workers deliver it soon. If the runtime ends before that, the thread that ends it
// delivers it, with null. False if the runtime had ended. Thread: any.
bool post(std::uint64_t runtime_id, posted& what) noexcept;
bool post(std::uint64_t runtime_id, std::function<void(worker*)> what);

}  // namespace ringo::detail
