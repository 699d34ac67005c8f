// A snapshot without the many routines that are like others: a program may have a million that wait at one place.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include <ringo/snapshot.hpp>

namespace ringo::detail {

struct thin_snapshot {
  struct left_out {
    std::uint32_t like;  // the number of one that is there
    std::size_t count;
  };
  snapshot left;
  std::vector<left_out> more;
};

// Leaves at most that many of those that wait at the same places for the same kind of object and were started at one
// place; besides all that hold something, are waited for or are in a cycle. Objects that no routine is left of go, too.
thin_snapshot thin_out(const snapshot& s, std::size_t most_alike);

}  // namespace ringo::detail
