// The parts of the standard library that the headers need, and no more. In libstdc++ <memory>, <functional>, <chrono>
// and <ranges> include streams, hash tables, calendars and views, for which every file that includes ringo would pay;
// the parts that are needed here stand in headers of their own. These are libstdc++'s insides, so they are included
// only in the releases whose files are known; any other library's headers are included whole.
#pragma once
#include <iterator>  // which bits/ranges_base.h needs
#include <utility>

#if defined(_GLIBCXX_RELEASE) && _GLIBCXX_RELEASE >= 12 && _GLIBCXX_RELEASE <= 14
#include <bits/chrono.h>
#include <bits/invoke.h>
#include <bits/ranges_base.h>
#include <bits/shared_ptr.h>
#include <bits/std_function.h>
#include <bits/unique_ptr.h>

namespace ringo::detail {
template <class F, class... A>
decltype(auto) invoke(F&& f, A&&... args) {
  return std::__invoke(std::forward<F>(f), std::forward<A>(args)...);
}
}  // namespace ringo::detail
#else
#include <chrono>
#include <functional>
#include <memory>
#include <ranges>

namespace ringo::detail {
using std::invoke;
}
#endif
