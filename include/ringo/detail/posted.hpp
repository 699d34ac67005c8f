// What a worker is handed without an allocation: it is its own link in the runtime's list.
#pragma once
#include <cstdint>

namespace ringo::detail {

class worker;
class ownership;

struct posted {
  // On a worker of that runtime, or with null where it has ended, or where no runtime uses what this is about. It may
  // be gone afterwards.
  virtual void deliver(worker* w) noexcept = 0;

  posted* next_posted = nullptr;

 protected:
  ~posted() = default;
};

// Hands it to that runtime; false if there is none any more. Any thread.
bool post(std::uint64_t runtime_id, posted& what) noexcept;

// As do_where_used() (bridge.hpp). Any thread.
void deliver_where_used(const ownership& of, posted& what) noexcept;

}  // namespace ringo::detail
