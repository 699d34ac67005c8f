// A chat room for any number of people with nc. The first line is one's name; each further one goes to all others. Who
// does not read what the others say holds the room up for a second, and is then shown the door.
// Ctrl-C or SIGTERM stops it gracefully.
//
//   chat_room [ADDRESS]          127.0.0.1:7778 if there is none; port 0: one that is free
//   nc 127.0.0.1 7778            in other terminals
#include <algorithm>
#include <cctype>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

constexpr std::size_t longest_name = 20;
constexpr std::size_t longest_line = 1000;
constexpr std::size_t lines_kept = 64;  // for each who does not read them at once

using line = std::shared_ptr<const std::string>;  // all who are told share it

line make_line(const auto&... pieces) {
  std::string text;
  ((text += pieces), ...);
  return std::make_shared<const std::string>(text += '\n');
}

// What people tell the room.
struct notice {
  enum class kind { enters, says, leaves, closes };
  notice(kind k, std::string n, sender<line> to, std::string t = {}, sender<bool> answer = {})
      : what(k), name(std::move(n)), news(std::move(to)), text(std::move(t)), admitted(std::move(answer)) {}

  kind what;
  std::string name;
  sender<line> news;  // what is said to them
  std::string text;
  sender<bool> admitted;
};

// The room is one routine, to which all others speak through a channel: so it needs no lock.
class room {
 public:
  task<> open(receiver<notice> notices) {
    while (auto heard = co_await notices.recv()) {
      switch (heard->what) {
        case notice::kind::enters: co_await enter(*heard); break;
        case notice::kind::says: co_await tell_others(heard->name, make_line(heard->name, ": ", heard->text)); break;
        case notice::kind::leaves: co_await leave(heard->name, heard->news); break;
        case notice::kind::closes: co_await close(); break;
      }
    }
  }

 private:
  task<> enter(const notice& who) {
    std::string others;
    for (const auto& [name, news] : people_) others += " " + name;
    if (others.empty()) others = " nobody else";
    const bool admitted = people_.try_emplace(who.name, who.news).second;
    co_await who.admitted.send(admitted);
    if (!admitted) co_return;
    co_await who.news.send(make_line("* here is", others));
    co_await tell_others(who.name, make_line("* ", who.name, " enters"));
  }

  task<> leave(const std::string name, sender<line> news) {
    const auto who = people_.find(name);
    if (who == people_.end() || who->second != news) co_return;  // shown the door before
    people_.erase(who);
    news.close();
    co_await tell_others(name, make_line("* ", name, " leaves"));
  }

  task<> close() {
    co_await tell_others({}, make_line("* the room closes"));
    for (const auto& [name, news] : people_) news.close();
    people_.clear();
  }

  // While this waits, the room hears nothing: who speaks faster than the others read has to wait, too.
  task<> tell_others(std::string_view speaker, line said) {
    std::map<std::string, sender<line>> asleep;
    for (const auto& [name, news] : people_) {
      if (name == speaker) continue;
      const auto told = co_await select(prefer_first, news.send(said), sleep(1s));
      if (told.index() == 1) asleep.emplace(name, news);
    }
    for (const auto& [name, news] : asleep) co_await leave(name, news);
  }

  std::map<std::string, sender<line>> people_;
};

using reader = buffered_reader<tcp_stream&>;
using writer = buffered_writer<tcp_stream&>;

bool is_name(std::string_view text) {
  const auto allowed = [](unsigned char c) { return std::isalnum(c) != 0; };
  return !text.empty() && text.size() <= longest_name && std::all_of(text.begin(), text.end(), allowed);
}

// Asks until there is a name that nobody else has; empty if there will be none.
task<std::string> enter(reader& in, writer& out, sender<notice> notices, channel<line> news) {
  channel<bool> admitted(1);
  for (;;) {
    co_await out.write("* your name?\n");
    co_await out.flush();
    const auto name = co_await in.read_line(longest_line);
    if (!name) co_return "";
    if (!is_name(*name)) continue;
    co_await notices.emplace(notice::kind::enters, *name, news, "", admitted);
    if (co_await admitted.recv() == true) co_return *name;
  }
}

task<> speak(reader& in, sender<notice> notices, const std::string& name, channel<line> news) {
  while (const auto text = co_await in.read_line(longest_line)) {
    co_await notices.emplace(notice::kind::says, name, news, *text);
  }
}

task<> listen(writer& out, receiver<line> news) {
  while (auto said = co_await news.recv()) {
    co_await out.write(**said);
    if (news.size() == 0) co_await with_timeout(5s, out.flush());
  }
}

task<> visit(tcp_stream stream, sender<notice> notices) {
  try {
    reader in(stream);
    writer out(stream);
    channel<line> news(lines_kept);
    const std::string name = co_await with_timeout(1min, enter(in, out, notices, news));
    if (name.empty()) co_return;
    // Whichever ends first ends the other: nothing more is said, or nothing more can be heard.
    auto stay = select(speak(in, notices, name, news), listen(out, news));
    co_await finally(std::move(stay), notices.emplace(notice::kind::leaves, name, news));
  } catch (const std::system_error&) {
    // Gone in the middle, asleep, a line that is too long, or the room has closed.
  }
}

task<> accept_all(tcp_listener& listener, sender<notice> notices, group& visitors) {
  for (;;) visitors.go(visit, co_await listener.accept(), notices);
}

task<> serve(std::string address) {
  signals stop({SIGINT, SIGTERM});
  room here;
  channel<notice> notices;
  const auto opened = go(&room::open, &here, notices);
  group visitors(current_context(), on_error::keep_going);
  tcp_listener listener = tcp_listener::bind(address);
  std::printf("listening on %s\n", listener.local().to_string().c_str());
  std::fflush(stdout);

  // Nobody enters after a signal. Who is there is told, and what is on its way has two seconds to arrive.
  co_await select(stop.recv(), accept_all(listener, notices, visitors));
  co_await listener.close();
  co_await notices.emplace(notice::kind::closes, "", sender<line>());
  co_await outcome(with_timeout(2s, visitors.wait()));
  notices.close();
  co_await opened;
}

int main(int argc, char** argv) try {
  run(serve(argc > 1 ? argv[1] : "127.0.0.1:7778"));
} catch (const std::exception& error) {
  std::fprintf(stderr, "chat_room: %s\n", error.what());
  return 1;
}
