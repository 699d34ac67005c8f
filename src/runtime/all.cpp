#include <ringo/all.hpp>

namespace ringo {
namespace {

task<> await_each(std::vector<task<>> tasks) {
  auto start_each = [&tasks](group& each) -> task<> {
    for (task<>& one : tasks) each.go(std::move(one));
    co_return;
  };
  co_await scope(start_each);
}

}  // namespace

task<> all(std::vector<task<>> tasks) { return await_each(std::move(tasks)); }

}  // namespace ringo
