// An open file: its life and its name. Each call of it is a one-shot (file_call.hpp), which has a handle. The
// descriptor is closed when no call is in flight, so that no call uses a number that may be another file's by then.
#pragma once
#include <cstdint>
#include <string>

#include <ringo/file.hpp>

#include "io/descriptor_core.hpp"
#include "io/one_shot.hpp"

namespace ringo::detail {

class file_core final : public descriptor_core {
 public:
  file_core(int descriptor, std::string path) noexcept
      : descriptor_core(descriptor, detail::waits_when_ready(descriptor)), path_(std::move(path)) {}

  const std::string& path() const noexcept { return path_; }
  bool waits_when_ready() const noexcept { return waits_when_ready_; }
  std::string name() const override { return path_; }

  // Under the lock: a call begins (false: the file is closed), and ends.
  bool begin_call() noexcept {
    if (is_open()) ++calls_;
    return is_open();
  }
  void end_call(worker& w) noexcept {
    --calls_;
    settle(w);  // it is not deleted: the call has a handle
  }

 private:
  bool stop(worker*) noexcept override { return false; }  // calls in flight go on to their end
  bool quiet() const noexcept override { return calls_ == 0; }
  void check() const override {
    descriptor_core::check();
    invariant(calls_ == 0 || !is_closed(), "a file is not closed while a call is in flight");
  }

  std::uint32_t calls_ = 0;  // in flight
  const std::string path_;
};

// Takes the descriptor, also where it throws std::bad_alloc.
file_handle make_file(int descriptor, std::string path);

}  // namespace ringo::detail
