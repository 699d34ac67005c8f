// A worker pool across machines. Its jobs come from a stream of Redis, whose consumer group gives each job to one of
// the programs. A program acknowledges a job when its result is stored. The other programs take over the jobs of a
// program that has died, so no job is lost. (A job may then be done twice; to store its result twice does no harm.)
// Ctrl-C or SIGTERM stops the program gracefully: it ends the jobs that have begun.
//
//   redis-server                                 6.2 or later, in one terminal
//   redis_jobs work 127.0.0.1:6379 anna          in others, on other machines, each with a name of its own
//   redis_jobs add 127.0.0.1:6379 1 1000
//   redis-cli hlen squares
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <hiredis/async.h>

#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

constexpr const char* stream = "jobs";
constexpr const char* crew = "crew";
constexpr const char* results_key = "squares";
constexpr int workers = 4;
constexpr std::chrono::milliseconds patience = 1s;  // a program that has not touched its jobs for so long is dead

struct redis_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// hiredis frees the reply that it has passed to a callback.
struct reply {
  explicit reply(const redisReply& from)
      : is_error(from.type == REDIS_REPLY_ERROR), text(from.str != nullptr ? std::string(from.str, from.len) : "") {
    for (std::size_t i = 0; i < from.elements; ++i) elements.emplace_back(*from.element[i]);
  }

  bool is_error;
  std::string text;
  std::vector<reply> elements;
};

// A connection to Redis. hiredis reads, writes and parses; this class waits for hiredis' socket. For one worker.
class redis {
 public:
  explicit redis(const endpoint& at) : connection_(redisAsyncConnect(at.address().c_str(), at.port())) {
    if (connection_ == nullptr) throw std::bad_alloc();
    connection_->ev.data = this;
    connection_->ev.addWrite = [](void* self) { static_cast<redis*>(self)->has_output_.set(); };
    connection_->ev.delWrite = [](void* self) { static_cast<redis*>(self)->has_output_.reset(); };
    connection_->ev.cleanup = [](void* self) { static_cast<redis*>(self)->has_ended(); };
    if (connection_->err != 0) {
      redisAsyncFree(connection_);
      throw ended();
    }
  }
  redis(const redis&) = delete;
  redis& operator=(const redis&) = delete;
  ~redis() {
    if (connection_ != nullptr) redisAsyncFree(connection_);
  }

  // Moves bytes until the connection ends; then it throws. Run it beside the routines that use the connection.
  task<> drive() {
    while (connection_ != nullptr) {
      const int socket = connection_->c.fd;
      if (has_output_.is_set()) {
        const auto ready = co_await select(readable(socket), writable(socket));
        ready.index() == 0 ? redisAsyncHandleRead(connection_) : redisAsyncHandleWrite(connection_);
      } else {
        const auto ready = co_await select(readable(socket), has_output_.wait());
        if (ready.index() == 0) redisAsyncHandleRead(connection_);
      }
    }
    throw ended();
  }

  // The answer to a command. Any number of commands may be in flight; their answers come in order.
  RINGO_RETURNS_TASK task<reply> command(const auto&... words) { return ask({std::string(words)...}); }

 private:
  // The caller may be cancelled before the answer comes. So both share a channel for the answer.
  task<reply> ask(std::vector<std::string> words) {
    if (connection_ == nullptr) throw ended();
    std::vector<const char*> texts;
    std::vector<std::size_t> sizes;
    for (const std::string& each : words) {
      texts.push_back(each.data());
      sizes.push_back(each.size());
    }
    channel<reply> answer(1);
    auto to = std::make_unique<sender<reply>>(answer);
    const int count = static_cast<int>(words.size());
    if (redisAsyncCommandArgv(connection_, answered, to.get(), count, texts.data(), sizes.data()) != REDIS_OK) {
      throw ended();
    }
    to.release();
    auto came = co_await answer.recv();
    if (!came) throw ended();
    if (came->is_error) throw redis_error(came->text);
    co_return std::move(*came);
  }
  static void answered(redisAsyncContext*, void* what, void* to_whom) {
    const std::unique_ptr<sender<reply>> to(static_cast<sender<reply>*>(to_whom));
    what != nullptr ? void(to->try_send(reply(*static_cast<redisReply*>(what)))) : to->close();
  }

  void has_ended() {
    error_ = connection_->err != 0 ? connection_->errstr : "the connection is closed";
    connection_ = nullptr;
    has_output_.set();
  }
  redis_error ended() const { return redis_error(error_); }

  event has_output_{true};  // a connection is writable when it is there
  redisAsyncContext* connection_;
  std::string error_;
};

struct job {
  job(std::string i, std::int64_t n) : id(std::move(i)), number(n) {}
  std::string id;
  std::int64_t number;
};
struct result {
  result(job j, std::int64_t s) : of(std::move(j)), square(s) {}
  job of;
  std::int64_t square;
};

