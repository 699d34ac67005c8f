#pragma once
#include <ringo/ringo.hpp>

struct factor {
  int by;
};

// Multiplies by its context's factor.
ringo::task<> multiplier(ringo::receiver<int> in, ringo::sender<int> out);
