// Which threads might yet wake a routine.
#include <dirent.h>
#include <doctest/doctest.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "driver/uring.hpp"
#include "driver_requests.hpp"
#include "driver_sandbox.hpp"
#include "platform/thread_census.hpp"

using ringo::detail::foreign_threads;

namespace {

using census = std::optional<std::size_t>;

census foreign_besides(std::vector<pid_t> own) { return foreign_threads(own); }

// A thread that waits until it is destroyed.
class idle_thread {
 public:
  explicit idle_thread(void (*begin)() = [] {})
      : thread_([this, begin] {
          begin();
          id_ = ::gettid();
          id_.notify_one();
          end_.wait(false);
        }) {
    id_.wait(0);
  }
  ~idle_thread() {
    end_ = true;
    end_.notify_one();
    thread_.join();
  }
  pid_t id() const { return id_; }

 private:
  std::atomic<pid_t> id_ = 0;
  std::atomic<bool> end_ = false;
  std::thread thread_;
};

void block_every_signal() {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

// The kernel's threads in this process, by their names.
int workers_of_the_kernel() {
  int count = 0;
  DIR* const folder = ::opendir("/proc/self/task");
  while (const dirent* const entry = ::readdir(folder)) {
    std::string name;
    std::ifstream(std::string("/proc/self/task/") + entry->d_name + "/comm") >> name;
    count += name.starts_with("iou-");
  }
  ::closedir(folder);
  return count;
}

}  // namespace

TEST_CASE("a process with its own threads only has no foreign one") {
  CHECK(foreign_besides({::gettid()}) == census(0));
  const idle_thread worker, another;
  CHECK(foreign_besides({::gettid(), worker.id(), another.id()}) == census(0));
  CHECK(foreign_besides({another.id(), worker.id(), ::gettid(), 1, 2}) == census(0));
}

TEST_CASE("each other thread counts, also the main one") {
  CHECK(foreign_besides({}) == census(1));
  const idle_thread worker;
  CHECK(foreign_besides({worker.id()}) == census(1));
  CHECK(foreign_besides({::gettid()}) == census(1));
  CHECK(foreign_besides({}) == census(2));
  std::vector<std::unique_ptr<idle_thread>> more;
  for (int i = 0; i < 20; ++i) more.push_back(std::make_unique<idle_thread>());
  CHECK(foreign_besides({::gettid(), worker.id()}) == census(20));
}

TEST_CASE("a thread that was joined does not count, however little ago") {
  for (int i = 0; i < 200; ++i) {
    std::thread([] {}).join();
    CHECK(foreign_besides({::gettid()}) == census(0));
  }
}

TEST_CASE("a thread that has ended and is still listed does not count") {
  std::thread([] {}).join();  // or g++'s sanitizer could have two threads of its own in the child
  // The main thread stays listed until the last one ends.
  const auto end = sandbox::in_child([] {
    std::thread([] {
      const std::string stat = "/proc/self/task/" + std::to_string(::getpid()) + "/stat";
      for (std::string id, name, state; state != "Z"; std::ifstream(stat) >> id >> name >> state) {
      }
      // More than one attempt, since the sanitizer's thread may be starting just now.
      census count;
      for (int attempt = 0; attempt < 2000 && count != census(0); ++attempt) {
        count = foreign_besides({::gettid()});
        std::this_thread::yield();
      }
      const std::string text = count == census(0) ? "none" : "one";
      ::_exit(::write(STDERR_FILENO, text.data(), text.size()) < 0);
    }).detach();
    ::syscall(SYS_exit, 0);
    return std::string();
  });
  CHECK(end.text == "none");
}

TEST_CASE("a thread's name makes no difference") {
  for (const char* name : {"iou-wrk-1", "a) S 1 1 16", "(", ")", "16 16 16 16", "\n"}) {
    CAPTURE(name);
    std::atomic<bool> is_named = false, end = false;
    std::thread thread([&] {
      ::pthread_setname_np(::pthread_self(), name);
      is_named = true;
      is_named.notify_one();
      end.wait(false);
    });
    is_named.wait(false);
    CHECK(foreign_besides({::gettid()}) == census(1));
    end = true;
    end.notify_one();
    thread.join();
  }
}

TEST_CASE("a user's thread that blocks every signal counts") {
  const idle_thread first(block_every_signal);
  CHECK(foreign_besides({::gettid()}) == census(1));
  const idle_thread second(block_every_signal);
  CHECK(foreign_besides({::gettid()}) == census(2));
}

TEST_CASE("the kernel's workers do not count") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const auto driver = ringo::detail::make_uring(4);
  driver->attach();
  char byte = 0;
  asked operation;
  operation.call.set_read(ends[0], &byte, 1, ringo::detail::kernel_call::current_position);
  operation.call.may_take_long = true;  // a read of a pipe blocks the kernel's thread
  driver->submit(operation);
  driver->poll(ringo::time_point::min());
  while (workers_of_the_kernel() == 0) std::this_thread::yield();
  CHECK(foreign_besides({::gettid()}) == census(0));
  const idle_thread user;
  CHECK(foreign_besides({::gettid()}) == census(1));
  CHECK(workers_of_the_kernel() > 0);
  REQUIRE(::write(ends[1], "x", 1) == 1);
  poll_until_over(*driver, operation);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("threads that come and go: the answer is right or none") {
  std::atomic<bool> end = false;
  const idle_thread steady;
  std::atomic<pid_t> churner = 0;
  std::thread churning([&] {
    churner = ::gettid();
    churner.notify_one();
    while (!end) {
      std::thread a([] {}), b([] {});
      a.join();
      b.join();
    }
  });
  churner.wait(0);
  int right = 0, unknown = 0;
  for (int i = 0; i < 300; ++i) {
    const census count = foreign_besides({::gettid(), churner});
    if (!count) {
      ++unknown;
    } else if (*count >= 1 && *count <= 3) {
      ++right;
    }
  }
  CHECK(right + unknown == 300);
  end = true;
  churning.join();
}

TEST_CASE("where nothing can be read nothing is claimed") {
  const auto end = sandbox::in_child([] {
    const pid_t own = ::gettid();
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_NOFILE, &none);
    return std::string(foreign_besides({own}) ? "known" : "unknown");
  });
  CHECK(end.text == "unknown");
}
