// The decisions that a simulation makes; in a real runtime, which has no such object, threads and the kernel make them.
#pragma once
#include <cstdint>

namespace ringo::detail {

class event_clock;
class runtime_core;

class choices {
 public:
  virtual void run(runtime_core& rt) = 0;             // in place of the workers' threads, until the runtime ends
  virtual std::uint32_t choose(std::uint32_t n) = 0;  // below n
  virtual std::uint32_t wanted_routine() const noexcept = 0;  // the number of the one to run if it is ready; 0: any
  virtual bool fails_allocation() noexcept = 0;               // whether the next one fails
  virtual bool in_blocking_call() const noexcept = 0;
  virtual const event_clock& clock() const noexcept = 0;  // the virtual time
  virtual void main_ends(runtime_core& rt) = 0;
  virtual void main_is_gone(runtime_core& rt) = 0;  // its frames have been destroyed
  // An await has ended with an exception, and the routine has caught it before and gone on.
  virtual void note_stubborn_await() noexcept = 0;

 protected:
  ~choices() = default;
};

}  // namespace ringo::detail
