// A chat room for any number of people with nc. A visitor's first line is the name; each further line goes to all other
// visitors. A visitor that does not read is disconnected, and delays no other. Ctrl-C or SIGTERM stops the room
// gracefully.
//
//   chat_room [ADDRESS [SECONDS]]        ADDRESS: 127.0.0.1:7778 by default; port 0: a port that is free;
//                                        SECONDS: how long a visitor may be silent, 3600 by default
//   nc 127.0.0.1 7778                    in other terminals
#include <algorithm>
#include <cctype>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

constexpr std::size_t longest_name = 20;
constexpr std::size_t longest_line = 1000;
constexpr std::size_t lines_kept = 64;  // for each visitor that has not read them yet
constexpr auto name_limit = 1min;       // for a visitor to give a name
constexpr auto reading_limit = 1s;      // for a visitor to read all lines that are kept

using line = std::shared_ptr<const std::string>;  // all visitors share it

line make_line(const auto&... pieces) {
  std::string text;
  ((text += pieces), ...);
  return std::make_shared<const std::string>(text += '\n');
}

// The visitors by name, and for each a channel of the lines for them. Routines on all workers use the room, so it has a
// lock, which no routine holds across an await.
class room {
 public:
  // False if another visitor has the name. The first line for a visitor says who is here.
  bool admit(const std::string& name, channel<line> news) {
    const std::lock_guard locked(lock_);
    std::string others;
    for (const auto& [other, unused] : people_) others += " " + other;
    if (closed_ || !people_.try_emplace(name, news).second) return false;
    return news.try_send(make_line("* here is", others.empty() ? " nobody else" : others));
  }

  // Sends a line to all visitors but one. If a visitor's channel is full, the speaker waits until that visitor reads or
  // leaves; listen() bounds that time.
  task<> tell_others(std::string name, line said) {
    std::vector<channel<line>> behind;
    {
      const std::lock_guard locked(lock_);
      for (const auto& [other, news] : people_) {
        if (other != name && !news.try_send(said)) behind.push_back(news);
      }
    }
    for (const auto& news : behind) co_await outcome(news.send(said));
  }

  task<> leave(std::string name) {
    {
      const std::lock_guard locked(lock_);
      const auto person = people_.find(name);
      if (person == people_.end()) co_return;  // the room has closed
      person->second.close();                  // which ends the sends that wait for room in it
      people_.erase(person);
    }
    co_await tell_others(name, make_line("* ", name, " leaves"));
  }

  void close() {
    const std::lock_guard locked(lock_);
    closed_ = true;
    for (const auto& [name, news] : people_) {
      news.try_send(make_line("* the room closes"));
      news.close();
    }
    people_.clear();
  }

 private:
  std::mutex lock_;
  std::map<std::string, channel<line>> people_;
  bool closed_ = false;
};

using reader = buffered_reader<tcp_stream&>;
using writer = buffered_writer<tcp_stream&>;

bool is_name(std::string_view text) {
  const auto allowed = [](unsigned char c) { return std::isalnum(c) != 0; };
  return !text.empty() && text.size() <= longest_name && std::all_of(text.begin(), text.end(), allowed);
}

// Asks until the visitor gives a name that no other visitor has. Returns "" if the visitor leaves first.
task<std::string> enter(reader& in, writer& out, room& here, channel<line> news) {
  for (;;) {
    co_await out.write("* your name?\n");
    co_await out.flush();
    const auto name = co_await in.read_line(longest_line);
    if (!name) co_return "";
    if (!is_name(*name)) continue;
    if (here.admit(*name, news)) co_return *name;
  }
}

task<> speak(reader& in, room& here, std::string name, duration silence) {
  co_await here.tell_others(name, make_line("* ", name, " enters"));
  while (const auto text = co_await with_timeout(silence, in.read_line(longest_line))) {
    co_await here.tell_others(name, make_line(name, ": ", *text));
  }
}

// Sends a line, and the lines that are kept after it.
task<> send_lines(writer& out, receiver<line> news, line said) {
  co_await out.write(*said);
  for (std::size_t n = 1; n < lines_kept; ++n) {
    const auto next = news.try_recv();
    if (!next) break;
    co_await out.write(**next);
  }
  co_await out.flush();
}

// This limit ends the visits of all who do not read within the same second.
task<> listen(writer& out, receiver<line> news) {
  while (const auto said = co_await news.recv()) co_await with_timeout(reading_limit, send_lines(out, news, *said));
}

task<> visit(tcp_stream stream, room& here, duration silence) {
  try {
    reader in(stream);
    writer out(stream);
    channel<line> news(lines_kept);
    const std::string name = co_await with_timeout(name_limit, enter(in, out, here, news));
    if (name.empty()) co_return;
    // The one that ends first ends the other.
    auto stay = select(speak(in, here, name, silence), listen(out, news));
    co_await finally(std::move(stay), here.leave(name));
  } catch (const std::exception&) {
    // This visitor is gone, does not read, is silent for too long, sends a line that is too long, or there is no
    // memory. The other visitors stay.
  }
}

task<> accept_all(tcp_listener& listener, room& here, duration silence, group& visitors) {
  for (;;) {
    tcp_stream stream = co_await listener.accept();
    try {
      visitors.go(visit(std::move(stream), here, silence));
    } catch (const std::bad_alloc&) {
      // There is no memory for another visitor.
    }
  }
}

task<> serve(std::string address, duration silence) {
  signals stop({SIGINT, SIGTERM});
  room here;  // outside of the scope, so it outlives all visits
  tcp_listener listener = tcp_listener::bind(address, {.keep_alive_idle = 60s, .keep_alive_interval = 10s});
  std::printf("listening on %s\n", listener.local().to_string().c_str());
  std::fflush(stdout);

  co_await scope([&](group& visitors) -> task<> {
    co_await select(stop.recv(), accept_all(listener, here, silence, visitors));
    // After the signal no visitor enters. The visitors that are here are told, and have two seconds to read the rest.
    co_await listener.close();
    here.close();
    co_await select(visitors.wait(), sleep(2s));
    visitors.cancel();
  });
}

int main(int argc, char** argv) try {
  const auto silence = std::chrono::seconds(argc > 2 ? std::max(std::atoi(argv[2]), 1) : 3600);
  run(serve(argc > 1 ? argv[1] : "127.0.0.1:7778", silence));
} catch (const std::exception& error) {
  std::fprintf(stderr, "chat_room: %s\n", error.what());
  return 1;
}