// An ordinary worker, which knows nothing of Redis.
task<> worker(int id, receiver<job> jobs, sender<result> results) {
  while (auto next = co_await jobs.recv()) {
    co_await sleep(20ms);
    std::printf("worker %d did job %lld\n", id, static_cast<long long>(next->number));
    co_await results.emplace(*next, next->number * next->number);
  }
}

task<> run_workers(receiver<job> jobs, sender<result> results) {
  co_await scope([&](group& pool) -> task<> {
    for (int id = 1; id <= workers; ++id) pool.go(worker, id, jobs, results);
    co_return;
  });
  results.close();
}

using job_ids = std::set<std::string>;

// Entries of the stream: each an id and its fields.
task<> hand_on(std::vector<reply> entries, sender<job> jobs, job_ids& ours) {
  for (const reply& each : entries) {
    if (each.elements.size() != 2 || each.elements[1].elements.size() != 2) continue;
    const std::string& id = each.elements[0].text;
    if (ours.insert(id).second) co_await jobs.emplace(id, std::atoll(each.elements[1].elements[1].text.c_str()));
  }
}

task<> fetch(redis& from, std::string me, sender<job> jobs, job_ids& ours, context stopping) {
  try {
    co_await from.command("XGROUP", "CREATE", stream, crew, "0", "MKSTREAM");
  } catch (const redis_error& error) {
    if (!std::string_view(error.what()).starts_with("BUSYGROUP")) throw;  // not: there is one already
  }
  const std::string idle = std::to_string(patience.count());
  while (!stopping.is_cancelled()) {
    const reply left = co_await from.command("XAUTOCLAIM", stream, crew, me, idle, "0-0", "COUNT", "4");
    const auto& taken_over = left.elements.at(1).elements;
    if (!taken_over.empty()) std::printf("%zu jobs taken over\n", taken_over.size());
    co_await hand_on(taken_over, jobs, ours);

    const reply fresh =
        co_await from.command("XREADGROUP", "GROUP", crew, me, "COUNT", "4", "BLOCK", "200", "STREAMS", stream, ">");
    for (const reply& of_stream : fresh.elements) co_await hand_on(of_stream.elements.at(1).elements, jobs, ours);
  }
  jobs.close();
}

task<> store(redis& to, receiver<result> results, job_ids& ours) {
  while (auto done = co_await results.recv()) {
    co_await to.command("HSET", results_key, std::to_string(done->of.number), std::to_string(done->square));
    co_await to.command("XACK", stream, crew, done->of.id);
    ours.erase(done->of.id);
  }
}

// Tells the other programs that this program, which has these jobs, is alive.
task<> hold_on_to(const job_ids& ours, redis& at, std::string me) {
  for (ticker often(patience / 4);; co_await often.tick()) {
    const std::vector<std::string> ids(ours.begin(), ours.end());
    for (const std::string& id : ids) co_await at.command("XCLAIM", stream, crew, me, "0", id, "JUSTID");
  }
}

task<> stop_gracefully(signals& stop, context stopping) {
  co_await stop.recv();
  stopping.cancel();
  co_await sleep(2s);
}

// A command that waits for new jobs delays later commands of its connection. So there are two connections.
task<> work(std::string address, std::string me) {
  signals stop({SIGINT, SIGTERM});
  const context stopping = context::with_cancel();
  redis incoming{endpoint(address)}, outgoing{endpoint(address)};
  channel<job> jobs;
  channel<result> results;
  job_ids ours;
  // The first error ends all of them, and the others' errors, which it causes, are dropped: Redis may end both
  // connections, and every command, at the same moment.
  co_await scope([&](group& members) -> task<> {
    members.go([&] { return incoming.drive(); });
    members.go([&] { return outgoing.drive(); });
    members.go([&] { return hold_on_to(ours, outgoing, me); });
    members.go([&]() -> task<> {
      co_await stop_gracefully(stop, stopping);
      members.cancel();
    });
    co_await all(fetch(incoming, me, jobs, ours, stopping), run_workers(jobs, results), store(outgoing, results, ours));
    members.cancel();  // what has begun is done
  });
}

task<> add_all(redis& to, std::int64_t first, std::int64_t last) {
  for (auto n = first; n <= last; ++n) co_await to.command("XADD", stream, "*", "number", std::to_string(n));
}

task<> add(std::string address, std::int64_t first, std::int64_t last) {
  redis to{endpoint(address)};
  co_await select(add_all(to, first, last), to.drive());
}

int main(int argc, char** argv) try {
  const std::string_view what = argc > 1 ? argv[1] : "";
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  if (what == "work" && argc == 4) {
    run(work(argv[2], argv[3]), {.workers = 1});
  } else if (what == "add" && argc == 5) {
    run(add(argv[2], std::atoll(argv[3]), std::atoll(argv[4])), {.workers = 1});
  } else {
    std::fputs("Usage: redis_jobs work ADDRESS NAME\n       redis_jobs add ADDRESS FIRST LAST\n", stderr);
    return 2;
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "redis_jobs: %s\n", error.what());
  return 1;
}
