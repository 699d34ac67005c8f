#include <ringo/all.hpp>

namespace ringo {
namespace {

task<> await_each(std::vector<task<>> tasks, std::source_location where) {
  auto start_each = [&tasks, where](group& each) -> task<> {
    for (task<>& one : tasks) each.go(std::move(one), where);
    co_return;
  };
  co_await scope(start_each, where);
}

}  // namespace

detail::deferred_task<void> all(std::vector<task<>> tasks, std::source_location where) {
  return await_each(std::move(tasks), where);
}

}  // namespace ringo
