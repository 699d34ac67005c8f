// Every operation is tried first, and awaited if that fails: awaiting at once costs several times as much.
// One worker: an io_context that does no locking. More: a pool of threads on one io_context, channels that lock, and a
// strand around whatever cancels, for parallel_group is not to be entered by two threads.
// Boost 1.81 drops what is buffered when a channel is closed, so streams end with a last value.
#include <array>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/basic_channel.hpp>
#include <boost/asio/experimental/basic_concurrent_channel.hpp>
#include <boost/asio/experimental/channel_traits.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <random>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "../../timing.hpp"

namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using namespace std::chrono_literals;

using io_executor = asio::io_context::executor_type;

struct one_worker {
  using strand = io_executor;
  static strand make_strand(io_executor executor) { return executor; }
  template <class T, class Executor>
  using channel =
      asio::experimental::basic_channel<Executor, asio::experimental::channel_traits<>, void(error_code, T)>;
};

struct many_workers {
  using strand = asio::strand<io_executor>;
  static strand make_strand(io_executor executor) { return strand(executor); }
  template <class T, class Executor>
  using channel =
      asio::experimental::basic_concurrent_channel<Executor, asio::experimental::channel_traits<>, void(error_code, T)>;
};

constexpr int last_value = -1;
constexpr std::int64_t sum_below(std::int64_t n) { return n * (n - 1) / 2; }

template <class Mode>
struct workloads {
  template <class T, class Executor = io_executor>
  using channel = typename Mode::template channel<T, Executor>;
  template <class T, class Executor = io_executor>
  using shared = std::shared_ptr<channel<T, Executor>>;
  using strand = typename Mode::strand;
  template <class Executor>
  using timer =
      asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;
  using task = asio::awaitable<void, io_executor>;
  using strand_task = asio::awaitable<void, strand>;

  // What one run of a workload needs. It outlives the threads, so that a task which has just counted down may be a
  // moment late in leaving the channel. Whoever owns a channel waits for everybody who uses it.
  struct bench {
    bench(io_executor on, ::bench::timing& measured)
        : executor(on), timing(measured), all_done(on, 1), never_sent(on) {}

    template <class Executor>
    void start(const Executor& on, asio::awaitable<void, Executor> routine) {
      asio::co_spawn(on, std::move(routine), [this](std::exception_ptr error) {
        if (error) std::terminate();
        if (left.fetch_sub(1) == 1) all_done.try_send(error_code(), 0);
      });
    }
    void start(task routine) { start(executor, std::move(routine)); }
    void expect_tasks(long count) { left = count; }
    auto join() { return all_done.async_receive(asio::deferred); }

    io_executor executor;
    ::bench::timing& timing;
    std::atomic<long> left{0};
    channel<int> all_done;
    channel<int> never_sent;
  };

  using body = task (*)(bench&);

  static task ping(channel<int>& there, channel<int>& back, int rounds) {
    for (int i = 0; i < rounds; ++i) {
      if (!there.try_send(error_code(), i)) co_await there.async_send(error_code(), i, asio::deferred);
      if (!back.try_receive([](error_code, int) {})) co_await back.async_receive(asio::deferred);
    }
  }

  static task pong(channel<int>& there, channel<int>& back, int rounds) {
    for (int i = 0; i < rounds; ++i) {
      if (!there.try_receive([](error_code, int) {})) co_await there.async_receive(asio::deferred);
      if (!back.try_send(error_code(), i)) co_await back.async_send(error_code(), i, asio::deferred);
    }
  }

  static task unbuffered_pingpong(bench& b) {
    constexpr int messages = 200'000;
    while (b.timing.next(messages)) {
      channel<int> there(b.executor);
      channel<int> back(b.executor);
      b.expect_tasks(2);
      b.start(ping(there, back, messages / 2));
      b.start(pong(there, back, messages / 2));
      co_await b.join();
    }
  }

  template <class Channel>
  static task produce(Channel& out, int count, int readers) {
    for (int i = 0; i < count; ++i) {
      if (!out.try_send(error_code(), i)) co_await out.async_send(error_code(), i, asio::deferred);
    }
    for (int i = 0; i < readers; ++i) co_await out.async_send(error_code(), last_value, asio::deferred);
  }

  static task consume(channel<int>& in, std::int64_t& sum) {
    for (;;) {
      int value = 0;
      if (!in.try_receive([&](error_code, int received) { value = received; })) {
        value = co_await in.async_receive(asio::deferred);
      }
      if (value == last_value) co_return;
      sum += value;
    }
  }

