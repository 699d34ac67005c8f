// For the tests of the drivers: the kinds of ring, a request that notes its answer, and a descriptor that becomes
// ready.
#pragma once
#include <fcntl.h>
#include <unistd.h>

#include <climits>
#include <cstddef>
#include <functional>
#include <stdexcept>
#include <string>

#include "driver/uring.hpp"

inline constexpr ringo::detail::task_work kinds[] = {ringo::detail::task_work::deferred,
                                                     ringo::detail::task_work::cooperative};

inline bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Asks for what `call` says, and notes the answer.
struct asked final : ringo::detail::kernel_request {
  ringo::detail::kernel_call call;
  int fills = 0, answers = 0;
  int result = INT_MIN;
  bool more_is_there = false;
  ringo::detail::buffer* filled = nullptr;
  std::function<void()> then;  // called when the answer has been noted

  bool is_over() const noexcept { return answers != 0; }
  void fill(ringo::detail::kernel_call& c) noexcept override {
    ++fills;
    c = call;
    c.can_ask_again = call.is_of_socket();  // nothing changes it until its answer
  }
  void complete(const ringo::detail::kernel_answer& answer) noexcept override {
    ++answers;
    result = answer.result;
    more_is_there = answer.more_is_there;
    filled = answer.filled;
    if (then) then();
  }
};

// Submits what `set` asks for.
template <class Set>
void ask(ringo::detail::driver& in, asked& r, Set set) {
  set(r.call);
  const int answers = r.answers, fills = r.fills;
  in.submit(r);
  if (r.answers != answers) throw std::logic_error("answered inside submit()");
  if (r.fills != fills + 1) throw std::logic_error("not asked once inside submit()");
}
inline void end_early(ringo::detail::driver& in, asked& r) {
  const int before = r.answers;
  in.end_early(r);
  if (r.answers != before) throw std::logic_error("answered inside end_early()");
}

inline void ask_nothing(ringo::detail::driver& in, asked& r) {
  ask(in, r, [](auto& call) { call.set_nothing(); });
}
inline void ask_to_read(ringo::detail::driver& in, asked& r, int descriptor, void* into, std::size_t length = 1) {
  ask(in, r, [&](auto& call) { call.set_read(descriptor, into, length, call.current_position); });
}
inline void ask_to_poll(ringo::detail::driver& in, asked& r, int descriptor, short events) {
  ask(in, r, [&](auto& call) { call.set_poll(descriptor, events); });
}

inline void poll_until_over(ringo::detail::driver& in, const asked& r) {
  while (!r.is_over()) in.poll(ringo::time_point::max());
}
// Asks for one call, and sleeps until its answer.
template <class Set>
int answer_of(ringo::detail::driver& in, Set set) {
  asked r;
  ask(in, r, set);
  poll_until_over(in, r);
  in.poll(ringo::time_point::min());
  return r.answers == 1 ? r.result : INT_MIN;
}
inline void poll_until_idle(ringo::detail::driver& in) {
  while (in.in_flight() != 0) in.poll(ringo::time_point::max());
}

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
