// The close of a file beside other calls of the same file: in one select, and from several workers at once.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <ringo/file.hpp>
#include <ringo/ringo.hpp>
#include <string>
#include <utility>
#include <variant>

#include "error_told.hpp"
#include "network.hpp"

using namespace ringo;

namespace {

// An empty file, open; its name is gone already.
task<file> open_unnamed() {
  std::string path = (std::filesystem::temp_directory_path() / "ringo_close_XXXXXX").string();
  const descriptor named(::mkstemp(path.data()));
  file f = co_await file::open(path, {.write = true});
  std::filesystem::remove(path);
  co_return f;
}

// A call may come to its end, or be told that the file is closed; nothing else.
template <class T>
bool has_ended_well(const outcome_of<T>& o) {
  return o.has_value() || told(o).find("it has been closed") != std::string::npos;
}

template <class Operation>
task<bool> ends_well(Operation asked) {
  const auto o = co_await outcome(std::move(asked));
  co_return has_ended_well(o);
}

}  // namespace

TEST_CASE("One select may close a file and ask something of the same file, in both orders") {
  on_the_network([]() -> task<> {
    for (std::size_t i = 0; i < stressed(50); ++i) {
      for (int what = 0; what < 4; ++what) {
        const file f = co_await open_unnamed();
        const bool ended = co_await [](const file& of, int which) -> task<bool> {
          switch (which) {
            case 0:
              co_return co_await ends_well(select(of.sync(), of.close()));
            case 1:
              co_return co_await ends_well(select(of.close(), of.sync()));
            case 2:
              co_return co_await ends_well(select(of.status(), of.sync(), of.close()));
            default:
              co_return co_await ends_well(select(of.close(), of.status(), of.close()));
          }
        }(f, what);
        CHECK(ended);
        co_await f.close();
      }
    }
  });
}

TEST_CASE("Calls of one file end while selects on other workers wait for them, and for its close") {
  on_the_network([]() -> task<> {
    for (std::size_t i = 0; i < stressed(30); ++i) {
      const file f = co_await open_unnamed();
      const file other = co_await open_unnamed();
      group all;
      for (int n = 0; n < 4; ++n) {
        all.go(
            [](const file& a, const file& b, int which) -> task<> {
              for (int turn = 0; turn < 10; ++turn) {
                const file& one = (which + turn) % 2 == 0 ? a : b;
                const file& two = (which + turn) % 2 == 0 ? b : a;
                const bool ended = co_await ends_well(select(one.status(), two.sync(), one.sync(), two.status()));
                CHECK(ended);
              }
              const bool ended = which % 2 == 0 ? co_await ends_well(select(a.status(), b.close(), a.close()))
                                                : co_await ends_well(select(b.close(), b.sync(), a.sync()));
              CHECK(ended);
            },
            std::ref(f), std::ref(other), n);
      }
      co_await all.wait();
      co_await f.close();
      co_await other.close();
    }
  });
}