  static task many_to_many(bench& b, int count, int messages) {
    while (b.timing.next(static_cast<std::uint64_t>(messages))) {
      channel<int> values(b.executor, 128);
      std::vector<std::int64_t> sums(static_cast<std::size_t>(count));
      b.expect_tasks(2 * count);
      for (int i = 0; i < count; ++i) b.start(produce(values, messages / count, 1));
      for (auto& sum : sums) b.start(consume(values, sum));
      co_await b.join();
      std::int64_t total = 0;
      for (const auto sum : sums) total += sum;
      b.timing.expect(total == count * sum_below(messages / count));
    }
  }

  static task buffered_spsc(bench& b) { return many_to_many(b, 1, 500'000); }

  static task mpmc_4x4(bench& b) { return many_to_many(b, 4, 400'000); }

  static task numbers(shared<int> out) {
    for (int i = 2; i <= 7919; ++i) {
      if (!out->try_send(error_code(), i)) co_await out->async_send(error_code(), i, asio::deferred);
    }
    co_await out->async_send(error_code(), last_value, asio::deferred);
  }

  static task sieve_out(shared<int> in, shared<int> out, int prime) {
    for (;;) {
      int number = 0;
      if (!in->try_receive([&](error_code, int received) { number = received; })) {
        number = co_await in->async_receive(asio::deferred);
      }
      if (number == last_value) break;
      if (number % prime == 0) continue;
      if (!out->try_send(error_code(), number)) co_await out->async_send(error_code(), number, asio::deferred);
    }
    co_await out->async_send(error_code(), last_value, asio::deferred);
  }

  static task prime_sieve(bench& b) {
    while (b.timing.next(1)) {
      b.expect_tasks(1001);
      auto stage = std::make_shared<channel<int>>(b.executor);
      b.start(numbers(stage));
      int primes = 0;
      int last = 0;
      for (;;) {
        const int prime = co_await stage->async_receive(asio::deferred);
        if (prime == last_value) break;
        ++primes;
        last = prime;
        auto next = std::make_shared<channel<int>>(b.executor);
        b.start(sieve_out(stage, next, prime));
        stage = next;
      }
      co_await b.join();
      b.timing.expect(primes == 1000 && last == 7919);
    }
  }

  using strand_channel = channel<int, strand>;

  template <std::size_t... I>
  static auto receive_any(std::vector<strand_channel>& from, std::index_sequence<I...>) {
    return asio::experimental::make_parallel_group(from[I].async_receive(asio::deferred)...)
        .async_wait(asio::experimental::wait_for_one(), asio::deferred);
  }

  // Several may have been received when parallel_group is done, for it cancels the others too late.
  template <std::size_t... I, class Results>
  static int take(const Results& results, std::int64_t& sum, std::index_sequence<I...>) {
    int received = 0;
    (..., (std::get<1 + 2 * I>(results) ? void() : (++received, void(sum += std::get<2 + 2 * I>(results)))));
    return received;
  }

  template <std::size_t Width>
  static strand_task select_from(std::vector<strand_channel>& from, int count, std::int64_t& sum) {
    constexpr auto indices = std::make_index_sequence<Width>();
    std::minstd_rand random;
    for (int received = 0; received < count;) {
      const std::size_t first = random();
      bool taken = false;
      for (std::size_t i = 0; i < Width && !taken; ++i) {
        taken = from[(first + i) % Width].try_receive([&](error_code, int value) { sum += value; });
      }
      if (taken) {
        ++received;
      } else {
        const auto results = co_await receive_any(from, indices);
        received += take(results, sum, indices);
      }
    }
  }

  template <std::size_t Width>
  static task select_ready(bench& b) {
    constexpr int messages = 400'000;
    constexpr int each = messages / static_cast<int>(Width);
    while (b.timing.next(messages)) {
      const strand consumer = Mode::make_strand(b.executor);
      std::vector<strand_channel> from;
      for (std::size_t i = 0; i < Width; ++i) from.emplace_back(consumer, 128);
      std::int64_t sum = 0;
      b.expect_tasks(Width + 1);
      for (auto& out : from) b.start(produce(out, each, 0));
      b.start(consumer, select_from<Width>(from, messages, sum));
      co_await b.join();
      b.timing.expect(sum == static_cast<int>(Width) * sum_below(each));
    }
  }

  static task select_default(bench& b) {
    constexpr int tries = 1'000'000;
    channel<int> empty(b.executor, 128);
    while (b.timing.next(tries)) {
      int misses = 0;
      for (int i = 0; i < tries; ++i) misses += !empty.try_receive([](error_code, int) {});
      b.timing.expect(misses == tries);
    }
    co_return;
  }

  static strand_task receive_in_time(strand_channel& in, strand executor, int count, int& received) {
    for (int i = 0; i < count; ++i) {
      timer<strand> timeout(executor, 1s);
      if (in.try_receive([](error_code, int) {})) {
        ++received;
        continue;
      }
      const auto results = co_await asio::experimental::make_parallel_group(in.async_receive(asio::deferred),
                                                                            timeout.async_wait(asio::deferred))
                               .async_wait(asio::experimental::wait_for_one(), asio::deferred);
      received += !std::get<1>(results);
    }
  }

  static task select_timeout(bench& b) {
    constexpr int receives = 200'000;
    while (b.timing.next(receives)) {
      const strand consumer = Mode::make_strand(b.executor);
      strand_channel values(consumer);
      int received = 0;
      b.expect_tasks(2);
      b.start(produce(values, receives, 0));
      b.start(consumer, receive_in_time(values, consumer, receives, received));
      co_await b.join();
      b.timing.expect(received == receives);
    }
  }

  static task trivial() { co_return; }

  static task spawn_join(bench& b) {
    constexpr int tasks = 100'000;
    while (b.timing.next(tasks)) {
      for (int started = 0; started < tasks; started += 1000) {
        b.expect_tasks(1000);
        for (int i = 0; i < 1000; ++i) b.start(trivial());
        co_await b.join();
      }
    }
  }

  static task tree(shared<std::int64_t> parent, std::int64_t first, std::int64_t leaves) {
    if (leaves == 1) {
      if (!parent->try_send(error_code(), first)) co_await parent->async_send(error_code(), first, asio::deferred);
      co_return;
    }
    const auto executor = co_await asio::this_coro::executor;
    const auto sums = std::make_shared<channel<std::int64_t>>(executor);
    const std::int64_t below = leaves / 10;
    for (int i = 0; i < 10; ++i) {
      asio::co_spawn(executor, tree(sums, first + i * below, below), [](std::exception_ptr) {});
    }
    std::int64_t sum = 0;
    for (int i = 0; i < 10; ++i) {
      std::int64_t part = 0;
      if (!sums->try_receive([&](error_code, std::int64_t received) { part = received; })) {
        part = co_await sums->async_receive(asio::deferred);
      }
      sum += part;
    }
    if (!parent->try_send(error_code(), sum)) co_await parent->async_send(error_code(), sum, asio::deferred);
  }

  static task skynet(bench& b) {
    constexpr std::int64_t leaves = 1'000'000;
    while (b.timing.next(1)) {
      const auto root = std::make_shared<channel<std::int64_t>>(b.executor);
      asio::co_spawn(b.executor, tree(root, 0, leaves), [](std::exception_ptr) {});
      const std::int64_t sum = co_await root->async_receive(asio::deferred);
      b.timing.expect(sum == sum_below(leaves));
    }
  }

  static task yield_often(int times) {
    for (int i = 0; i < times; ++i) co_await asio::post(asio::deferred);
  }

  static task yield(bench& b) {
    constexpr int yields = 400'000;
    while (b.timing.next(yields)) {
      b.expect_tasks(2);
      b.start(yield_often(yields / 2));
      b.start(yield_often(yields / 2));
      co_await b.join();
    }
  }

  static task sleep_once(io_executor executor, std::chrono::milliseconds length) {
    timer<io_executor> alarm(executor, length);
    co_await alarm.async_wait(asio::deferred);
  }

  static task timers_sleep(bench& b) {
    constexpr int sleepers = 100'000;
    while (b.timing.next(sleepers)) {
      b.expect_tasks(sleepers);
      for (int i = 0; i < sleepers; ++i) b.start(sleep_once(b.executor, std::chrono::milliseconds(1 + i % 100)));
      co_await b.join();
    }
  }

  static task block(bench& b, std::atomic<int>& arrived) {
    arrived.fetch_add(1, std::memory_order_relaxed);
    co_await b.never_sent.async_receive(asio::deferred);
  }

  static task memory(bench& b) {
    constexpr int tasks = 1'000'000;
    std::atomic<int> arrived{0};
    const double before = ::bench::resident_bytes();
    b.expect_tasks(tasks + 1);
    for (int i = 0; i < tasks; ++i) b.start(block(b, arrived));
    while (arrived.load(std::memory_order_relaxed) < tasks) co_await asio::post(asio::deferred);
    b.timing.measured((::bench::resident_bytes() - before) / tasks, tasks);
  }

  // Asio has no lock that is awaited; a channel of one place is its usual substitute.
  static task lock_often(channel<int>& lock, int& counter, int times) {
    for (int i = 0; i < times; ++i) {
      if (!lock.try_send(error_code(), 0)) co_await lock.async_send(error_code(), 0, asio::deferred);
      ++counter;
      lock.try_receive([](error_code, int) {});
    }
  }

  static task mutex(bench& b) {
    constexpr int tasks = 8;
    constexpr int locks = 400'000;
    while (b.timing.next(locks)) {
      channel<int> lock(b.executor, 1);
      int counter = 0;
      b.expect_tasks(tasks);
      for (int i = 0; i < tasks; ++i) b.start(lock_often(lock, counter, locks / tasks));
      co_await b.join();
      b.timing.expect(counter == locks);
    }
  }

  static task work(channel<int>& jobs, channel<int>& results) {
    for (;;) {
      int job = 0;
      if (!jobs.try_receive([&](error_code, int received) { job = received; })) {
        job = co_await jobs.async_receive(asio::deferred);
      }
      if (job == last_value) co_return;
      if (!results.try_send(error_code(), job * 2)) {
        co_await results.async_send(error_code(), job * 2, asio::deferred);
      }
    }
  }

  static task worker_pool(bench& b) {
    constexpr int count = 200'000;
    while (b.timing.next(count)) {
      channel<int> jobs(b.executor, 128);
      channel<int> results(b.executor, 128);
      b.expect_tasks(5);
      for (int i = 0; i < 4; ++i) b.start(work(jobs, results));
      b.start(produce(jobs, count, 4));
      std::int64_t sum = 0;
      for (int i = 0; i < count; ++i) {
        int result = 0;
        if (!results.try_receive([&](error_code, int received) { result = received; })) {
          result = co_await results.async_receive(asio::deferred);
        }
        sum += result;
      }
      co_await b.join();
      b.timing.expect(sum == 2 * sum_below(count));
    }
  }
};

template <class Mode>
void run(typename workloads<Mode>::body workload, bench::timing& timing, asio::io_context& io, unsigned workers) {
  typename workloads<Mode>::bench bench(io.get_executor(), timing);
  asio::co_spawn(io.get_executor(), workload(bench), [&](std::exception_ptr error) {
    if (error) std::terminate();
    io.stop();
  });
  std::vector<std::thread> threads;
  for (unsigned i = 1; i < workers; ++i) threads.emplace_back([&] { io.run(); });
  io.run();
  for (auto& each : threads) each.join();
}

struct workload {
  workloads<one_worker>::body one;
  workloads<many_workers>::body many;
};

#define BOTH(function) {&workloads<one_worker>::function, &workloads<many_workers>::function}

}  // namespace

int main(int argc, char** argv) {
  return bench::program<workload>(argc, argv,
                                  {{"unbuffered_pingpong", BOTH(unbuffered_pingpong)},
                                   {"buffered_spsc", BOTH(buffered_spsc)},
                                   {"mpmc_4x4", BOTH(mpmc_4x4)},
                                   {"prime_sieve", BOTH(prime_sieve)},
                                   {"select2_ready", BOTH(select_ready<2>)},
                                   {"select8_ready", BOTH(select_ready<8>)},
                                   {"select_default", BOTH(select_default)},
                                   {"select_timeout", BOTH(select_timeout)},
                                   {"spawn_join", BOTH(spawn_join)},
                                   {"skynet", BOTH(skynet)},
                                   {"yield", BOTH(yield)},
                                   {"timers_sleep", BOTH(timers_sleep)},
                                   {"memory", BOTH(memory)},
                                   {"mutex", BOTH(mutex)},
                                   {"worker_pool", BOTH(worker_pool)}},
                                  [](const workload& chosen, bench::timing& timing, unsigned workers) {
                                    if (workers == 1) {
                                      asio::io_context io(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
                                      run<one_worker>(chosen.one, timing, io, workers);
                                    } else {
                                      asio::io_context io(static_cast<int>(workers));
                                      run<many_workers>(chosen.many, timing, io, workers);
                                    }
                                  });
}
