// Streams, listeners, datagrams and files on a kernel that answers in hostile orders (hazards H1 to H5, H9, H12, H14,
// row 30): every byte comes once and in order, every descriptor is closed once, every record and block is freed.
#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <ringo/file.hpp>
#include <ringo/process.hpp>
#include <ringo/ringo.hpp>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "dice.hpp"
#include "hostile_driver.hpp"
#include "network.hpp"
#include "replaced_readers.hpp"

using namespace ringo;
using namespace std::chrono_literals;

// ThreadSanitizer has its own.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RINGO_TEST_COUNTS_ALLOCATIONS false
#endif
#endif
#ifndef RINGO_TEST_COUNTS_ALLOCATIONS
#define RINGO_TEST_COUNTS_ALLOCATIONS true
#endif

namespace {

std::atomic<std::ptrdiff_t> allocations = 0;  // that live
std::atomic<bool> memory_is_short = false;    // for a part of what may fail without an exception: blocks, and the like

}  // namespace

#if RINGO_TEST_COUNTS_ALLOCATIONS
namespace {

void* counted(void* memory) {
  if (memory != nullptr) allocations.fetch_add(1, std::memory_order_relaxed);
  return memory;
}
void* counted_or_throw(void* memory) { return memory != nullptr ? counted(memory) : throw std::bad_alloc(); }
void* aligned(std::size_t size, std::align_val_t alignment) {
  const auto a = static_cast<std::size_t>(alignment);
  return std::aligned_alloc(a, (size + a - 1) / a * a);
}
bool fails() {
  static std::atomic<unsigned> asked = 0;
  return memory_is_short.load(std::memory_order_relaxed) && asked.fetch_add(1, std::memory_order_relaxed) % 5 < 3;
}
void discount(void* memory) {
  if (memory == nullptr) return;
  allocations.fetch_sub(1, std::memory_order_relaxed);
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) { return counted_or_throw(std::malloc(size)); }
void* operator new(std::size_t size, std::align_val_t alignment) { return counted_or_throw(aligned(size, alignment)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return fails() ? nullptr : counted(std::malloc(size));
}
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return fails() ? nullptr : counted(aligned(size, alignment));
}
void operator delete(void* memory) noexcept { discount(memory); }
void operator delete(void* memory, std::size_t) noexcept { discount(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { discount(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { discount(memory); }
#endif

namespace {

// With one worker and with three, from some seeds, each after a run that may leave what is made once; make_main is
// given the seed. Afterwards this process has the descriptors and the memory that it had before.
template <class F>
void on_hostile_kernels(F make_main, std::uint64_t seeds = 8) {
  const char* first_seed = std::getenv("RINGO_FIRST_SEED");
  const std::uint64_t first = first_seed ? std::strtoull(first_seed, nullptr, 10) : 0;
  for (const unsigned workers : {1u, 3u}) {
    for (std::uint64_t seed = first; seed < first + stressed(seeds); ++seed) {
      scheduler_under_test::current() = std::to_string(workers) + " on a hostile kernel, seed " + std::to_string(seed);
      const auto descriptors = open_descriptors();
      const auto live = testing::live();
      const auto memory = allocations.load();
      hostile_deeds deeds;
      run_on_a_hostile_kernel(workers, seed, deeds, [&] { return make_main(seed); });
      CHECK(open_descriptors() == descriptors);
      CHECK(testing::live().frames == live.frames);
      CHECK(testing::live().operations == live.operations);
      CHECK(deeds.closed_wrong == 0);
      CHECK(deeds.asked_in_vain == 0);
      // Under AddressSanitizer the library keeps marks of what is gone (ringo/detail/destroyed.hpp); there
      // LeakSanitizer looks for leaks.
      if (seed != first && detail::frame_cache::recycles) CHECK(allocations.load() == memory);
    }
  }
}

template <class Sink>
task<> send_numbered(Sink& to, std::size_t size, std::uint64_t seed) {
  dice d(seed);
  for (numbered_pieces cut(size); cut.next(1 + d.below(d.below(8) == 0 ? 40'000 : 600));) {
    co_await to.send(cut.piece());
  }
}

// Until it is cancelled, or the stream has ended. What an operation has given is noted without an await between.
template <class Source>
task<> read_some_time(Source& from, progress_of_reading& p, std::uint64_t seed) {
  dice d(seed);
  std::array<char, 3000> into{};
  while (!p.has_ended) {
    const auto part = std::span(into).first(1 + d.below(into.size()));
    switch (d.below(4)) {
      case 0: {
        auto came = co_await select(from.recv(), sleep(0s));
        if (came.index() == 1) break;
        const auto& some = std::get<0>(came);
        p.has_ended = !some;
        if (some) p.take(some->text());
        break;
      }
      case 1: {
        auto came = co_await select(from.read(part), sleep(std::chrono::microseconds(d.below(60))));
        if (came.index() == 1) break;
        p.has_ended = std::get<0>(came) == 0;
        p.take(part.first(std::get<0>(came)));
        break;
      }
      case 2: {
        const std::size_t n = co_await from.read(part);
        p.has_ended = n == 0;
        p.take(part.first(n));
        break;
      }
      default: {
        const auto some = co_await from.recv();
        p.has_ended = !some;
        if (some) p.take(some->text());
      }
    }
  }
}

}  // namespace

TEST_CASE("TCP: numbered bytes both ways through readers that are cancelled arrive each, once and in order (H3, c30)") {
  on_hostile_kernels([](std::uint64_t seed) -> task<> {
    constexpr std::size_t size = 60'000;
    connected c = co_await connect_pair();
    wait_group all;
    const auto both = [](tcp_stream& s, std::uint64_t n) -> task<> {
      auto sending = go(
          [](tcp_stream& to, std::uint64_t m) -> task<> {
            co_await send_numbered(to, size, m);
            co_await to.shutdown_send();
          },
          std::ref(s), n);
      co_await read_all_numbered(s, read_some_time<tcp_stream>, size, n);
      co_await sending;
    };
    all.go(both, std::ref(c.here), seed + 1);
    all.go(both, std::ref(c.there), seed + 2);
    co_await all.wait();
    co_await c.here.close();
  });
}

TEST_CASE("Pipes: numbered bytes through readers that are cancelled arrive each, once and in order (H3, c30)") {
  on_hostile_kernels([](std::uint64_t seed) -> task<> {
    constexpr std::size_t size = 60'000;
    pipe_pair p;
    auto sending = go(
        [](pipe_writer to, std::uint64_t n) -> task<> {
          co_await send_numbered(to, size, n);
          co_await to.close();
        },
        std::move(p.writer), seed + 1);
    co_await read_all_numbered(p.reader, read_some_time<pipe_reader>, size, seed + 2);
    co_await sending;
  });
}

TEST_CASE("Unix sockets: bytes and the descriptors beside them arrive each, once and in order (H3, c30)") {
  on_hostile_kernels([](std::uint64_t seed) -> task<> {
    constexpr int messages = 40;
    auto [one, other] = unix_stream::pair();
    unix_stream to = std::move(one), from = std::move(other);
    auto sending = go(
        [](unix_stream& s) -> task<> {
          const int ours = ::dup(0);
          for (int i = 0; i < messages; ++i) {
            const std::string text(1, numbered(static_cast<std::size_t>(i)));
            co_await s.send_message(text, ours);
          }
          ::close(ours);
          co_await s.shutdown_send();
        },
        std::ref(to));
    dice d(seed);
    progress_of_reading p;
    int passed = 0;
    while (!p.has_ended) {
      auto came = co_await select(from.recv_message(), sleep(std::chrono::microseconds(d.below(100))));
      if (came.index() == 1) continue;
      auto& message = std::get<0>(came);
      p.has_ended = !message;
      if (!message) break;
      p.take(message->bytes.text());
      passed += static_cast<int>(message->descriptors.size());
    }
    CHECK(p.is_right);
    CHECK(p.at == messages);
    CHECK(passed == messages);
    co_await sending;
  });
}

namespace {

// A message that tells its own size.
std::string message(char of, std::size_t size) {
  std::string text = std::to_string(size) + ':';
  text.append(size, of);
  return text;
}

// The first characters of the messages in it, and "..." for one that is not whole.
std::string messages_in(std::string_view bytes) {
  std::string found;
  while (!bytes.empty()) {
    const std::size_t colon = bytes.find(':');
    const std::size_t size = colon == bytes.npos ? 0 : std::stoul(std::string(bytes.substr(0, colon)));
    if (colon == bytes.npos || bytes.size() < colon + 1 + size) return found + "...";
    const std::string_view text = bytes.substr(colon + 1, size);
    if (text.find_first_not_of(text.front()) != text.npos) return found + " mixed";
    found += text.front();
    bytes.remove_prefix(colon + 1 + size);
  }
  return found;
}

}  // namespace

TEST_CASE("A send that is cancelled has sent all, or nothing, or nobody sends behind the part that it has (H4)") {
  on_hostile_kernels([](std::uint64_t seed) -> task<> {
    dice d(seed);
    for (int i = 0; i < 10; ++i) {
      connected c = co_await connect_pair();
      auto reading = go(read_all<tcp_stream>, std::ref(c.there));
      std::string whole;
      auto sending = go(
          [](tcp_stream& to, std::string& sent, std::uint64_t n) -> task<> {
            dice of_sizes(n);
            for (char next = 'a';; next = next == 'z' ? 'a' : static_cast<char>(next + 1)) {
              const std::string text = message(next, 1 + of_sizes.below(30'000));
              co_await to.send(text);
              sent += next;
            }
          },
          std::ref(c.here), std::ref(whole), seed + 1);
      co_await sleep(std::chrono::microseconds(d.below(600)));
      sending.cancel();
      co_await sending.wait();
      const std::string last = message('!', 100);
      const auto after = co_await outcome(c.here.send(last));
      co_await c.here.close();
      const std::string all = co_await reading;
      const std::string came = messages_in(all);
      CHECK(came.starts_with(whole));
      const std::string_view rest = std::string_view(came).substr(whole.size());
      if (after.has_value()) {
        CHECK(rest == "!");
      } else {  // a part has come, or all of what its sender does not know to have been sent
        const bool is_right = rest == "..." || (rest.size() == 1 && rest != "!");
        CHECK(is_right);
      }
    }
  });
}

namespace {

// Until there is memory for it: without, it has done nothing.
template <class Make>
task<bool> again_while_short(Make make) {
  for (;;) {
    const auto o = co_await outcome(make());
    if (o.has_value()) co_return true;
    try {
      std::rethrow_exception(o.error());
    } catch (const std::system_error& e) {
      if (e.code() != std::errc::not_enough_memory) throw;
    }
    co_await yield();
  }
}

}  // namespace

TEST_CASE("Where memory is short for a while, who waits for a stream is told, and no byte is lost (c18)") {
  on_hostile_kernels([](std::uint64_t seed) -> task<> {
    constexpr std::size_t size = 30'000;
    connected c = co_await connect_pair();
    memory_is_short = true;
    auto sending = go(
        [](tcp_stream& s, std::uint64_t n) -> task<> {
          dice d(n);
          for (numbered_pieces cut(size); cut.next(1 + d.below(3000));) {
            const auto send = [&] { return s.send(cut.piece()); };
            co_await again_while_short(send);
          }
          co_await s.shutdown_send();
        },
        std::ref(c.here), seed);
    progress_of_reading p;
    std::array<char, 2000> into{};
    std::size_t n = 0;
    const auto read = [&]() -> task<> { n = co_await c.there.read(into); };
    while (!p.has_ended) {
      co_await again_while_short(read);
      p.has_ended = n == 0;
      p.take(std::span(into).first(n));
    }
    memory_is_short = false;
    CHECK(p.is_right);
    CHECK(p.at == size);
    co_await sending;
  });
}

TEST_CASE(
    "Where memory is short for a while, each datagram comes, or who waits is told of the one that is lost (c18)") {
  on_hostile_kernels([](std::uint64_t) -> task<> {
    constexpr int count = 50;
    auto [one, other] = unix_datagram::pair();
    unix_datagram to = std::move(one), from = std::move(other);
    memory_is_short = true;
    auto sending = go(
        [](unix_datagram& s) -> task<> {
          for (int i = 0; i < count; ++i) {
            const std::string text = std::to_string(i) + std::string(static_cast<std::size_t>(i) * 100, ' ');
            const auto send = [&] { return s.send(text); };
            co_await again_while_short(send);
          }
          memory_is_short = false;
          co_await s.send("end");
        },
        std::ref(to));
    int told = 0, came = 0, last = -1;
    bool in_order = true;
    for (bool has_ended = false; !has_ended;) {
      auto o = co_await outcome(from.recv());
      if (!o.has_value()) {
        ++told;
        continue;
      }
      const chunk c = std::move(o).value();
      has_ended = c.text() == "end";
      if (has_ended) break;
      ++came;
      const int number = std::stoi(std::string(c.text()));
      in_order = in_order && number > last;
      last = number;
    }
    CHECK(in_order);
    CHECK(came + told >= count);
    co_await sending;
  });
}

TEST_CASE("Clients come while acceptors lose and are cancelled: each is served (H2, H14, c30)") {
  on_hostile_kernels([](std::uint64_t seed) -> task<> {
    constexpr int clients = 40;
    auto listener = listen_locally();
    std::atomic<int> served = 0;
    auto accepting = go([&]() -> task<> {
      const auto accept_some_time = [&listener]() -> task<> {
        dice d(1);
        for (;;) {
          auto came = co_await select(listener.accept(), sleep(std::chrono::microseconds(d.below(80))));
          if (came.index() == 1) continue;
          go([](tcp_stream one) -> task<> { co_await one.send("served"); }, std::move(std::get<0>(came)));
        }
      };
      dice d(seed);
      for (;;) {
        auto one = go(accept_some_time), other = go(accept_some_time);
        auto slept = co_await outcome(sleep(std::chrono::microseconds(d.below(300))));
        one.cancel();
        other.cancel();
        co_await shield(one.wait());
        co_await shield(other.wait());
        if (!slept.has_value()) co_return;
      }
    });
    wait_group all;
    for (int i = 0; i < clients; ++i) {
      all.go([&]() -> task<> {
        tcp_stream s = co_await tcp_stream::connect(listener.local());
        std::array<char, 6> answer{};
        co_await s.read_exactly(answer);
        if (std::string_view(answer.data(), answer.size()) == "served") ++served;
      });
    }
    co_await all.wait();
    CHECK(served == clients);
    accepting.cancel();
    co_await accepting.wait();
  });
}

TEST_CASE(
    "What keeps connections from being accepted is told once, and tried again with pauses until it passes (H38)") {
  for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, EACCES, EIO}) {
    CAPTURE(error);
    hostile_deeds deeds;
    deeds.accept_error = error;
    run_on_a_hostile_kernel(1, 1, deeds, [&deeds]() -> task<> {
      auto listener = listen_locally();
      auto accepting =
          go([](tcp_listener& l) -> task<tcp_stream> { co_return co_await l.accept(); }, std::ref(listener));
      tcp_stream client = co_await tcp_stream::connect(listener.local());
      while (deeds.accepts_failed < 3) co_await sleep(1ms);
      // Pauses that grow: in as long a time as three attempts have taken there are no many more.
      for (int i = 0; i < 10; ++i) co_await sleep(1ms);
      CHECK(deeds.accepts_failed < 30);
      CHECK(deeds.warnings == 1);
      deeds.accept_error = 0;
      tcp_stream served = co_await accepting;
      co_await served.send("x");
      const auto came = co_await client.recv();
      CHECK(came);
    });
  }
}

TEST_CASE("What is wrong with one connection does not keep the next from being accepted, nor is it told (H38)") {
  for (const int error : {ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH, EHOSTDOWN, ENONET, ENOPROTOOPT}) {
    CAPTURE(error);
    hostile_deeds deeds;
    deeds.accept_error = error;
    run_on_a_hostile_kernel(1, 1, deeds, [&deeds]() -> task<> {
      auto listener = listen_locally();
      auto accepting =
          go([](tcp_listener& l) -> task<tcp_stream> { co_return co_await l.accept(); }, std::ref(listener));
      tcp_stream client = co_await tcp_stream::connect(listener.local());
      while (deeds.accepts_failed < 3) co_await yield();
      deeds.accept_error = 0;
      tcp_stream served = co_await accepting;
      CHECK(static_cast<bool>(served));
    });
    CHECK(deeds.warnings == 0);
  }
}

TEST_CASE(
    "Datagrams arrive each, once and in order, through receives that lose and sends that are interrupted (H3, c30)") {
  on_hostile_kernels([](std::uint64_t seed) -> task<> {
    constexpr int count = 200;
    auto [one, other] = unix_datagram::pair();
    unix_datagram to = std::move(one), from = std::move(other);
    auto sending = go(
        [](unix_datagram& s) -> task<> {
          for (int i = 0; i < count; ++i) {
            const std::string text = std::to_string(i);
            co_await s.send(text);
          }
        },
        std::ref(to));
    dice d(seed);
    bool in_order = true;
    for (int i = 0; i < count;) {
      auto came = co_await select(from.recv(), sleep(std::chrono::microseconds(d.below(60))));
      if (came.index() == 1) continue;
      in_order = in_order && std::get<0>(came).text() == std::to_string(i);
      ++i;
    }
    CHECK(in_order);
    co_await sending;
  });
}

TEST_CASE("Datagrams whose sends are cancelled have been sent once, or not at all") {
  on_hostile_kernels([](std::uint64_t seed) -> task<> {
    constexpr int count = 60;
    auto [one, other] = unix_datagram::pair();
    unix_datagram to = std::move(one), from = std::move(other);
    auto sending = go(
        [](unix_datagram& s, std::uint64_t n) -> task<> {
          dice d(n);
          for (int i = 0; i < count; ++i) {
            const std::string text = std::to_string(i);
            auto sent = co_await select(s.send(text), sleep(std::chrono::microseconds(d.below(30))));
            const bool is_sure = sent.index() == 0;
            const std::string after = is_sure ? "sure" : "left";
            co_await s.send(after);
          }
          co_await s.send("end");
        },
        std::ref(to), seed);
    int next = 0;
    bool is_right = true, has_come = false;
    for (;;) {
      const chunk c = co_await from.recv();
      if (c.text() == "end") break;
      if (c.text() == "sure" || c.text() == "left") {
        is_right = is_right && (has_come || c.text() == "left");
        has_come = false;
        ++next;
      } else {
        is_right = is_right && !has_come && c.text() == std::to_string(next);
        has_come = true;
      }
    }
    CHECK(is_right);
    CHECK(next == count);
    co_await sending;
  });
}

TEST_CASE("Files are written and read whole, and calls that lose leave nothing (c30)") {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("ringo-hostile-" + std::to_string(::getpid()))).string();
  on_hostile_kernels([&path](std::uint64_t seed) -> task<> {
    std::string text(50'000, ' ');
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = numbered(i);
    co_await write_file(path, text);
    dice d(seed);
    for (int i = 0; i < 5; ++i) {
      auto lost = co_await select(read_file(path), sleep(std::chrono::microseconds(d.below(200))));
      if (lost.index() == 0) CHECK(std::get<0>(lost) == text);
      auto opening = co_await select(file::open(path), sleep(0s));
      (void)opening;
    }
    const std::string whole = co_await read_file(path);
    CHECK(whole == text);
    co_await remove_file(path);
  });
}

TEST_CASE("Each signal is heard, and each program's end, however often the waits for them lose (H4, c30)") {
  on_hostile_kernels(
      [](std::uint64_t seed) -> task<> {
        dice d(seed);
        signals heard({SIGUSR1});
        process_options o;
        o.output = process_stream::pipe;
        for (int i = 0; i < 3; ++i) {
          ::kill(::getpid(), SIGUSR1);
          for (bool has_come = false; !has_come;) {
            auto came = co_await select(heard.recv(), sleep(std::chrono::microseconds(d.below(50))));
            has_come = came.index() == 0;
          }
          std::vector<std::string> arguments{"echo", "hello"};
          process p = co_await process::start(std::move(arguments), o);
          for (bool has_ended = false; !has_ended;) {
            auto end = co_await select(p.wait(), sleep(std::chrono::microseconds(d.below(200))));
            has_ended = end.index() == 0;
            if (has_ended) CHECK(std::get<0>(end).success());
          }
          const std::string said = co_await read_all(p.output());
          CHECK(said == "hello\n");
        }
      },
      6);
}

TEST_CASE("A wait for a descriptor that loses and is awaited again hears of it, once it is ready (H4, c30)") {
  on_hostile_kernels([](std::uint64_t seed) -> task<> {
    pipe_pair p;
    dice d(seed);
    for (int i = 0; i < 20; ++i) {
      auto waiting = readable(p.reader.native_handle());
      for (int k = 0; k < 3; ++k) {
        auto lost = co_await select(waiting, sleep(std::chrono::microseconds(d.below(40))));
        CHECK(lost.index() == 1);
      }
      co_await p.writer.send("x");
      co_await waiting;
      std::array<char, 1> byte{};
      co_await p.reader.read_exactly(byte);
    }
  });
}

TEST_CASE("Closed in every state: who waits is told, and each descriptor is closed once (H5)") {
  on_hostile_kernels([](std::uint64_t seed) -> task<> {
    dice d(seed);
    for (int i = 0; i < 8; ++i) {
      connected c = co_await connect_pair();
      auto listener = listen_locally();
      auto [one, other] = unix_datagram::pair();
      unix_datagram datagrams = std::move(one), peer = std::move(other);
      group busy(current_context(), on_error::keep_going);
      const std::string much(300'000, 'm');
      busy.go(
          [](tcp_stream& s, const std::string& text) -> task<> {
            for (;;) co_await s.send(text);
          },
          std::ref(c.here), std::cref(much));
      busy.go([](tcp_stream& s) -> task<> { co_await s.recv(); }, std::ref(c.here));
      busy.go([](tcp_listener& l) -> task<> { co_await l.accept(); }, std::ref(listener));
      busy.go([](unix_datagram& s) -> task<> { co_await s.recv(); }, std::ref(datagrams));
      busy.go(
          [](unix_datagram& s) -> task<> {
            for (;;) co_await s.send("datagram");
          },
          std::ref(datagrams));
      co_await sleep(std::chrono::microseconds(d.below(300)));
      // Two that close the same one, and one that is destroyed meanwhile.
      busy.go([](tcp_stream& s) -> task<> { co_await s.close(); }, std::ref(c.here));
      co_await all(c.here.close(), listener.close(), datagrams.close());
      co_await outcome(busy.wait());
    }
  });
}

TEST_CASE("Where the program ends while everything is in flight nothing is left (H28, D11)") {
  on_hostile_kernels([](std::uint64_t seed) -> task<> {
    dice d(seed);
    connected c = co_await connect_pair();
    auto listener = listen_locally();
    const endpoint at = listener.local();
    const auto receive = [](tcp_stream s) -> task<> {
      while (co_await s.recv()) {
      }
    };
    const auto send = [](tcp_stream s) -> task<> {
      const std::string much(100'000, 'm');
      for (;;) co_await s.send(much);
    };
    const auto accept = [](tcp_listener l) -> task<> {
      for (;;) co_await l.accept();
    };
    const auto connect = [](endpoint to) -> task<> {
      for (;;) co_await tcp_stream::connect(to);
    };
    const auto receive_datagrams = [](udp_socket s) -> task<> {
      for (;;) co_await s.recv();
    };
    go(receive, std::move(c.here));
    go(send, std::move(c.there));
    go(accept, std::move(listener));
    go(connect, at);
    go(receive_datagrams, udp_socket::bind("127.0.0.1:0"));
    go([]() -> task<> { (void)co_await read_file("/proc/self/maps"); });
    co_await sleep(std::chrono::microseconds(d.below(500)));
  });
}

TEST_CASE("The hostile kernel does all that it is meant to do") {
  hostile_deeds deeds;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    run_on_a_hostile_kernel(1, seed, deeds, []() -> task<> {
      connected c = co_await connect_pair();
      auto sending = go([](tcp_stream& to) -> task<> { co_await send_numbered(to, 30'000, 1); }, std::ref(c.here));
      progress_of_reading p;
      while (p.at < 30'000) {
        auto came = co_await select(c.there.recv(), sleep(0s));
        if (came.index() == 0 && std::get<0>(came)) p.take(std::get<0>(came)->text());
      }
      co_await sending;
      for (int i = 0; i < 20; ++i) {
        auto lost = co_await select(readable(c.there.native_handle()), sleep(1us));
        CHECK(lost.index() == 1);
      }
    });
  }
  CHECK(deeds.closed > 0);
  CHECK(deeds.shortened > 0);
  CHECK(deeds.refused > 0);
  CHECK(deeds.ended_unasked > 0);
  CHECK(deeds.ended_late > 0);
}
