// What a simulation decides where a real runtime lets threads and the kernel decide. A real runtime has none.
#pragma once
#include <cstdint>

namespace ringo::detail {

class runtime_core;

class choices {
 public:
  virtual void run(runtime_core& rt) = 0;             // in place of the workers' threads, until the runtime is done
  virtual std::uint32_t choose(std::uint32_t n) = 0;  // below n
  virtual bool fails_allocation() noexcept = 0;       // the next one
  virtual bool in_blocking_call() const noexcept = 0;
  virtual void main_ends(runtime_core& rt) = 0;
  // An await has ended with an exception in a routine that catches it and goes on.
  virtual void note_stubborn_await() noexcept = 0;

 protected:
  ~choices() = default;
};

}  // namespace ringo::detail
