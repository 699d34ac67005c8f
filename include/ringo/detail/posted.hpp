// What other threads hand to a runtime's workers.
#pragma once
#include <cstdint>
#include <functional>

namespace ringo::detail {

class worker;

// A post that needs no allocation: it is its own link in the runtime's list.
struct posted {
  // On a worker of that runtime. With null: the runtime has ended, or no runtime uses what the post is about. The post
  // may be gone afterwards.
  virtual void deliver(worker* w) noexcept = 0;

  posted* next_posted = nullptr;

 protected:
  ~posted() = default;
};

// Hands it to that runtime, whose workers deliver it soon; if the runtime ends before, the thread that ends it does,
// with null. False: it had ended. Any thread.
bool post(std::uint64_t runtime_id, posted& what) noexcept;
bool post(std::uint64_t runtime_id, std::function<void(worker*)> what);

}  // namespace ringo::detail
