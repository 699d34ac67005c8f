#include <ringo/resolve.hpp>

#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <ringo/blocking.hpp>
#include <ringo/semaphore.hpp>

#include "net/socket_address.hpp"
#include "runtime/outside_error.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo {
namespace {

// The errors of getaddrinfo(3), with its texts, which say more than those of the equivalent std::errc.
class resolver_errors final : public std::error_category {
 public:
  const char* name() const noexcept override { return "getaddrinfo"; }
  std::string message(int error) const override { return ::gai_strerror(error); }
  std::error_condition default_error_condition(int error) const noexcept override {
    return std::make_error_condition(error == EAI_AGAIN    ? std::errc::resource_unavailable_try_again
                                     : error == EAI_MEMORY ? std::errc::not_enough_memory
                                                           : std::errc::address_not_available);
  }
};

std::error_code resolver_code(int error) noexcept {
  static const auto& category = *new resolver_errors;  // never destroyed: threads may run while the process exits
  return error == EAI_SYSTEM ? std::error_code(errno, std::generic_category()) : std::error_code(error, category);
}

// How many calls of a runtime may resolve names at the same time. Where no name server answers, such a call takes long,
// and the pool's other threads are for files.
semaphore& calls_of(detail::runtime_core& rt) {
  std::call_once(rt.resolver_made, [&rt] { rt.resolver = std::make_shared<semaphore>(64u); });
  return *static_cast<semaphore*>(rt.resolver.get());
}

// The call owns the permit, since it goes on after its waiter has gone.
std::vector<endpoint> ask_the_system(const std::string& host, std::uint16_t port, const semaphore::permit&) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> all(found, ::freeaddrinfo);
  if (error == 0) {
    std::vector<endpoint> endpoints;
    for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
      if (const endpoint e = detail::to_endpoint(each->ai_addr)) endpoints.push_back(e);
    }
    if (!endpoints.empty()) return endpoints;
  }
  throw std::system_error(resolver_code(error != 0 ? error : EAI_NODATA), "ringo: the address of \"" + host + '"');
}

// getaddrinfo(3) accepts 127.1 and 0x7f000001 as addresses, as inet_aton(3) does. Other programs read them differently
// or refuse them, which an attacker can use. No name of the DNS ends in a number.
bool ends_in_a_number(std::string_view host) noexcept {
  if (host.ends_with('.')) host.remove_suffix(1);
  const std::string_view last = host.substr(host.rfind('.') + 1);
  const auto all_of = [](std::string_view text, std::string_view these) {
    return text.find_first_not_of(these) == text.npos;
  };
  if (last.starts_with("0x") || last.starts_with("0X")) return all_of(last.substr(2), "0123456789abcdefABCDEF");
  return !last.empty() && all_of(last, "0123456789");
}

task<std::vector<endpoint>> resolve_by_system(std::string host, std::uint16_t port, std::source_location where) {
  if (const endpoint numeric = detail::numeric_endpoint(host, port)) co_return std::vector<endpoint>(1, numeric);
  detail::check_not_simulated("resolve of a name");
  if (ends_in_a_number(host)) {
    throw std::system_error(resolver_code(EAI_NONAME),
                            "ringo: the address of \"" + host + "\", which is neither a name nor four numbers");
  }
  auto acquiring = calls_of(detail::require_worker("resolve").runtime).acquire();
  semaphore::permit one = co_await detail::in_name_of(where, acquiring);
  auto asked = blocking(ask_the_system, std::move(host), port, std::move(one));
  co_return co_await detail::in_name_of(where, asked);
}

}  // namespace

detail::deferred_task<std::vector<endpoint>> resolve(std::string_view host, std::uint16_t port,
                                                     std::source_location where) {
  if (const std::size_t zero = host.find('\0'); zero != host.npos) {
    throw std::invalid_argument("ringo: resolve: \"" + std::string(host.substr(0, zero)) +
                                "\": a zero byte follows this");
  }
  return resolve_by_system(std::string(host), port, where);
}

}  // namespace ringo
