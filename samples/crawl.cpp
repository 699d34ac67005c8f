// Crawls a web site: visits each page that it finds once, eight pages at a time. The number of pages is not known
// before: visits start further visits, and a group waits for all of them.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <unordered_set>
#include <vector>

#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

constexpr std::size_t at_a_time = 8;

// A site without a network. The home page is 0. Below it are twenty levels of 25 pages. Each page links to two pages of
// the next level (so each page is found in two ways), to itself, and to the home page: there are many cycles.
namespace site {

constexpr int levels = 20;
constexpr int width = 25;

int page(int level, int column) { return 1 + level * width + column % width; }

std::vector<int> links(int from) {
  std::vector<int> found = {from, 0};
  if (from == 0) {
    for (int column = 0; column < width; ++column) found.push_back(page(0, column));
    return found;
  }
  const int level = (from - 1) / width;
  const int column = (from - 1) % width;
  if (level + 1 < levels) {
    found.push_back(page(level + 1, column));
    found.push_back(page(level + 1, column + 1));
  }
  return found;
}

task<std::vector<int>> fetch(int from) {
  co_await sleep(std::chrono::milliseconds(1 + from % 5));
  co_return links(from);
}

}  // namespace site

class crawler {
 public:
  task<> crawl(int home) {
    visits_.limit(at_a_time);
    seen_.insert(home);
    visits_.go(&crawler::visit, this, home, 0);
    co_await visits_.wait();
    std::printf("%zu pages, the deepest %d clicks from home, at most %d at a time\n", seen_.size(), deepest_, most_);
  }

 private:
  task<> visit(int page, int depth) {
    auto held = co_await lock_.lock();
    most_ = std::max(most_, ++fetching_);
    held.unlock();

    const std::vector<int> links = co_await site::fetch(page);

    held = co_await lock_.lock();
    --fetching_;
    deepest_ = std::max(deepest_, depth);
    for (const int link : links) {
      // Beyond the limit the group queues the visit. This one does not wait: it may be the last of the eight.
      if (seen_.insert(link).second) visits_.go(&crawler::visit, this, link, depth + 1);
    }
  }

  mutex lock_;  // guards the next four
  std::unordered_set<int> seen_;
  int deepest_ = 0;
  int fetching_ = 0;
  int most_ = 0;
  group visits_;
};

task<> program() {
  crawler spider;
  co_await spider.crawl(0);
}

int main() { run(program); }
