// Where the kernel refuses a ring the error says why, and what to do.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "driver/refusal.hpp"
#include "driver/uring.hpp"
#include "driver_sandbox.hpp"

using ringo::detail::explain;
using ringo::detail::look_around;
using ringo::detail::make_uring;
using ringo::detail::refusal;
using ringo::detail::surroundings;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

surroundings recent() {
  surroundings around;
  around.release = "6.12.1-test";
  around.io_uring_disabled = 0;
  around.io_uring_group = -1;
  around.seccomp = 0;
  return around;
}

// "<errno> <message>" of what making, attaching and polling a ring throws.
std::string what_comes_of_a_ring(unsigned entries = 64) {
  try {
    const auto driver = make_uring(entries);
    driver->attach();
    driver->poll(driver->now() + std::chrono::milliseconds(1));
    return "a ring";
  } catch (const std::system_error& problem) {
    return std::to_string(problem.code().value()) + ' ' + problem.what();
  }
}

std::string errno_text(int error) { return std::to_string(error) + ' '; }

std::size_t open_descriptors() {
  std::size_t count = 0;
  for (int number = 0; number < 1024; ++number) count += ::fcntl(number, F_GETFD) != -1;
  return count;
}

class folder {
 public:
  folder() {
    char name[] = "/tmp/ringo-proc-XXXXXX";
    path_ = ::mkdtemp(name);
    std::filesystem::create_directories(path_ + "/sys/kernel");
    std::filesystem::create_directories(path_ + "/self");
  }
  ~folder() { std::filesystem::remove_all(path_); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(path_ + name) << text; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

TEST_CASE("EPERM: the sysctl is blamed when it forbids io_uring, and its remedy given") {
  surroundings around = recent();
  around.io_uring_disabled = 2;
  around.is_exempt = true;  // 2 means nobody
  around.seccomp = 2;
  const std::string text = explain("io_uring_setup", EPERM, around);
  CHECK(has(text, "kernel.io_uring_disabled is 2"));
  CHECK(has(text, "sysctl -w kernel.io_uring_disabled=0"));
  CHECK_FALSE(has(text, "seccomp"));
}

TEST_CASE("EPERM: a sysctl of 1 names the group that may") {
  surroundings around = recent();
  around.io_uring_disabled = 1;
  CHECK(has(explain("io_uring_setup", EPERM, around), "kernel.io_uring_disabled is 1"));
  CHECK(has(explain("io_uring_setup", EPERM, around), "no group is named in kernel.io_uring_group"));
  around.io_uring_group = 990;
  CHECK(has(explain("io_uring_setup", EPERM, around), "990"));
}

TEST_CASE("EPERM: a sysctl of 1 is not blamed where the process is exempt and a filter is there to blame") {
  surroundings around = recent();
  around.io_uring_disabled = 1;
  around.is_exempt = true;
  around.seccomp = 2;
  const std::string text = explain("io_uring_setup", EPERM, around);
  CHECK(has(text, "seccomp filter"));
  CHECK_FALSE(has(text, "io_uring_disabled"));
}

TEST_CASE("EPERM: a filter is blamed, and the calls to allow are named") {
  surroundings around = recent();
  around.seccomp = 2;
  const std::string text = explain("io_uring_setup", EPERM, around);
  CHECK(has(text, "seccomp filter"));
  for (const char* call : {"io_uring_setup", "io_uring_enter", "io_uring_register", "--security-opt"})
    CHECK(has(text, call));
}

TEST_CASE("EPERM without sysctl and filter points to a security module") {
  const std::string text = explain("io_uring_setup", EPERM, recent());
  CHECK(has(text, "SELinux"));
  CHECK(has(explain("io_uring_setup", EACCES, recent()), "SELinux"));
}

TEST_CASE("EPERM: nothing is claimed of what could not be read") {
  CHECK(has(explain("io_uring_setup", EPERM, surroundings()), "SELinux"));
  CHECK(has(explain("io_uring_setup", ENOSYS, surroundings()), "this kernel has no io_uring"));
}

TEST_CASE("EPERM at a later call tells that the ring had been there") {
  surroundings around = recent();
  around.seccomp = 2;
  CHECK(has(explain("io_uring_enter", EPERM, around), "a seccomp filter of this process now forbids io_uring_enter"));
  around.seccomp = 0;
  CHECK(has(explain("io_uring_enter", EPERM, around), "the ring was made"));
  CHECK_FALSE(has(explain("io_uring_enter", EPERM, around), "now forbids io_uring_enter"));
}

TEST_CASE("ENOSYS: an old kernel, a filter and a kernel without io_uring are told apart") {
  surroundings around = recent();
  around.release = "4.19.0-27-amd64";
  CHECK(has(explain("io_uring_setup", ENOSYS, around), "Linux 4.19.0-27-amd64) is too old"));
  around.release = "5.0.1";
  CHECK(has(explain("io_uring_setup", ENOSYS, around), "too old"));
  around.release = "5.10.0";
  CHECK(has(explain("io_uring_setup", ENOSYS, around), "CONFIG_IO_URING"));
  around.seccomp = 2;
  CHECK(has(explain("io_uring_setup", ENOSYS, around), "seccomp filter"));
  CHECK_FALSE(has(explain("io_uring_setup", ENOSYS, around), "CONFIG_IO_URING"));
}

TEST_CASE("ENOMEM names the limits that are set and the sizes that were tried") {
  surroundings around = recent();
  CHECK_FALSE(has(explain("io_uring_setup", ENOMEM, around), "ulimit"));
  around.address_space = 123456;
  const std::string text = explain("io_uring_setup", ENOMEM, around, "256 down to 8 entries");
  CHECK(has(text, "123456 bytes"));
  CHECK(has(text, "ulimit -v"));
  CHECK(has(text, "tried 256 down to 8 entries"));
}

TEST_CASE("ENOMEM: the limit of locked memory is named where the kernel counts rings, and only there") {
  surroundings around = recent();
  around.locked_memory = 65536;
  const auto blames_it = [&](const char* release) {
    around.release = release;
    const std::string text = explain("io_uring_setup", ENOMEM, around);
    return has(text, "locked memory in this kernel (Linux " + around.release + ")") && has(text, "65536 bytes") &&
           has(text, "ulimit -l") && has(text, "runtime_options::workers");
  };
  for (const char* counts : {"6.13.0", "6.18.44", "7.0.1", "5.11.22", "5.4.0-150-generic"}) CHECK(blames_it(counts));
  for (const char* does_not : {"5.12.0", "6.1.0-28-amd64", "6.12.1"}) {
    CHECK_FALSE(blames_it(does_not));
    CHECK_FALSE(has(explain("io_uring_setup", ENOMEM, around), "locked"));
  }
  around.may_lock = true;
  CHECK_FALSE(blames_it("6.18.44"));
  around.may_lock = false;
  around.locked_memory.reset();  // without limit
  CHECK_FALSE(has(explain("io_uring_setup", ENOMEM, around), "locked"));
  around.locked_memory = 65536;
  CHECK_FALSE(has(explain("eventfd", ENOMEM, around), "Rings"));
}

TEST_CASE("a refused eventfd is explained as what it is") {
  surroundings around = recent();
  for (const int error : {ENOSYS, EPERM}) {
    around.seccomp = 2;
    const std::string filtered = explain("eventfd", error, around);
    CHECK(has(filtered, "eventfd was refused"));
    CHECK(has(filtered, "seccomp filter"));
    CHECK(has(filtered, "Allow eventfd2 in the profile"));
    CHECK_FALSE(has(filtered, "CONFIG_IO_URING"));
    CHECK_FALSE(has(filtered, "the ring was made"));
    CHECK_FALSE(has(filtered, "Allow io_uring"));
    around.seccomp = 0;
    const std::string unfiltered = explain("eventfd", error, around);
    CHECK_FALSE(has(unfiltered, "CONFIG_IO_URING"));
    CHECK(has(unfiltered, error == ENOSYS ? "CONFIG_EVENTFD" : "SELinux"));
  }
  around.seccomp = 2;
  CHECK(has(explain("madvise", EPERM, around), "Allow madvise in the profile"));
}

TEST_CASE("ENOSYS at a later call of io_uring does not say that there is none") {
  surroundings around = recent();
  for (const char* call : {"io_uring_enter", "io_uring_register"}) {
    for (const int seccomp : {0, 2}) {
      around.seccomp = seccomp;
      const std::string text = explain(call, ENOSYS, around);
      CHECK(has(text, "the ring was made"));
      CHECK(has(text, call));
      CHECK_FALSE(has(text, "CONFIG_IO_URING"));
    }
  }
}

TEST_CASE("EMFILE, ENFILE, EINVAL and the unexpected") {
  surroundings around = recent();
  CHECK(has(explain("eventfd", EMFILE, around), "ulimit -n"));
  around.descriptors = 77;
  CHECK(has(explain("eventfd", EMFILE, around), "the limit is 77"));
  CHECK(has(explain("io_uring_setup", ENFILE, around), "fs.file-max"));
  CHECK(has(explain("io_uring_setup", EINVAL, around, "8 entries"), "8 entries"));
  CHECK(has(explain("io_uring_setup", EINVAL, around), "6.12.1-test"));
  CHECK(has(explain("io_uring_setup", EINVAL, around), "needs Linux 5.19 or newer"));
  CHECK(has(explain("io_uring_setup", EIO, around), "not expected"));
}

TEST_CASE("the exception's text ends with the error's name") {
  const std::system_error problem = ringo::detail::refusal("io_uring_setup", ENFILE);
  CHECK(problem.code() == std::errc::too_many_files_open_in_system);
  CHECK(has(problem.what(), "fs.file-max): " + problem.code().message()));
}

TEST_CASE("the surroundings are read from /proc") {
  const folder proc;
  CHECK_FALSE(look_around(proc.path()).io_uring_disabled);
  CHECK_FALSE(look_around(proc.path()).seccomp);
  proc.write("/sys/kernel/io_uring_disabled", "1\n");
  proc.write("/sys/kernel/io_uring_group", "1007\n");
  proc.write("/self/status",
             "Name:\tx\nGid:\t5\t6\t5\t5\nGroups:\t4 24 1007 \nCapEff:\t0000000000000000\nSeccomp:\t2\n");
  surroundings around = look_around(proc.path());
  CHECK(around.io_uring_disabled == 1);
  CHECK(around.io_uring_group == 1007);
  CHECK(around.seccomp == 2);
  CHECK(around.is_exempt);
  proc.write("/self/status", "Gid:\t5\t6\t5\t5\nGroups:\t4 24 \nCapEff:\t0000000000000000\nSeccomp:\t0\n");
  CHECK_FALSE(look_around(proc.path()).is_exempt);
  proc.write("/sys/kernel/io_uring_group", "6\n");
  CHECK(look_around(proc.path()).is_exempt);
  proc.write("/sys/kernel/io_uring_group", "-1\n");
  CHECK_FALSE(look_around(proc.path()).is_exempt);
  proc.write("/self/status", "CapEff:\t0000000000200000\n");
  CHECK(look_around(proc.path()).is_exempt);
  CHECK_FALSE(look_around(proc.path()).may_lock);
  proc.write("/self/status", "CapEff:\t0000000000004000\n");
  proc.write("/self/uid_map", "         0          0 4294967295\n");
  CHECK(look_around(proc.path()).may_lock);
  proc.write("/self/uid_map", "         0       1000          1\n");
  CHECK_FALSE(look_around(proc.path()).may_lock);
  CHECK_FALSE(look_around().release.empty());
}

TEST_CASE("a filter that forbids io_uring_setup is named") {
  const auto end = sandbox::in_child([] {
    sandbox::filter_calls({SYS_io_uring_setup}, SECCOMP_RET_ERRNO | EPERM);
    return what_comes_of_a_ring();
  });
  CHECK(end.text.starts_with(errno_text(EPERM)));
  CHECK(has(end.text, "io_uring_setup was refused: a seccomp filter"));
}

TEST_CASE("a filter that hides io_uring_setup is named") {
  const auto end = sandbox::in_child([] {
    sandbox::filter_calls({SYS_io_uring_setup}, SECCOMP_RET_ERRNO | ENOSYS);
    return what_comes_of_a_ring();
  });
  CHECK(end.text.starts_with(errno_text(ENOSYS)));
  CHECK(has(end.text, "seccomp filter of this process answers as if io_uring did not exist"));
}

TEST_CASE("a filter that forbids or hides eventfd is named, and no ring is left") {
  for (const int error : {EPERM, ENOSYS}) {
    const auto end = sandbox::in_child([error] {
      const std::size_t before = open_descriptors();
      sandbox::filter_calls({SYS_eventfd2}, SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error));
      const std::string text = what_comes_of_a_ring();
      return text + (open_descriptors() == before ? " nothing left" : " descriptors left");
    });
    CHECK(end.text.starts_with(errno_text(error)));
    CHECK(has(end.text, "eventfd was refused"));
    CHECK(has(end.text, "Allow eventfd2"));
    CHECK(has(end.text, "nothing left"));
  }
}

TEST_CASE("where locked memory runs out, the limit is named") {
  const auto end = sandbox::in_child([]() -> std::string {
    const rlimit limit{64 << 10, 64 << 10};
    ::setrlimit(RLIMIT_MEMLOCK, &limit);
    if (::setuid(65534) != 0 || ::prctl(PR_SET_DUMPABLE, 1) != 0) return "not root";
    std::vector<std::unique_ptr<ringo::detail::uring>> rings;
    try {
      for (int i = 0; i < 100; ++i) rings.push_back(make_uring(256));
    } catch (const std::system_error& problem) {
      return problem.what();
    }
    return "not counted";  // before Linux 6.13
  });
  CAPTURE(end.text);
  if (end.text != "not root" && end.text != "not counted") {
    CHECK(has(end.text, "Rings count as locked memory"));
    CHECK(has(end.text, "65536 bytes"));
    CHECK(has(end.text, "ulimit -l"));
    CHECK_FALSE(has(end.text, "Before Linux"));
  }
}

TEST_CASE("a filter that forbids io_uring_register makes attach fail with its name") {
  const auto end = sandbox::in_child([] {
    sandbox::filter_calls({SYS_io_uring_register}, SECCOMP_RET_ERRNO | EPERM);
    return what_comes_of_a_ring();
  });
  CHECK(end.text.starts_with(errno_text(EPERM)));
  CHECK(has(end.text, "now forbids io_uring_register"));
}

TEST_CASE("a refusal's text ends with the error's name, which it has once") {
  const std::string full = refusal("eventfd", ENFILE).what();
  CHECK(full ==
        "ringo: eventfd was refused: the machine has as many open files as it may. Close some, or raise the limit as "
        "root (sysctl fs.file-max): Too many open files in system");
}

TEST_CASE("a filter that comes later makes poll fail, and the driver can still be destroyed") {
  const auto end = sandbox::in_child([] {
    std::string text;
    const std::size_t before = open_descriptors();
    {
      const auto driver = make_uring(8);
      driver->attach();
      driver->poll(driver->now() + std::chrono::milliseconds(1));
      sandbox::filter_calls({SYS_io_uring_enter}, SECCOMP_RET_ERRNO | EPERM);
      for (int i = 0; i < 2; ++i) {
        try {
          driver->poll(driver->now() + std::chrono::hours(1));
        } catch (const std::system_error& problem) {
          text += errno_text(problem.code().value()) + problem.what() + '\n';
        }
      }
    }
    return text + (open_descriptors() == before ? "nothing left" : "descriptors left");
  });
  CHECK(end.text.starts_with(errno_text(EPERM)));
  CHECK(has(end.text, "a seccomp filter of this process now forbids io_uring_enter"));
  CHECK(has(end.text, "nothing left"));
}

TEST_CASE("without a free descriptor the limit is named and nothing is left half-made") {
  for (const rlim_t free : {rlim_t{0}, rlim_t{1}}) {
    CAPTURE(free);
    const auto end = sandbox::in_child([free] {
      const int lowest_free = ::dup(0);
      ::close(lowest_free);
      const rlimit limit{static_cast<rlim_t>(lowest_free) + free, static_cast<rlim_t>(lowest_free) + free};
      ::setrlimit(RLIMIT_NOFILE, &limit);
      const std::size_t before = open_descriptors();
      std::string text = what_comes_of_a_ring();
      if (!has(text, "the limit is " + std::to_string(limit.rlim_cur))) text += " LIMIT MISSING";
      if (open_descriptors() != before) text += " DESCRIPTORS LEFT";
      return text;
    });
    CAPTURE(end.text);
    CHECK(end.text.starts_with(errno_text(EMFILE)));
    CHECK(has(end.text, free == 0 ? "io_uring_setup was refused" : "eventfd was refused"));
    CHECK_FALSE(has(end.text, "MISSING"));
    CHECK_FALSE(has(end.text, "LEFT"));
  }
}

namespace {

// Leaves this process `bytes` of address space beyond what it has, of which the allocator keeps some for messages.
void limit_address_space(rlim_t bytes) {
  std::free(std::malloc(std::size_t{64} << 10));
  unsigned long pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t size = pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + bytes;
  const rlimit limit{size, size};
  ::setrlimit(RLIMIT_AS, &limit);
}

}  // namespace

TEST_CASE("with little memory the ring is smaller") {
  // 32768 entries need 4 MiB.
  const auto end = sandbox::in_child([] {
    limit_address_space(rlim_t{1} << 20);
    return what_comes_of_a_ring(32768);
  });
  CHECK(end.text == "a ring");
}

TEST_CASE("with no memory the limit and the sizes tried are named") {
  const auto end = sandbox::in_child([] {
    limit_address_space(0);
    return what_comes_of_a_ring(1024);
  });
  CHECK(end.text.starts_with(errno_text(ENOMEM)));
  CHECK(has(end.text, "tried 1024 down to 8 entries"));
  CHECK(has(end.text, "ulimit -v"));
}
