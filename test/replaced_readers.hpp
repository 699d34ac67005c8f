// Reads a stream of numbered bytes by readers that are cancelled and replaced.
#pragma once
#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <ringo/ringo.hpp>

#include "dice.hpp"

// Until the end of the stream. read_some_time(from, progress, seed) reads until it is cancelled, or the stream has
// ended.
template <class Source>
ringo::task<> read_all_numbered(Source& from,
                                ringo::task<> (*read_some_time)(Source&, progress_of_reading&, std::uint64_t),
                                std::size_t size, std::uint64_t seed) {
  progress_of_reading p;
  dice d(seed);
  for (std::uint64_t turn = 0; !p.has_ended; ++turn) {
    auto reader = ringo::go(read_some_time, std::ref(from), std::ref(p), seed * 1000 + turn);
    auto first = co_await ringo::select(reader.wait(), ringo::sleep(std::chrono::microseconds(d.below(400))));
    if (first.index() == 1) {
      reader.cancel();
      co_await reader.wait();
    }
  }
  CHECK(p.is_right);
  CHECK(p.at == size);
}
