// A process that is started without some of descriptors 0, 1 and 2.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cstdio>
#include <functional>
#include <ringo/file.hpp>
#include <ringo/pipe.hpp>
#include <ringo/process.hpp>
#include <ringo/ringo.hpp>
#include <ringo/signals.hpp>
#include <ringo/unix.hpp>
#include <ringo/unix_datagram.hpp>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "network.hpp"
#include "running_child.hpp"

namespace {

bool is_null_device(int descriptor) {
  struct stat null{}, it{};
  return ::stat("/dev/null", &null) == 0 && ::fstat(descriptor, &it) == 0 && it.st_rdev == null.st_rdev &&
         S_ISCHR(it.st_mode);
}

void close_those(unsigned which) {
  for (int each = 0; each < 3; ++each) {
    if ((which >> each & 1) != 0) ::close(each);
  }
}

// What the program prints and the library warns of.
void print_everywhere() {
  for (int each = 0; each < 3; ++each) (void)!::write(each, "a warning", 9);
  std::fputs("a warning", stderr);
}

// What a client receives of a server that sends "data" and prints besides.
ringo::task<std::string> received_by_a_client() {
  ringo::tcp_listener listener = listen_locally();
  ringo::tcp_stream client = co_await ringo::tcp_stream::connect(listener.local());
  ringo::tcp_stream server = co_await listener.accept();
  print_everywhere();
  co_await server.send("data");
  server = {};
  co_return co_await read_all(client);
}

int status_of(const child_end& end) { return end.exited ? end.status : -1; }

}  // namespace

TEST_CASE("no client receives what the program prints, whichever of descriptors 0 to 2 it was started without") {
  for (const unsigned workers : {1u, 2u, 4u}) {
    for (unsigned which = 0; which < 8; ++which) {
      CAPTURE(which);
      const child_end end = run_in_a_child([=] {
        for (int each = 0; each < 2; ++each) {  // the test's own, which are not to be printed to
          const int null = ::open("/dev/null", O_RDWR);
          ::dup2(null, each);
          ::close(null);
        }
        close_those(which);
        ringo::runtime_options o;
        o.workers = workers;
        if (ringo::run(received_by_a_client(), o) != "data") return 1;
        for (int each = 0; each < 3; ++each) {
          if (::fcntl(each, F_GETFD) < 0) return 2;
          if ((which >> each & 1) != 0 && !is_null_device(each)) return 3;
        }
        return 0;
      });
      CHECK(status_of(end) == 0);
    }
  }
}

TEST_CASE("what is made before a runtime gets none of their numbers either") {
  const std::vector<std::function<bool()>> makers = {
      [] { return ringo::tcp_listener::bind("127.0.0.1:0").native_handle() > 2; },
      [] { return ringo::udp_socket::bind("127.0.0.1:0").native_handle() > 2; },
      [] {
        const auto both = ringo::unix_stream::pair();
        return both.first.native_handle() > 2 && both.second.native_handle() > 2;
      },
      [] {
        const auto both = ringo::unix_datagram::pair();
        return both.first.native_handle() > 2 && both.second.native_handle() > 2;
      },
      [] {
        const ringo::pipe_pair p;
        return p.reader.native_handle() > 2 && p.writer.native_handle() > 2;
      },
      [] {
        const ringo::signals s({SIGUSR1});
        return is_null_device(0) && is_null_device(1) && is_null_device(2);
      },
      [] {
        const ringo::runtime r;
        return is_null_device(0) && is_null_device(1) && is_null_device(2);
      },
  };
  for (std::size_t i = 0; i < makers.size(); ++i) {
    CAPTURE(i);
    const child_end end = run_in_a_child([&make = makers[i]] {
      close_those(7);
      return make() ? 0 : 1;
    });
    CHECK(status_of(end) == 0);
  }
}

TEST_CASE("files, programs and their pipes get none of their numbers") {
  const child_end end = run_in_a_child([] {
    ringo::runtime r;
    close_those(7);  // as one that becomes a daemon does
    return r.run([]() -> ringo::task<int> {
      const ringo::file f = co_await ringo::file::open("/proc/self/status");
      if (f.native_handle() < 3) co_return 1;
      ringo::process_options o;
      o.output = ringo::process_stream::pipe;
      const std::vector<std::string> arguments = {"sh", "-c", "cat; echo here; echo there >&2"};
      ringo::process p = co_await ringo::process::start(arguments, o);
      if (p.output().native_handle() < 3) co_return 2;
      const std::string all = co_await read_all(p.output());
      if (all != "here\n") co_return 3;
      const ringo::exit_status how = co_await p.wait();
      co_return how.success() ? 0 : 4;
    }());
  });
  CHECK(status_of(end) == 0);
}

TEST_CASE("a process without standard streams is told so by standard_input() and its like") {
  const child_end end = run_in_a_child([] {
    close_those(7);
    return ringo::run([]() -> ringo::task<int> {
      int refused = 0;
      const auto refuses = [&refused](auto make) {
        try {
          make();
        } catch (const std::system_error& e) {
          if (e.code() == std::errc::bad_file_descriptor) ++refused;
        }
      };
      refuses([] { ringo::standard_input(); });
      refuses([] { ringo::standard_output(); });
      refuses([] { ringo::standard_error(); });
      if (refused != 3) co_return 1;
      // One that is put in its place later is the process' own.
      int ends[2];
      if (::pipe2(ends, O_CLOEXEC) != 0 || ::dup2(ends[1], STDOUT_FILENO) < 0) co_return 2;
      ringo::pipe_writer out = ringo::standard_output();
      co_await out.send("text");
      char text[4];
      co_return ::read(ends[0], text, sizeof text) == 4 ? 0 : 3;
    }());
  });
  CHECK(status_of(end) == 0);
}

TEST_CASE("a process with its standard streams keeps them") {
  const child_end end = run_in_a_child([] {
    ringo::run([]() -> ringo::task<> { co_return; });
    (void)!::write(STDERR_FILENO, "mine", 4);
    return 0;
  });
  CHECK(end.errors == "mine");
}
