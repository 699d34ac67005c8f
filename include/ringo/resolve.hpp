// resolve: the addresses of a host's name.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <ringo/detail/awaited.hpp>
#include <ringo/endpoint.hpp>
#include <ringo/task.hpp>

namespace ringo {

// In the order in which they are best tried (RFC 6724); never empty. A numeric address is its own; for a name the
// system is asked (getaddrinfo(3)), on a thread of blocking()'s pool, of which names use at
// most 64 at once, so that files are not held up by a name server that does not answer. Throws std::system_error that
// names the host and says what is wrong: no such name (std::errc::address_not_available; so is what ends in a number
// and is no address, as 127.1 is), or no answer (std::errc::resource_unavailable_try_again).
detail::deferred_task<std::vector<endpoint>> resolve(std::string_view host, std::uint16_t port,
                                                     std::source_location where = std::source_location::current());

}  // namespace ringo
