// The parts of the standard library that the headers need, and no more. In libstdc++ <memory>, <functional>, <chrono>
// and <ranges> include streams, hash tables, calendars and views, for which every file that includes ringo would pay;
// the parts that are needed here stand in headers of their own. Other libraries' headers are included whole.
#pragma once
#include <iterator>  // which bits/ranges_base.h needs
#include <utility>

#if __has_include(<bits/chrono.h>) && __has_include(<bits/invoke.h>) && __has_include(<bits/ranges_base.h>) && \
    __has_include(<bits/shared_ptr.h>) && __has_include(<bits/std_function.h>) && __has_include(<bits/unique_ptr.h>)
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
