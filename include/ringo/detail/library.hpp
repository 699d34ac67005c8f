// The parts of the standard library that the headers need, and no more. In libstdc++ <functional>, <chrono>, <ranges>
// and <stop_token> include hash tables, calendars, views and threads, for which every file that includes ringo would
// pay; the parts that ringo needs stand in headers of their own, and of stop_token it needs only the name. These
// headers are libstdc++'s insides, so this file includes them only in the releases whose files are known; of any other
// library it includes the public headers whole.
#pragma once
#include <iterator>  // which bits/ranges_base.h needs
#include <utility>

#if defined(_GLIBCXX_RELEASE) && _GLIBCXX_RELEASE >= 12 && _GLIBCXX_RELEASE <= 14
#include <bits/chrono.h>
#include <bits/invoke.h>
#include <bits/ranges_base.h>
#include <bits/std_function.h>

namespace std {
class stop_token;
}

namespace ringo::detail {
template <class F, class... A>
decltype(auto) invoke(F&& f, A&&... args) {
  return std::__invoke(std::forward<F>(f), std::forward<A>(args)...);
}
}  // namespace ringo::detail
#else
#include <chrono>
#include <functional>
#include <ranges>
#include <stop_token>

namespace ringo::detail {
using std::invoke;
}
#endif
