// How a routine ended: for tests that need no more than that.
#pragma once

#include <ringo/ringo.hpp>

enum class ending { returned, was_cancelled, failed };

// Joins the routine.
template <class T>
ringo::task<ending> ending_of(ringo::handle<T>& routine) {
  try {
    co_await routine.join();
  } catch (const ringo::cancelled&) {
    co_return ending::was_cancelled;
  } catch (...) {
    co_return ending::failed;
  }
  co_return ending::returned;
}
