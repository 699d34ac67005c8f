// Queries PostgreSQL from a hundred routines, over a pool of a few connections. libpq writes, reads and parses; this
// program waits for libpq's socket, so libpq blocks no worker. Ctrl-C or SIGTERM stops it gracefully: it begins no
// further query, and waits for the queries that run.
//
//   postgres_queries PARAMETERS [TIMES]          how often each routine asks, 10 by default
//   postgres_queries 'host=/var/run/postgresql dbname=test'
//   psql test -c 'select sum(times) from ringo_visits'
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <libpq-fe.h>

#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

constexpr int visitors = 100;
constexpr int connections = 4;

using row = std::vector<std::string>;

struct database_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A connection. One routine uses it at a time.
class connection {
 public:
  // The parameters are libpq's: "host=... dbname=...".
  static task<std::unique_ptr<connection>> open(std::string parameters) {
    auto opened = co_await blocking(start, parameters);
    PGconn* const c = opened->connection_.get();
    auto next = PQstatus(c) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
    while (next != PGRES_POLLING_OK) {
      if (next == PGRES_POLLING_FAILED) opened->fail();
      // If a name has several addresses, libpq opens another socket for each.
      if (next == PGRES_POLLING_READING) {
        co_await readable(PQsocket(c));
      } else {
        co_await writable(PQsocket(c));
      }
      next = PQconnectPoll(c);
    }
    PQsetNoticeProcessor(c, [](void*, const char*) {}, nullptr);  // else it prints them
    if (PQsetnonblocking(c, 1) != 0) opened->fail();
    co_return opened;
  }

  explicit connection(PGconn* c) : connection_(c) {
    if (c == nullptr) throw std::bad_alloc();
  }

  // The values are for $1, $2, ... A cancelled query makes the connection useless: its answer is still to come.
  task<std::vector<row>> query(std::string text, std::vector<std::string> values) {
    PGconn* const c = connection_.get();
    std::vector<const char*> texts;
    for (const std::string& each : values) texts.push_back(each.c_str());
    const int count = static_cast<int>(texts.size());
    if (PQsendQueryParams(c, text.c_str(), count, nullptr, texts.data(), nullptr, nullptr, 0) == 0) fail();
    co_await flush();

    std::vector<row> rows;
    std::optional<std::string> error;
    for (;;) {
      while (PQisBusy(c) != 0) co_await receive();
      const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQgetResult(c), PQclear);
      if (!result) break;
      const auto status = PQresultStatus(result.get());
      if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) error = PQresultErrorMessage(result.get());
      for (int i = 0; i < PQntuples(result.get()); ++i) {
        row& next = rows.emplace_back();
        for (int j = 0; j < PQnfields(result.get()); ++j) next.emplace_back(PQgetvalue(result.get(), i, j));
      }
    }
    if (error) throw database_error(*error);
    co_return rows;
  }

  bool is_usable() const {
    return PQstatus(connection_.get()) == CONNECTION_OK && PQtransactionStatus(connection_.get()) == PQTRANS_IDLE;
  }

 private:
  // Resolves the host's name, which blocks.
  static std::unique_ptr<connection> start(const std::string& parameters) {
    return std::make_unique<connection>(PQconnectStart(parameters.c_str()));
  }

  // A server that has bytes to send may not read until the client has read them.
  task<> flush() {
    PGconn* const c = connection_.get();
    for (int left = PQflush(c); left != 0; left = PQflush(c)) {
      if (left < 0) fail();
      const auto ready = co_await select(readable(PQsocket(c)), writable(PQsocket(c)));
      if (ready.index() == 0 && PQconsumeInput(c) == 0) fail();
    }
  }
  task<> receive() {
    co_await readable(PQsocket(connection_.get()));
    if (PQconsumeInput(connection_.get()) == 0) fail();
  }
  [[noreturn]] void fail() const { throw database_error(PQerrorMessage(connection_.get())); }

  struct finish {
    void operator()(PGconn* c) const { PQfinish(c); }
  };
  std::unique_ptr<PGconn, finish> connection_;
};

