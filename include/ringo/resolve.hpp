// resolve: the addresses of a host's name.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstdint>
#include <source_location>
#include <string_view>
#include <vector>

#include <ringo/detail/awaited.hpp>
#include <ringo/endpoint.hpp>
#include <ringo/task.hpp>

namespace ringo {

/// The addresses in the order in which they are best tried (RFC 6724); at least one. A numeric address yields itself.
/// For a name a thread of blocking()'s pool asks the system (getaddrinfo(3)); names use at most 64 of those threads, so
/// that a name server which does not answer does not hold up files. A plain task: a select that it loses cancels and
/// joins it.
///
///     const std::vector<endpoint> all = co_await ringo::resolve("example.org", 80);
///
/// Throws: cancelled; std::system_error that names the host: there is no such name (std::errc::address_not_available;
/// also for a host that ends in a number and is no address, such as 127.1), or there was no answer
/// (std::errc::resource_unavailable_try_again); std::invalid_argument at the call for a zero byte. Cancel safety: the
/// thread that asks goes on alone. Thread: workers.
detail::deferred_task<std::vector<endpoint>> resolve(std::string_view host, std::uint16_t port,
                                                     std::source_location where = std::source_location::current());

}  // namespace ringo
