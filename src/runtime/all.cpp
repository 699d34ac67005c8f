#include <ringo/all.hpp>

namespace ringo {
namespace {

task<> await_each(std::vector<task<>> tasks, std::source_location where) {
  task<std::vector<std::monostate>> results = detail::await_each(std::move(tasks), where);
  co_await std::move(results);
}

}  // namespace

detail::deferred_task<void> all(std::vector<task<>>&& tasks, std::source_location where) {
  return await_each(std::move(tasks), where);
}

}  // namespace ringo
