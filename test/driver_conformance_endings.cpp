// What every driver must do (src/driver/driver.hpp): each operation has one answer, however many are in flight, whoever
// ends them, and when.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <ringo/descriptor.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "descriptor_limit.hpp"
#include "dice.hpp"
#include "driver_requests.hpp"
#include "driver_sandbox.hpp"
#include "driver_sockets.hpp"
#include "folder.hpp"
#include "process_counts.hpp"
#include "real_drivers.hpp"

using namespace std::chrono_literals;
using ringo::descriptor;
using ringo::time_point;
using ringo::detail::driver;
using ringo::detail::kernel_call;
using ringo::detail::pause_length;

namespace {

bool was_ended(const asked& r) { return r.answers == 1 && (r.result == -ECANCELED || r.result == -EINTR); }

std::size_t bytes_in(int number) {
  int count = 0;
  REQUIRE(::ioctl(number, FIONREAD, &count) == 0);
  return static_cast<std::size_t>(count);
}

// Polls a random number of times, so that an early end comes in each stage of an operation.
void poll_some(driver& d, dice& random) {
  for (auto n = random.below(4); n != 0; --n) d.poll(random.below(2) == 0 ? time_point::min() : d.now() + 20us);
}

}  // namespace

TEST_CASE("Many more operations than any queue holds: each is answered once") {
  on_every_driver([](driver& d) {
    std::vector<asked> operations(10'000);
    for (asked& each : operations) ask_nothing(d, each);
    CHECK(d.in_flight() == operations.size());
    poll_until_idle(d);
    CHECK(std::all_of(operations.begin(), operations.end(), [](const asked& each) { return each.answers == 1; }));
  });
}

TEST_CASE("Ten thousand operations wait at a time: those whose bytes come are answered, the others can be ended") {
  const descriptor_limit most(RLIM_INFINITY);
  const std::size_t count = std::min<std::size_t>(10'000, (most.count() - 200) / 2);
  on_every_driver([count](driver& d) {
    std::vector<std::unique_ptr<pipe_ends>> pipes(count);
    std::vector<asked> reads(count);
    std::vector<char> bytes(count);
    std::vector<std::size_t> order(count);
    dice random(7);
    for (std::size_t i = 0; i < count; ++i) {
      pipes[i] = std::make_unique<pipe_ends>();
      ask_to_read(d, reads[i], pipes[i]->read_end, &bytes[i]);
      order[i] = i;
      std::swap(order[i], order[random.below(i + 1)]);
    }
    d.poll(time_point::min());
    CHECK(d.in_flight() == count);
    for (std::size_t i = 0; i < count; i += 2) pipes[order[i]]->put(static_cast<char>(order[i]));
    for (std::size_t i = 1; i < count; i += 2) end_early(d, reads[order[i]]);
    poll_until_idle(d);
    bool is_right = true;
    for (std::size_t i = 0; i < count; ++i) {
      const asked& each = reads[order[i]];
      const bool has_byte = each.answers == 1 && each.result == 1 && bytes[order[i]] == static_cast<char>(order[i]);
      is_right = is_right && (i % 2 == 0 ? has_byte : was_ended(each));
    }
    CHECK(is_right);
  });
}

TEST_CASE(
    "An answer may submit the next request, the same one again, and end others that are answered in the same turn") {
  on_every_driver([](driver& d) {
    int left = 3000;
    std::array<asked, 40> again;
    for (asked& each : again) {
      each.then = [&] {
        if (--left > 0) ask_nothing(d, each);
      };
      ask_nothing(d, each);
    }
    poll_until_idle(d);
    CHECK(left <= 0);

    const pipe_ends first, second;
    for (int i = 0; i < 50; ++i) {
      std::array<asked, 2> both;
      char bytes[2];
      both[0].then = [&] {
        if (!both[1].is_over()) d.end_early(both[1]);
      };
      both[1].then = [&] {
        if (!both[0].is_over()) d.end_early(both[0]);
      };
      ask_to_read(d, both[0], first.read_end, &bytes[0]);
      ask_to_read(d, both[1], second.read_end, &bytes[1]);
      d.poll(time_point::min());
      first.put('1');
      second.put('2');
      poll_until_idle(d);
      std::size_t taken = 0;
      for (const asked& each : both) {
        CHECK(each.answers == 1);
        CHECK((each.result == 1 || was_ended(each)));
        taken += each.result == 1;
      }
      CHECK(taken + bytes_in(first.read_end) + bytes_in(second.read_end) == 2);
      if (both[0].result != 1) CHECK(::read(first.read_end, bytes, 1) == 1);
      if (both[1].result != 1) CHECK(::read(second.read_end, bytes, 1) == 1);
    }
  });
}

TEST_CASE("A request may be gone when its answer has been given") {
  struct own final : ringo::detail::kernel_request {
    int number = -1;
    int* count = nullptr;
    char byte = 0;
    void fill(kernel_call& c) noexcept override { c.set_read(number, &byte, 1, c.current_position); }
    void complete(const ringo::detail::kernel_answer&) noexcept override {
      ++*count;
      delete this;
    }
  };
  on_every_driver([](driver& d) {
    const pipe_ends pipe;
    int count = 0;
    std::vector<own*> all;
    for (int i = 0; i < 60; ++i) {
      auto* const each = new own;
      each->number = pipe.read_end;
      each->count = &count;
      d.submit(*each);
      all.push_back(each);
    }
    d.poll(time_point::min());
    for (std::size_t i = 0; i < 20; ++i) d.end_early(*all[i]);
    dice random(3);
    poll_some(d, random);
    for (int i = 0; i < 20; ++i) pipe.put('x');
    while (count < 40) d.poll(time_point::max());
    d.drain();
    CHECK(count == 60);
  });
}

TEST_CASE("A receive that is ended has the bytes, or leaves them: none is lost, whenever it is ended") {
  on_every_driver([](driver& d) {
    dice random(1);
    const pipe_ends pipe;
    socket_pair stream;
    tcp_pair connection;
    const struct {
      int from, to;
    } all[] = {{pipe.read_end, pipe.write_end}, {stream.one, stream.other}, {connection.one, connection.other}};
    for (const auto& each : all) {
      std::size_t put = 0, taken = 0;
      bool in_order = true;
      for (int i = 0; i < 400; ++i) {
        char bytes[4];
        asked reading;
        if (each.from == pipe.read_end) {
          ask_to_read(d, reading, each.from, bytes, sizeof bytes);
        } else {
          ask(d, reading, [&](kernel_call& c) { c.set_receive(each.from, bytes, sizeof bytes); });
        }
        poll_some(d, random);
        if (random.below(4) != 0) {
          const char next = static_cast<char>(put++);
          REQUIRE(::write(each.to, &next, 1) == 1);
        }
        poll_some(d, random);
        if (!reading.is_over()) end_early(d, reading);
        poll_until_over(d, reading);
        REQUIRE(reading.answers == 1);
        if (reading.result > 0) {
          for (int k = 0; k < reading.result; ++k) in_order = in_order && bytes[k] == static_cast<char>(taken++);
        } else {
          CHECK(was_ended(reading));
        }
        // A connection may deliver a little later.
        pollfd ready{each.from, POLLIN, 0};
        if (taken < put) REQUIRE(::poll(&ready, 1, 10'000) == 1);
        while (taken + bytes_in(each.from) < put && ::poll(nullptr, 0, 1) == 0) {
        }
        REQUIRE(taken + bytes_in(each.from) == put);
      }
      CHECK(in_order);
    }
  });
}

TEST_CASE("A send that is ended says how many bytes it has sent") {
  on_every_driver([](driver& d) {
    dice random(2);
    socket_pair stream;
    const pipe_ends pipe;
    const std::vector<char> much(500'000, 'm');
    for (const bool is_pipe : {false, true}) {
      const int from = is_pipe ? pipe.write_end : stream.one, to = is_pipe ? pipe.read_end : stream.other;
      for (int i = 0; i < 60; ++i) {
        asked writing;
        ask(d, writing, [&](kernel_call& c) {
          if (is_pipe) {
            c.set_write(from, much.data(), much.size(), c.current_position);
          } else {
            c.set_send(from, much.data(), much.size(), MSG_NOSIGNAL | MSG_WAITALL);
          }
        });
        poll_some(d, random);
        if (!writing.is_over()) end_early(d, writing);
        poll_until_over(d, writing);
        REQUIRE(writing.answers == 1);
        const std::size_t sent = writing.result > 0 ? static_cast<std::size_t>(writing.result) : 0;
        if (writing.result < 0) CHECK(was_ended(writing));
        std::size_t came = 0;
        std::vector<char> in(much.size());
        for (pollfd ready{to, POLLIN, 0}; ::poll(&ready, 1, 0) == 1;)
          came += static_cast<std::size_t>(::read(to, in.data(), in.size()));
        REQUIRE(came == sent);
      }
    }
  });
}

TEST_CASE("An accept that is ended leaves the connection to the next one; an open that is ended leaves no descriptor") {
  on_every_driver([](driver& d) {
    dice random(4);
    const local_listener listener(AF_UNIX, 1000);
    const auto before = open_descriptors();
    std::size_t made = 0, accepted = 0;
    unsigned length = 0;
    for (int i = 0; i < 300; ++i) {
      asked accepting;
      ask(d, accepting, [&](kernel_call& c) { c.set_accept(listener.number(), nullptr, length, SOCK_CLOEXEC); });
      poll_some(d, random);
      if (random.below(3) != 0) {
        const descriptor client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        REQUIRE(::connect(client.native_handle(), listener.address(), listener.address_size()) == 0);
        ++made;
      }
      poll_some(d, random);
      if (!accepting.is_over()) end_early(d, accepting);
      poll_until_over(d, accepting);
      if (accepting.result >= 0) {
        ++accepted;
        ::close(accepting.result);
      } else {
        CHECK(was_ended(accepting));
      }
    }
    while (accepted < made) {
      const int next = answer_of(d, [&](kernel_call& c) { c.set_accept(listener.number(), nullptr, length, 0); });
      REQUIRE(next >= 0);
      ::close(next);
      ++accepted;
    }
    CHECK(open_descriptors() == before);
    for (int i = 0; i < 300; ++i) {
      asked opening;
      ask(d, opening, [&](kernel_call& c) { c.set_open("/dev/null", O_RDONLY | O_CLOEXEC, 0); });
      poll_some(d, random);
      if (!opening.is_over()) end_early(d, opening);
      poll_until_over(d, opening);
      if (opening.result >= 0) {
        ::close(opening.result);
      } else {
        CHECK(was_ended(opening));
      }
    }
    CHECK(open_descriptors() == before);
  });
}

TEST_CASE("An operation that is ended before any poll has had its effect, or none") {
  on_every_driver([](driver& d) {
    const pipe_ends pipe;
    asked first, ended, last;
    for (asked* each : {&first, &ended, &last})
      ask(d, *each, [&](kernel_call& c) { c.set_write(pipe.write_end, "x", 1, c.current_position); });
    end_early(d, ended);
    poll_until_idle(d);
    CHECK(first.result == 1);
    CHECK((ended.result == 1 || was_ended(ended)));
    CHECK(last.result == 1);
    CHECK(bytes_in(pipe.read_end) == (ended.result == 1 ? 3u : 2u));
    const int before = ended.answers;
    d.submit(ended);  // once more
    poll_until_idle(d);
    CHECK(ended.answers == before + 1);
    CHECK(ended.result == 1);
  });
}

TEST_CASE("Several requests wait on one descriptor, in both directions, and each is answered by its own event") {
  on_every_driver([](driver& d) {
    tcp_pair pair;
    const std::vector<char> much(8'000'000, 'm');
    std::array<asked, 3> polls;
    asked reading, writing, room;
    char byte = 0;
    ask(d, writing,
        [&](kernel_call& c) { c.set_send(pair.one, much.data(), much.size(), MSG_NOSIGNAL | MSG_WAITALL); });
    for (int i = 0; i < 5; ++i) d.poll(d.now() + 1ms);
    for (asked& each : polls) ask_to_poll(d, each, pair.one, POLLIN);
    ask(d, reading, [&](kernel_call& c) { c.set_receive(pair.one, &byte, 1); });
    for (int i = 0; i < 5; ++i) d.poll(d.now() + 1ms);
    CHECK(!reading.is_over());
    end_early(d, polls[1]);
    poll_until_over(d, polls[1]);
    CHECK(was_ended(polls[1]));
    CHECK(!polls[0].is_over());
    REQUIRE(::send(pair.other, "xy", 2, 0) == 2);
    poll_until_over(d, reading);
    CHECK(byte == 'x');
    poll_until_over(d, polls[0]);
    poll_until_over(d, polls[2]);
    CHECK(polls[0].result == POLLIN);
    CHECK(polls[2].result == POLLIN);
    // The writer goes on when the peer reads, whatever the other direction did.
    std::vector<char> in(much.size());
    std::size_t came = 0, sent = writing.result > 0 ? static_cast<std::size_t>(writing.result) : 0;
    while (!writing.is_over() || came < sent) {
      pollfd ready{pair.other, POLLIN, 0};
      if (::poll(&ready, 1, 0) == 1) came += static_cast<std::size_t>(::read(pair.other, in.data(), in.size()));
      d.poll(d.now() + 100us);
      if (writing.is_over()) sent = static_cast<std::size_t>(writing.result);
    }
    CHECK(came == sent);
    ask_to_poll(d, room, pair.one, POLLOUT);
    poll_until_over(d, room);
    CHECK(room.result == POLLOUT);
    // Two receives, and a byte for each.
    std::array<asked, 2> two;
    char bytes[2];
    CHECK(answer_of(d, [&](kernel_call& c) { c.set_receive(pair.one, bytes, 1); }) == 1);
    for (std::size_t i = 0; i < 2; ++i) ask(d, two[i], [&](kernel_call& c) { c.set_receive(pair.one, &bytes[i], 1); });
    d.poll(time_point::min());
    REQUIRE(::send(pair.other, "12", 2, 0) == 2);
    poll_until_idle(d);
    CHECK(two[0].result == 1);
    CHECK(two[1].result == 1);
    CHECK(bytes[0] + bytes[1] == '1' + '2');
  });
}

TEST_CASE("Receives into lent buffers: an idle one holds none, and each byte comes") {
  on_every_driver([](driver& d) {
    if (!d.lends_buffers(false)) return;
    constexpr std::size_t count = 1000;
    std::vector<std::unique_ptr<socket_pair>> pairs;
    std::vector<asked> receives(count);
    const auto receive = [&](std::size_t i) {
      ask(d, receives[i], [&](kernel_call& c) {
        c.set_receive(pairs[i]->one, nullptr, ringo::detail::buffer::size);
        c.lends = true;
      });
    };
    for (std::size_t i = 0; i < count; ++i) pairs.push_back(std::make_unique<socket_pair>());
    const auto before = ::mallinfo2().uordblks;
    for (std::size_t i = 0; i < count; ++i) receive(i);
    d.poll(d.now() + 1ms);
    CHECK(d.buffers.held() < count / 10);
    const auto after = ::mallinfo2().uordblks;
    CHECK((after < before || after - before < count * ringo::detail::buffer::size / 8));
    CHECK(d.in_flight() == count);
    // All at once: there may be too few buffers, and then the driver can provide more.
    std::vector<int> out_of_buffers(count);
    for (std::size_t i = 0; i < count; ++i) {
      receives[i].then = [&, i] {
        if (receives[i].result != -ENOBUFS) return;
        CHECK(receives[i].filled == nullptr);
        (void)d.lends_buffers(true);  // false: it has the most already, and the next turn finds some
        if (++out_of_buffers[i] > 100) return;
        receives[i].answers = 0;
        receive(i);
      };
      const std::string text = "bytes " + std::to_string(i);
      REQUIRE(::write(pairs[i]->other, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    }
    poll_until_idle(d);
    bool is_right = true;
    for (std::size_t i = 0; i < count; ++i) {
      const asked& each = receives[i];
      const std::string text = "bytes " + std::to_string(i);
      is_right = is_right && each.answers == 1 && each.filled != nullptr &&
                 each.result == static_cast<int>(text.size()) &&
                 std::memcmp(each.filled->bytes(), text.data(), text.size()) == 0;
      if (each.filled != nullptr) d.buffers.give_back(*each.filled);
    }
    CHECK(is_right);
    // The end of the stream, and an early end.
    for (std::size_t i = 0; i < 20; ++i) {
      receives[i].then = nullptr;
      receives[i].answers = 0;
      receives[i].filled = nullptr;
      receive(i);
    }
    d.poll(time_point::min());
    for (std::size_t i = 0; i < 10; ++i) end_early(d, receives[i]);
    for (std::size_t i = 10; i < 20; ++i) pairs[i]->close_other();
    poll_until_idle(d);
    for (std::size_t i = 0; i < 20; ++i) {
      CHECK((i < 10 ? was_ended(receives[i]) : receives[i].result == 0));
      if (receives[i].filled != nullptr) d.buffers.give_back(*receives[i].filled);
    }
    for (int i = 0; i < 40; ++i) {
      d.give_back_unneeded();
      d.poll(time_point::min());
    }
    CHECK(d.buffers.held() == 0);
  });
}

namespace {

// One of everything that can be in flight for long.
class everything {
 public:
  explicit everything(driver& d) : fifo_(in_.fifo("fifo")), listener_(AF_INET, 0), pipe_(), waiting_(12) {
    // The listener's queue has room for fewer: the last connection is not made.
    for (descriptor& each : clients_) each = descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    std::size_t i = 0;
    ask_to_read(d, waiting_[i++], pipe_.read_end, &byte_);
    ask_to_read(d, waiting_[i++], pipe_.read_end, &byte_);
    ask_to_poll(d, waiting_[i++], pipe_.read_end, POLLIN);
    ask(d, waiting_[i++], [&](kernel_call& c) { c.set_receive(stream_.one, &byte_, 1); });
    ask(d, waiting_[i++], [&](kernel_call& c) { c.set_send(stream_.one, much_.data(), much_.size(), MSG_NOSIGNAL); });
    ask(d, waiting_[i++], [&](kernel_call& c) { c.set_pause(hour_); });
    ask(d, waiting_[i++], [&](kernel_call& c) { c.set_accept(other_.number(), nullptr, length_, 0); });
    for (int k = 0; k < 2; ++k)
      ask(d, waiting_[i++], [&](kernel_call& c) {
        c.set_open(fifo_.c_str(), k == 0 ? O_RDONLY : O_RDONLY | O_CLOEXEC, 0);
        c.may_take_long = true;
      });
    for (const descriptor& each : clients_)
      ask(d, waiting_[i++],
          [&](kernel_call& c) { c.set_connect(each.native_handle(), listener_.address(), listener_.address_size()); });
  }
  std::size_t size() const { return waiting_.size(); }
  // Each was answered once; those that cannot succeed were ended.
  bool have_ended() const {
    bool right = true;
    for (std::size_t i = 0; i < waiting_.size(); ++i)
      right = right && waiting_[i].answers == 1 &&
              (was_ended(waiting_[i]) || (i == 4 && waiting_[i].result > 0) || (i >= 9 && waiting_[i].result == 0));
    return right;
  }
  std::string results() const {
    std::string text;
    for (const asked& each : waiting_) text += std::to_string(each.answers) + ":" + std::to_string(each.result) + " ";
    return text;
  }
  void end(driver& d) {
    for (asked& each : waiting_)
      if (!each.is_over()) end_early(d, each);
  }

 private:
  const folder in_;
  const std::string fifo_;
  const local_listener listener_, other_{AF_UNIX};
  const pipe_ends pipe_;
  const socket_pair stream_;
  std::array<descriptor, 3> clients_;
  std::vector<asked> waiting_;
  const std::vector<char> much_ = std::vector<char>(2'000'000);
  const pause_length hour_{3600, 0};
  char byte_ = 0;
  unsigned length_ = 0;
};

}  // namespace

TEST_CASE("Everything that waits can be ended, drained, or left to the destructor, and leaves nothing") {
  for (const real_driver& each : real_drivers()) {
    CAPTURE(std::string(each.name));
    for (const int polls : {0, 1, 5}) {
      for (const int way : {0, 1, 2}) {
        CAPTURE(polls);
        CAPTURE(way);
        const auto before = open_descriptors();
        {
          auto d = each.make();
          d->attach();
          everything all(*d);
          for (int i = 0; i < polls; ++i) d->poll(d->now() + 200us);
          if (way == 0) all.end(*d);
          if (way == 0) poll_until_idle(*d);
          if (way == 1) d->drain();
          if (way != 2) CHECK(d->in_flight() == 0);
          d.reset();
          CAPTURE(all.results());
          CHECK(all.have_ended());
        }
        CHECK(open_descriptors() == before);
      }
    }
  }
}

TEST_CASE("Drivers that come and go leave no descriptor") {
  for (const real_driver& each : real_drivers()) {
    CAPTURE(std::string(each.name));
    const pipe_ends pipe;
    const auto before = open_descriptors();
    int answers = 0;
    for (int i = 0; i < 300; ++i) {
      std::array<asked, 4> operations;
      char byte = 0;
      {
        const auto d = each.make();
        d->attach();
        for (asked& operation : operations) ask_to_read(*d, operation, pipe.read_end, &byte);
        d->poll(d->now() + 1us);
      }
      for (const asked& operation : operations) answers += operation.answers;
    }
    CHECK(answers == 1200);
    {
      // A driver that was never attached, and a driver whose thread has ended.
      const auto unused = each.make(), used = each.make();
      std::thread worker([&] {
        used->attach();
        asked operation;
        ask_nothing(*used, operation);
        poll_until_over(*used, operation);
        used->poll(used->now() + 10us);
      });
      worker.join();
    }
    CHECK(open_descriptors() == before);
  }
}

TEST_CASE("A forked child may destroy its copy of a driver, and the parent's does not notice") {
  for (const real_driver& each : real_drivers()) {
    CAPTURE(std::string(each.name));
    const auto before = open_descriptors();
    auto d = each.make();
    d->attach();
    const pipe_ends pipe;
    char byte = 0;
    asked operation, file;
    ask_to_read(*d, operation, pipe.read_end, &byte);
    struct statx of{};
    ask(*d, file, [&](kernel_call& c) { c.set_stat(AT_FDCWD, "/", 0, STATX_SIZE, of); });
    d->poll(d->now() + 10us);
    const auto end = sandbox::in_child([&] {
      d.reset();
      // The pipe to the parent and the pipe of the test are left.
      return std::to_string(open_descriptors() - before);
    });
    CHECK(end.exit_status == 0);
    CHECK(end.text == "3");
    pipe.put('x');
    poll_until_over(*d, operation);
    CHECK(byte == 'x');
    std::thread waker([&] { d->wake(); });
    d->poll(time_point::max());
    waker.join();
    poll_until_idle(*d);
  }
}
