// For the tests of the io_uring driver: the kinds of ring, and a descriptor that becomes ready.
#pragma once
#include <fcntl.h>
#include <unistd.h>

#include <stdexcept>
#include <string>

#include "driver/uring.hpp"

inline constexpr ringo::detail::task_work kinds[] = {
    ringo::detail::task_work::deferred, ringo::detail::task_work::cooperative, ringo::detail::task_work::eager};

inline bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

struct pipe_ends {
  int read_end, write_end;
  pipe_ends() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    read_end = ends[0];
    write_end = ends[1];
  }
  pipe_ends(const pipe_ends&) = delete;
  pipe_ends& operator=(const pipe_ends&) = delete;
  ~pipe_ends() {
    ::close(read_end);
    ::close(write_end);
  }
  void put(char byte) const {
    if (::write(write_end, &byte, 1) != 1) throw std::runtime_error("no byte written");
  }
};
