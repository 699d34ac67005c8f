// An open file: its life and its name. What is done with it is asked for by records of their own (one_shot.hpp),
// which keep a handle; the descriptor is closed when none of them is in flight, so that no number is used that may have
// become another's.
#pragma once
#include <cstdint>
#include <string>

#include <ringo/file.hpp>

#include "io/one_shot.hpp"
#include "net/descriptor_core.hpp"

namespace ringo::detail {

class file_core final : public descriptor_core {
 public:
  file_core(int descriptor, std::string path) noexcept : descriptor_core(descriptor), path_(std::move(path)) {}

  const std::string& path() const noexcept { return path_; }
  std::string name() const override { return path_; }

  // Under the lock: a call begins; false: the file is closed. And a call that has begun has ended.
  bool begin_call() noexcept {
    if (is_open()) ++calls_;
    return is_open();
  }
  void end_call(worker& w) noexcept {
    --calls_;
    settle(w);  // to be deleted it is not: the call has a handle
  }

 private:
  bool stop(worker*) noexcept override { return false; }  // what has been begun goes on to its end
  bool quiet() const noexcept override { return calls_ == 0; }

  std::uint32_t calls_ = 0;  // in flight
  const std::string path_;
};

// Takes the descriptor, also where it throws std::bad_alloc.
file_handle make_file(int descriptor, std::string path);

}  // namespace ringo::detail
