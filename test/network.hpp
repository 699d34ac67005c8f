// For tests of the outside world: runs a program on real workers, and checks that it leaves no descriptor open.
#pragma once

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <ringo/ringo.hpp>
#include <string>
#include <utility>

#include "every_scheduler.hpp"
#include "process_counts.hpp"

// Runs it with one worker, with two and with four; afterwards this process has the descriptors that it had before.
template <class F>
void on_the_network(F make_main) {
  for (const unsigned workers : {1u, 2u, 4u}) {
    const auto before = open_descriptors();
    scheduler_under_test::real(workers).run(make_main);
    const auto after = open_descriptors();
    INFO(list_of_descriptors());
    CHECK(after == before);
  }
}

inline ringo::tcp_listener listen_locally(ringo::tcp_options o = {}) {
  return ringo::tcp_listener::bind("127.0.0.1:0", o);
}

// The two ends of a connection.
class connected {
 public:
  connected(ringo::tcp_stream a, ringo::tcp_stream b) : here(std::move(a)), there(std::move(b)) {}
  ringo::tcp_stream here, there;
};

inline ringo::task<connected> connect_pair(ringo::tcp_options o = {}) {
  ringo::tcp_listener listener = listen_locally(o);
  ringo::tcp_stream here = co_await ringo::tcp_stream::connect(listener.local(), o);
  ringo::tcp_stream there = co_await listener.accept();
  co_return connected(std::move(here), std::move(there));
}

// Resets the connection instead of ending it, when it is closed.
inline void reset_when_closed(const ringo::tcp_stream& s) {
  const linger at_once{1, 0};
  ::setsockopt(s.native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

// All until the end of the stream.
template <class Source>
ringo::task<std::string> read_all(Source& from) {
  std::string all;
  while (auto some = co_await from.recv()) all += some->text();
  co_return all;
}