// The idle connections are in a channel. A routine that needs one receives it, or waits until another routine gives one
// back. A null pointer stands for a connection that is not open yet, or is broken.
class connection_pool {
 public:
  connection_pool(std::string parameters, std::size_t size) : parameters_(std::move(parameters)), idle_(size) {
    for (std::size_t i = 0; i < size; ++i) idle_.try_send(nullptr);
  }

  task<std::vector<row>> query(std::string text, const auto&... values) { return ask(std::move(text), {values...}); }

 private:
  using pointer = std::unique_ptr<connection>;

  struct borrowed {
    borrowed(pointer p, sender<pointer> b) : connection(std::move(p)), back(std::move(b)) {}
    borrowed(const borrowed&) = delete;
    ~borrowed() {
      if (connection && !connection->is_usable()) connection.reset();
      back.try_send(std::move(connection));  // the channel has room for all connections
    }
    pointer connection;
    sender<pointer> back;
  };

  task<std::vector<row>> ask(std::string text, std::vector<std::string> values) {
    auto received = co_await idle_.recv();
    borrowed one(std::move(*received), idle_);
    if (!one.connection) one.connection = co_await connection::open(parameters_);
    co_return co_await one.connection->query(std::move(text), std::move(values));
  }

  const std::string parameters_;
  channel<pointer> idle_;
};

task<> visit(connection_pool& db, int visitor, int times, context stopping, std::atomic<int>& visits) {
  for (int i = 0; i < times && !stopping.is_cancelled(); ++i) {
    co_await with_timeout(30s, db.query("insert into ringo_visits values ($1, 1) on conflict (visitor) "
                                        "do update set times = ringo_visits.times + 1",
                                        std::to_string(visitor)));
    ++visits;
  }
}

task<> ask_all(connection_pool& db, int times, context stopping) {
  co_await db.query("drop table if exists ringo_visits");
  co_await db.query("create table ringo_visits (visitor int primary key, times int not null)");

  std::atomic<int> visits = 0;
  std::puts("asking");
  co_await scope([&](group& all) -> task<> {
    for (int i = 1; i <= visitors; ++i) all.go(visit, std::ref(db), i, times, stopping, std::ref(visits));
    co_return;
  });
  const auto stored = co_await db.query("select count(*), sum(times) from ringo_visits");
  std::printf("%d visits; stored: visitors %s, visits %s\n", visits.load(), stored[0][0].c_str(), stored[0][1].c_str());

  // An error of a query leaves its connection usable. A query that takes too long is cancelled, and its connection is
  // replaced.
  try {
    co_await db.query("select $1::int / $2::int", "1", "0");
  } catch (const database_error& error) {
    std::fputs(error.what(), stdout);
  }
  try {
    co_await with_timeout(50ms, db.query("select pg_sleep(60)"));
  } catch (const timed_out&) {
    std::puts("a query has taken too long");
  }
  const auto after = co_await db.query("select 'and the next one is answered'");
  std::puts(after[0][0].c_str());
}

task<> stop_gracefully(signals& stop, context stopping) {
  co_await stop.recv();
  stopping.cancel();
  co_await sleep(2s);
}

task<> program(std::string parameters, int times) {
  signals stop({SIGINT, SIGTERM});
  const context stopping = context::with_cancel();
  connection_pool db(std::move(parameters), connections);
  co_await select(ask_all(db, times, stopping), stop_gracefully(stop, stopping));
}

int main(int argc, char** argv) try {
  if (argc < 2 || argc > 3) {
    std::fputs("Usage: postgres_queries PARAMETERS [TIMES]\n", stderr);
    return 2;
  }
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  run(program(argv[1], argc > 2 ? std::atoi(argv[2]) : 10));
} catch (const std::exception& error) {
  std::fprintf(stderr, "postgres_queries: %s\n", error.what());
  return 1;
}
