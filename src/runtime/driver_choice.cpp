#include "runtime/driver_choice.hpp"

#include <cerrno>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "driver/epoll.hpp"
#ifndef RINGO_WITHOUT_URING
#include "driver/uring.hpp"
#endif
#include "platform/environment_variable.hpp"

namespace ringo::detail {
namespace {

#ifdef RINGO_WITHOUT_URING
constexpr bool has_uring = false;
std::unique_ptr<driver> make_uring(unsigned) {
  throw std::system_error(ENOSYS, std::generic_category(),
                          "ringo: this library was built without io_uring (RINGO_URING=OFF)");
}
#else
constexpr bool has_uring = true;
#endif

ringo::driver wanted_kind(const runtime_options& o) {
  if (o.driver != ringo::driver::automatic) return o.driver;
  const std::string_view name = environment_variable("RINGO_DRIVER");
  if (name == "io_uring") return ringo::driver::io_uring;
  if (name == "epoll") return ringo::driver::epoll;
  if (name.empty() || name == "automatic") return ringo::driver::automatic;
  throw std::invalid_argument("ringo: RINGO_DRIVER in the environment is \"" + std::string(name) +
                              "\": automatic, io_uring and epoll are allowed");
}

// Whether epoll may do where io_uring was refused with this error: it is forbidden, is not there, lacks what ringo
// needs, or got no memory (rings count against RLIMIT_MEMLOCK in some kernels).
bool epoll_may_do(const std::error_code& refused) {
  for (const int each : {EPERM, EACCES, ENOSYS, EINVAL, ENOMEM}) {
    if (refused == std::error_code(each, std::generic_category())) return true;
  }
  return false;
}

// A refusal's text begins with the cause; the remedies are further sentences.
std::string cause_of(const std::system_error& refused) {
  std::string_view text = refused.what();
  if (constexpr std::string_view us = "ringo: "; text.starts_with(us)) text.remove_prefix(us.size());
  return std::string(text.substr(0, text.find(". ")));
}

template <class Make>
std::vector<std::unique_ptr<driver>> make_each(unsigned number, Make make) {
  std::vector<std::unique_ptr<driver>> made;
  for (; number != 0; --number) made.push_back(make());
  return made;
}

}  // namespace

chosen_drivers choose_drivers(const runtime_options& o, unsigned workers) {
  using kind = ringo::driver;
  chosen_drivers choice;
  const kind wanted = wanted_kind(o);
  if (wanted == kind::io_uring || (wanted == kind::automatic && has_uring)) {
    try {
      choice.drivers = make_each(workers, [&] { return make_uring(o.ring_entries); });
      choice.kind = kind::io_uring;
      return choice;
    } catch (const std::system_error& refused) {
      if (wanted == kind::io_uring || !epoll_may_do(refused.code())) throw;
      choice.warning = "this runtime uses epoll, since " + cause_of(refused);
    }
  }
  choice.drivers = make_each(workers, [] { return make_epoll(); });
  choice.kind = kind::epoll;
  return choice;
}

}  // namespace ringo::detail
