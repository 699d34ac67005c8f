// A server for a part of Redis' protocol: strings, expiry, lists, and publish and subscribe. It answers all requests
// that have come from a client with one send. As in Redis, one worker does everything: a command runs between two
// awaits, so it is atomic without a lock. Ctrl-C or SIGTERM stops the server gracefully.
//
//   redis_server [ADDRESS [SECONDS]]     ADDRESS: 127.0.0.1:6379 by default; port 0: a port that is free;
//                                        SECONDS: how long a client may be silent, 300 by default
//   redis-cli set greeting hello ex 10
//   redis-cli subscribe news
//   redis-benchmark -q -P 16 -t set,get,incr,lpush,lpop
#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr std::size_t most_clients = 10'000;  // further ones wait to be accepted
constexpr std::size_t longest_line = 64 * 1024;
constexpr std::int64_t most_arguments = 64 * 1024;
constexpr std::int64_t largest_argument = 1 << 20;
constexpr std::size_t largest_request = 16 << 20;
constexpr std::size_t answers_kept = 256 * 1024;  // the most bytes of answers before a send
constexpr std::size_t messages_kept = 1000;       // for each subscriber that has not read them yet
constexpr auto send_limit = 10s;                  // for a client to read what the server sends
constexpr auto linger_limit = 2s;                 // for a client to close after the last answer
constexpr std::size_t most_unread = 64 << 20;     // bytes that the server reads and drops in that time

// An error of the client. The text is the answer.
struct refusal {
  std::string text;
};
refusal not_an_integer() { return {"ERR value is not an integer or out of range"}; }
refusal syntax_error() { return {"ERR syntax error"}; }

// After this error the server cannot understand the client's further bytes.
struct protocol_error {
  std::string text;
};

// Each integer has one text: "01", "-0" and "+1" are refused.
std::optional<std::int64_t> to_integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || std::to_string(value) != text) return std::nullopt;
  return value;
}

std::int64_t integer(std::string_view text) {
  const auto value = to_integer(text);
  if (!value) throw not_an_integer();
  return *value;
}

std::string upper_case(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return result;
}

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

bool ends_word(char c) { return c == ' ' || c == '\t' || c == '\r'; }

// The words of a request that a person typed. They may have quotes, and "..." may have escapes, such as \n and \x0a.
// Returns nothing if a quote is not closed, or if its end is followed by anything but a space.
std::optional<std::vector<std::string>> split(std::string_view line) {
  std::vector<std::string> words;
  for (std::size_t i = 0;;) {
    while (i < line.size() && is_space(line[i])) ++i;
    if (i == line.size()) return words;
    std::string word;
    char quote = 0;  // the quote that is open
    for (; i < line.size() && (quote != 0 || !ends_word(line[i])); ++i) {
      const char c = line[i], next = i + 1 < line.size() ? line[i + 1] : ' ';
      if (quote == 0 && (c == '"' || c == '\'')) {
        quote = c;
      } else if (quote != 0 && c == quote) {
        if (!is_space(next)) return std::nullopt;
        quote = 0;
        ++i;
        break;
      } else if (quote == '\'' && c == '\\' && next == '\'') {
        word += line[++i];
      } else if (quote == '"' && c == '\\' && i + 1 < line.size()) {
        unsigned char byte = 0;
        const char* const digits = line.data() + i + 2;
        if (next == 'x' && i + 3 < line.size() && std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2) {
          word += static_cast<char>(byte);
          i += 3;
        } else {
          constexpr std::string_view letters = "nrtba", meant = "\n\r\t\b\a";
          const std::size_t at = letters.find(next);
          word += at != std::string_view::npos ? meant[at] : next;
          ++i;
        }
      } else {
        word += c;
      }
    }
    if (quote != 0) return std::nullopt;
    words.push_back(std::move(word));
  }
}

// Whether c is in the set that begins at pattern[i], after its '['; i is then at its ']'.
bool is_in_set(std::string_view pattern, std::size_t& i, char c) {
  const bool negated = i < pattern.size() && pattern[i] == '^';
  if (negated) ++i;
  bool found = false;
  for (; i < pattern.size() && pattern[i] != ']'; ++i) {
    if (pattern[i] == '\\' && i + 1 < pattern.size()) ++i;
    const char from = pattern[i];
    const bool is_range = i + 2 < pattern.size() && pattern[i + 1] == '-' && pattern[i + 2] != ']';
    if (is_range) i += 2;
    found = found || (from <= c && c <= pattern[i]);
  }
  return found != negated;
}

// Whether the text matches a pattern with *, ?, [a-z] and \. After a mismatch the last * takes one more character.
bool matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, after_star = std::string_view::npos, taken = 0;
  while (t < text.size() || p < pattern.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      after_star = ++p;
      taken = t;
      continue;
    }
    if (p < pattern.size() && t < text.size()) {
      std::size_t end = p;
      bool same = pattern[p] == '?';
      if (pattern[p] == '[') {
        same = is_in_set(pattern, ++end, text[t]);
      } else if (!same) {
        if (pattern[p] == '\\' && p + 1 < pattern.size()) ++end;
        same = pattern[end] == text[t];
      }
      if (same) {
        p = end + 1;
        ++t;
        continue;
      }
    }
    if (after_star == std::string_view::npos || taken == text.size()) return false;
    p = after_star;
    t = ++taken;
  }
  return true;
}

using list = std::deque<std::string>;

struct entry {
  std::variant<std::string, list> value;
  std::optional<time_point> expires;
};

// A client that has subscribed to channels.
struct subscriber {
  channel<std::shared_ptr<const std::string>> messages{messages_kept};
  event gone;  // set, too, if it has not read for so long that publishers do not wait for it any more
};

class database {
 public:
  explicit database(duration silence) : silence_limit(silence) {}

  entry* find(const std::string& key) {
    const auto found = entries_.find(key);
    if (found == entries_.end()) return nullptr;
    if (found->second.expires && *found->second.expires <= now()) {
      erase(key);
      return nullptr;
    }
    return &found->second;
  }
  template <class T>
  T* find_as(const std::string& key) {
    entry* const found = find(key);
    if (found == nullptr) return nullptr;
    T* const value = std::get_if<T>(&found->value);
    if (value == nullptr) throw refusal{"WRONGTYPE Operation against a key holding the wrong kind of value"};
    return value;
  }
  void set(const std::string& key, std::variant<std::string, list> value, std::optional<milliseconds> life = {}) {
    expire(key, {});
    entries_[key].value = std::move(value);
    expire(key, life);
  }
  bool erase(const std::string& key) {
    expire(key, {});
    return entries_.erase(key) > 0;
  }
  void expire(const std::string& key, std::optional<milliseconds> life) {
    const auto found = entries_.find(key);
    if (found == entries_.end()) return;
    auto& expires = found->second.expires;
    if (expires) expiring_.erase({*expires, key});
    expires = life ? std::optional(now() + *life) : std::nullopt;
    if (expires) expiring_.emplace(*expires, key);
  }

  // Frees the memory of expired keys. (A lookup does not find them, even before this.)
  task<> forget_expired() {
    for (ticker often(100ms);; co_await often.tick()) {
      for (int i = 0; i < 1000 && !expiring_.empty() && expiring_.begin()->first <= now(); ++i) {
        entries_.erase(expiring_.begin()->second);
        expiring_.erase(expiring_.begin());
      }
    }
  }

  const auto& entries() const { return entries_; }
  std::size_t expiring() const { return expiring_.size(); }

  std::map<std::string, std::set<std::shared_ptr<subscriber>>> channels;
  const duration silence_limit;  // for clients
  std::size_t clients = 0, connections = 0, commands = 0;
  const time_point since = now();

 private:
  std::unordered_map<std::string, entry> entries_;
  std::set<std::pair<time_point, std::string>> expiring_;
};

void append_bulk(std::string& to, std::string_view text) {
  ((to += '$') += std::to_string(text.size())) += "\r\n";
  (to += text) += "\r\n";
}

// A client: the bytes that have come from it, and the answers that are to be sent.
class session {
 public:
  session(tcp_stream stream, database& data, context stopping)
      : stream_(std::move(stream)), data_(data), stopping_(std::move(stopping)) {
    ++data_.clients;
    ++data_.connections;
  }
  session(const session&) = delete;
  session& operator=(const session&) = delete;
  ~session() {
    while (!subscriptions_.empty()) unsubscribe_from(*subscriptions_.begin());
    self_->gone.set();
    --data_.clients;
  }

  // Serves until the client has left, or until the server stops and has answered all requests.
  task<> talk() {
    try {
      for (bool more = true; more;) {
        while (!ends_ && next_request()) {
          execute();
          if (!published_.empty()) co_await deliver();
          if (answers_.size() > answers_kept) co_await send_answers();
        }
        co_await send_answers();
        const bool is_amid_request = arguments_to_come_ > 0 || !unparsed().empty();
        if (ends_ || (stopping_.is_cancelled() && !is_amid_request)) break;
        more = co_await receive();
      }
    } catch (const protocol_error& error) {
      answer_error("ERR Protocol error: " + error.text);
    }
    co_await send_answers();
    co_await end();
  }

 private:
  using message = std::shared_ptr<const std::string>;

  struct publication {
    message what;
    std::shared_ptr<subscriber> to;
  };

  struct command {
    int least, most;  // arguments; most -1: any number
    void (session::*run)();
    bool when_subscribed = false;
  };

  // The kernel resets a connection that is closed with unread bytes, and then the client might not see the last answer.
  // So the server reads them, for a while.
  task<> end() {
    co_await stream_.shutdown_send();
    const time_point until = now() + linger_limit;
    for (std::size_t read = 0; read < most_unread;) {
      const auto came = co_await select(prefer_first, stream_.recv(), sleep_until(until));
      if (came.index() == 1 || !std::get<0>(came)) co_return;
      read += std::get<0>(came)->size();
    }
  }

  // Waits for more requests or messages. False if there will be none. Subscribers may be silent for ever.
  task<bool> receive() {
    unparsed_.erase(0, std::exchange(parsed_, 0));
    const time_point until = subscriptions_.empty() ? now() + data_.silence_limit : time_point::max();
    auto came = co_await select(prefer_first, stream_.recv(), self_->messages.recv(), self_->gone.wait(),
                                stopping_.wait(), sleep_until(until));
    if (came.index() > 1) co_return false;
    if (came.index() == 0) {
      const auto& bytes = std::get<0>(came);
      if (!bytes) co_return false;
      unparsed_ += bytes->text();
    } else {
      auto told = std::get<1>(std::move(came));
      for (; told; told = self_->messages.try_recv()) {
        answers_ += **told;
        if (answers_.size() > answers_kept) co_await send_answers();
      }
    }
    co_return true;
  }

  task<> send_answers() {
    if (answers_.empty()) co_return;
    const auto sent = co_await select(prefer_first, stream_.send(answers_), self_->gone.wait(), sleep(send_limit));
    if (sent.index() > 0) throw timed_out();
    answers_.clear();
    if (answers_.capacity() > 2 * answers_kept) answers_.shrink_to_fit();
  }

  // A client that publishes faster than subscribers read waits for them: a second for all of them together. Publishers
  // do not wait again for a subscriber that has no room for a message then.
  task<> deliver() {
    const time_point until = now() + 1s;
    for (; !published_.empty(); published_.pop_back()) {
      const publication& p = published_.back();
      auto told = co_await select(prefer_first, p.to->messages.send(p.what), p.to->gone.wait(), sleep_until(until));
      if (told.index() == 2) p.to->gone.set();
    }
  }

  std::string_view unparsed() const { return std::string_view(unparsed_).substr(parsed_); }

  static std::string printable(std::string_view line) {
    return !line.empty() && std::isprint(static_cast<unsigned char>(line[0])) != 0 ? std::string(1, line[0]) : "";
  }

  // The next line, without its line feed. `too_long` is the error for a line that does not end.
  std::optional<std::string_view> next_line(const char* too_long) {
    const std::string_view there = unparsed();
    const std::size_t end = there.substr(0, longest_line).find('\n');
    if (end == std::string_view::npos) {
      if (there.size() >= longest_line) throw protocol_error{too_long};
      return std::nullopt;
    }
    parsed_ += end + 1;
    return there.substr(0, end);
  }

  // The number of a line that has a kind, a number, and a carriage return.
  static std::optional<std::int64_t> length(std::string_view line, std::int64_t most) {
    if (!line.ends_with('\r')) return std::nullopt;
    const auto value = to_integer(line.substr(1, line.size() - 2));
    return value && *value <= most ? value : std::nullopt;
  }

  // Whether all of the next request has come; it is then in arguments_. Each byte is parsed once.
  bool next_request() {
    for (;;) {
      if (argument_size_) {
        const std::string_view there = unparsed();
        if (there.size() < *argument_size_ + 2) return false;
        if (there.substr(*argument_size_, 2) != "\r\n") throw protocol_error{"an argument is longer than announced"};
        arguments_.emplace_back(there.substr(0, *argument_size_));
        parsed_ += *argument_size_ + 2;
        argument_size_.reset();
        if (--arguments_to_come_ == 0) return true;
        continue;
      }
      if (arguments_to_come_ > 0) {
        const auto line = next_line("too big bulk count string");
        if (!line) return false;
        if (!line->starts_with('$')) throw protocol_error{"expected '$', got '" + printable(*line) + "'"};
        const auto size = length(*line, largest_argument);
        if (!size || *size < 0) throw protocol_error{"invalid bulk length"};
        argument_size_ = static_cast<std::size_t>(*size);
        request_size_ += *argument_size_;
        if (request_size_ > largest_request) throw protocol_error{"too big request"};
        continue;
      }
      arguments_.clear();
      request_size_ = 0;
      const bool is_typed = !unparsed().starts_with('*');
      const auto line = next_line(is_typed ? "too big inline request" : "too big mbulk count string");
      if (!line) return false;
      if (is_typed) {
        auto words = split(*line);
        if (!words) throw protocol_error{"unbalanced quotes in request"};
        arguments_ = std::move(*words);
        if (!arguments_.empty()) return true;
      } else {
        const auto count = length(*line, most_arguments);
        if (!count) throw protocol_error{"invalid multibulk length"};
        arguments_to_come_ = std::max<std::int64_t>(*count, 0);
      }
    }
  }

  void answer(std::string_view status) { ((answers_ += '+') += status) += "\r\n"; }
  void answer_error(std::string_view text) { ((answers_ += '-') += text) += "\r\n"; }
  void answer_integer(std::int64_t n) { ((answers_ += ':') += std::to_string(n)) += "\r\n"; }
  void answer_bulk(std::string_view text) { append_bulk(answers_, text); }
  void answer_nothing() { answers_ += "$-1\r\n"; }
  void answer_array(std::size_t n) { ((answers_ += '*') += std::to_string(n)) += "\r\n"; }

  const std::string& argument(std::size_t n) const { return arguments_[n]; }
  std::size_t arguments() const { return arguments_.size(); }

  static const std::unordered_map<std::string_view, command>& commands() {
    static const std::unordered_map<std::string_view, command> all{
        {"PING", {0, 1, &session::ping, true}},
        {"ECHO", {1, 1, &session::echo}},
        {"SET", {2, 6, &session::set}},
        {"GET", {1, 1, &session::get}},
        {"DEL", {1, -1, &session::del}},
        {"EXISTS", {1, -1, &session::exists}},
        {"INCR", {1, 1, &session::incr}},
        {"DECR", {1, 1, &session::decr}},
        {"INCRBY", {2, 2, &session::incr_by}},
        {"DECRBY", {2, 2, &session::decr_by}},
        {"EXPIRE", {2, 2, &session::expire}},
        {"PEXPIRE", {2, 2, &session::pexpire}},
        {"TTL", {1, 1, &session::ttl}},
        {"PTTL", {1, 1, &session::pttl}},
        {"KEYS", {1, 1, &session::keys}},
        {"LPUSH", {2, -1, &session::lpush}},
        {"RPUSH", {2, -1, &session::rpush}},
        {"LPOP", {1, 1, &session::lpop}},
        {"RPOP", {1, 1, &session::rpop}},
        {"LRANGE", {3, 3, &session::lrange}},
        {"LLEN", {1, 1, &session::llen}},
        {"SUBSCRIBE", {1, -1, &session::subscribe, true}},
        {"UNSUBSCRIBE", {0, -1, &session::unsubscribe, true}},
        {"PUBLISH", {2, 2, &session::publish}},
        {"INFO", {0, -1, &session::info}},
        {"DBSIZE", {0, 0, &session::dbsize}},
        {"COMMAND", {0, -1, &session::command_list}},
        {"CONFIG", {1, -1, &session::config}},
        {"QUIT", {0, -1, &session::quit, true}},
    };
    return all;
  }

  void execute() {
    ++data_.commands;
    try {
      const std::string name = upper_case(argument(0));
      if (name == "POST" || name == "HOST:") {
        // A web page may have made a browser send this: the body of an HTTP request must not be taken for commands.
        answers_.clear();
        ends_ = true;
        return;
      }
      const auto found = commands().find(name);
      if (found == commands().end()) throw refusal{"ERR unknown command"};
      const command& c = found->second;
      const int given = static_cast<int>(arguments()) - 1;
      if (given < c.least || (c.most >= 0 && given > c.most)) throw refusal{"ERR wrong number of arguments"};
      if (!subscriptions_.empty() && !c.when_subscribed) {
        throw refusal{"ERR only (UN)SUBSCRIBE, PING and QUIT are allowed while there are subscriptions"};
      }
      (this->*c.run)();
    } catch (const refusal& error) {
      answer_error(error.text);
    }
  }

  void ping() {
    if (!subscriptions_.empty()) {
      answer_array(2);
      answer_bulk("pong");
      answer_bulk(arguments() > 1 ? argument(1) : "");
    } else {
      arguments() > 1 ? answer_bulk(argument(1)) : answer("PONG");
    }
  }
  void echo() { answer_bulk(argument(1)); }

  void set() {
    std::optional<milliseconds> life;
    bool only_new = false, only_old = false;
    for (std::size_t i = 3; i < arguments(); ++i) {
      const std::string option = upper_case(argument(i));
      if (option == "NX" || option == "XX") {
        (option == "NX" ? only_new : only_old) = true;
      } else if ((option == "EX" || option == "PX") && !life && i + 1 < arguments()) {
        life = life_of(argument(++i), option == "EX" ? 1000 : 1);
        if (*life <= 0ms) throw refusal{"ERR invalid expire time in 'set' command"};
      } else {
        throw syntax_error();
      }
    }
    if (only_new && only_old) throw syntax_error();
    if ((only_new || only_old) && (data_.find(argument(1)) != nullptr) != only_old) return answer_nothing();
    data_.set(argument(1), std::move(arguments_[2]), life);
    answer("OK");
  }
  void get() {
    const auto* const value = data_.find_as<std::string>(argument(1));
    value != nullptr ? answer_bulk(*value) : answer_nothing();
  }
  void del() {
    std::int64_t n = 0;
    for (std::size_t i = 1; i < arguments(); ++i) n += data_.find(argument(i)) != nullptr && data_.erase(argument(i));
    answer_integer(n);
  }
  void exists() {
    answer_integer(std::count_if(arguments_.begin() + 1, arguments_.end(),
                                 [this](const std::string& key) { return data_.find(key) != nullptr; }));
  }

  void incr() { add(1); }
  void decr() { add(-1); }
  void incr_by() { add(integer(argument(2))); }
  void decr_by() {
    std::int64_t n = 0;
    if (__builtin_sub_overflow(0, integer(argument(2)), &n)) throw not_an_integer();
    add(n);
  }
  void add(std::int64_t n) {
    auto* const value = data_.find_as<std::string>(argument(1));
    std::int64_t sum = value != nullptr ? integer(*value) : 0;
    if (__builtin_add_overflow(sum, n, &sum)) throw refusal{"ERR increment or decrement would overflow"};
    value != nullptr ? void(*value = std::to_string(sum)) : data_.set(argument(1), std::to_string(sum));
    answer_integer(sum);
  }

  static milliseconds life_of(std::string_view text, std::int64_t unit) {
    constexpr std::int64_t longest = std::int64_t{100} * 365 * 24 * 3600 * 1000;
    const std::int64_t n = integer(text);
    if (n > longest / unit || n < -longest / unit) throw refusal{"ERR invalid expire time"};
    return milliseconds(n * unit);
  }
  void expire() { expire_in(life_of(argument(2), 1000)); }
  void pexpire() { expire_in(life_of(argument(2), 1)); }
  void expire_in(milliseconds life) {
    const bool exists = data_.find(argument(1)) != nullptr;
    if (exists) data_.expire(argument(1), life);
    answer_integer(exists);
  }
  void ttl() {
    const std::int64_t left = time_left();
    answer_integer(left < 0 ? left : (left + 500) / 1000);
  }
  void pttl() { answer_integer(time_left()); }
  std::int64_t time_left() {
    const entry* const found = data_.find(argument(1));
    if (found == nullptr) return -2;
    if (!found->expires) return -1;
    return std::chrono::ceil<milliseconds>(*found->expires - now()).count();
  }

  void keys() {
    std::vector<std::string_view> found;
    for (const auto& [key, e] : data_.entries()) {
      if ((!e.expires || *e.expires > now()) && matches(argument(1), key)) found.push_back(key);
    }
    answer_array(found.size());
    for (const auto key : found) answer_bulk(key);
  }

  void lpush() { push(true); }
  void rpush() { push(false); }
  void push(bool front) {
    list* values = data_.find_as<list>(argument(1));
    if (values == nullptr) {
      data_.set(argument(1), list());
      values = data_.find_as<list>(argument(1));
    }
    for (std::size_t i = 2; i < arguments(); ++i) {
      values->insert(front ? values->begin() : values->end(), std::move(arguments_[i]));
    }
    answer_integer(static_cast<std::int64_t>(values->size()));
  }
  void lpop() { pop(true); }
  void rpop() { pop(false); }
  void pop(bool front) {
    list* const values = data_.find_as<list>(argument(1));
    if (values == nullptr) return answer_nothing();
    answer_bulk(front ? values->front() : values->back());
    front ? values->pop_front() : values->pop_back();
    if (values->empty()) data_.erase(argument(1));
  }
  void llen() {
    const list* const values = data_.find_as<list>(argument(1));
    answer_integer(values != nullptr ? static_cast<std::int64_t>(values->size()) : 0);
  }
  void lrange() {
    const list* const values = data_.find_as<list>(argument(1));
    const std::int64_t size = values != nullptr ? static_cast<std::int64_t>(values->size()) : 0;
    const auto from_begin = [size](std::int64_t i) { return i < 0 ? std::max<std::int64_t>(i + size, -1) : i; };
    const std::int64_t first = std::max<std::int64_t>(from_begin(integer(argument(2))), 0);
    const std::int64_t end = std::min(from_begin(integer(argument(3))), size - 1) + 1;
    answer_array(static_cast<std::size_t>(std::max<std::int64_t>(end - first, 0)));
    for (std::int64_t i = first; i < end; ++i) answer_bulk((*values)[static_cast<std::size_t>(i)]);
  }

  void answer_subscription(std::string_view what, std::string_view name) {
    answer_array(3);
    answer_bulk(what);
    name.empty() ? answer_nothing() : answer_bulk(name);
    answer_integer(static_cast<std::int64_t>(subscriptions_.size()));
  }
  void subscribe() {
    for (std::size_t i = 1; i < arguments(); ++i) {
      subscriptions_.insert(argument(i));
      data_.channels[argument(i)].insert(self_);
      answer_subscription("subscribe", argument(i));
    }
  }
  void unsubscribe() {
    std::vector<std::string> from(arguments_.begin() + 1, arguments_.end());
    if (from.empty()) from.assign(subscriptions_.begin(), subscriptions_.end());
    for (const std::string& name : from) {
      unsubscribe_from(name);
      answer_subscription("unsubscribe", name);
    }
    if (from.empty()) answer_subscription("unsubscribe", "");
  }
  void unsubscribe_from(const std::string name) {
    const auto there = data_.channels.find(name);
    if (subscriptions_.erase(name) == 0) return;
    there->second.erase(self_);
    if (there->second.empty()) data_.channels.erase(there);
  }
  void publish() {
    std::string text = "*3\r\n$7\r\nmessage\r\n";
    append_bulk(text, argument(1));
    append_bulk(text, argument(2));
    const auto what = std::make_shared<const std::string>(std::move(text));
    if (const auto there = data_.channels.find(argument(1)); there != data_.channels.end()) {
      for (const auto& who : there->second) published_.push_back({what, who});
    }
    answer_integer(static_cast<std::int64_t>(published_.size()));
  }

  void info() {
    const auto uptime = std::chrono::duration_cast<std::chrono::seconds>(now() - data_.since).count();
    std::string text = "# Server\r\nredis_version:7.0.0\r\nuptime_in_seconds:" + std::to_string(uptime);
    text += "\r\n\r\n# Clients\r\nconnected_clients:" + std::to_string(data_.clients);
    text += "\r\n\r\n# Stats\r\ntotal_connections_received:" + std::to_string(data_.connections);
    text += "\r\ntotal_commands_processed:" + std::to_string(data_.commands);
    text += "\r\npubsub_channels:" + std::to_string(data_.channels.size());
    text += "\r\n\r\n# Keyspace\r\n";
    if (const std::size_t keys = data_.entries().size(); keys > 0) {
      text += "db0:keys=" + std::to_string(keys) + ",expires=" + std::to_string(data_.expiring()) + ",avg_ttl=0\r\n";
    }
    answer_bulk(text);
  }
  void dbsize() { answer_integer(static_cast<std::int64_t>(data_.entries().size())); }
  void command_list() { answer_array(0); }
  void config() {  // redis-benchmark asks for some settings, and prints them with its results
    if (upper_case(argument(1)) != "GET" || arguments() != 3) throw refusal{"ERR there is nothing to configure"};
    answer_array(2);
    answer_bulk(argument(2));
    answer_bulk("");
  }
  void quit() {
    answer("OK");
    ends_ = true;
  }

  tcp_stream stream_;
  database& data_;
  const context stopping_;
  const std::shared_ptr<subscriber> self_ = std::make_shared<subscriber>();
  std::set<std::string> subscriptions_;
  std::vector<publication> published_;

  std::string unparsed_;  // of this, the bytes from parsed_ on are not parsed
  std::size_t parsed_ = 0;
  std::vector<std::string> arguments_;  // of the next request, as far as they have come
  std::int64_t arguments_to_come_ = 0;
  std::optional<std::size_t> argument_size_;
  std::size_t request_size_ = 0;
  std::string answers_;
  bool ends_ = false;
};

task<> serve_client(tcp_stream stream, database& data, context stopping) {
  try {
    session client(std::move(stream), data, stopping);
    co_await client.talk();
  } catch (const std::exception&) {
    // This client is gone, or too slow, or there is no memory for it. The other clients stay.
  }
}

task<> accept_all(tcp_listener& listener, database& data, context stopping, group& clients) {
  for (;;) {
    co_await clients.slot();
    tcp_stream client = co_await listener.accept();
    try {
      clients.go(serve_client(std::move(client), data, stopping));
    } catch (const std::bad_alloc&) {
      // There is no memory for another client.
    }
  }
}

task<> serve(std::string address, duration silence) {
  signals stop({SIGINT, SIGTERM});
  database data(silence);  // outside of the scope, so it outlives all clients
  const context stopping = context::with_cancel();
  tcp_listener listener = tcp_listener::bind(address, {.keep_alive_idle = 60s, .keep_alive_interval = 10s});
  std::printf("listening on %s\n", listener.local().to_string().c_str());
  std::fflush(stdout);

  co_await scope([&](group& clients) -> task<> {
    clients.limit(most_clients);
    clients.background(&database::forget_expired, &data);
    co_await select(stop.recv(), accept_all(listener, data, stopping, clients));
    // After the signal there are no new clients, and those without a request end. The others have two seconds.
    stopping.cancel();
    co_await listener.close();
    co_await select(clients.wait(), sleep(2s));
    clients.cancel();
  });
}

int main(int argc, char** argv) try {
  const auto silence = std::chrono::seconds(argc > 2 ? std::max(std::atoi(argv[2]), 1) : 300);
  run(serve(argc > 1 ? argv[1] : "127.0.0.1:6379", silence), {.workers = 1});
} catch (const std::exception& error) {
  std::fprintf(stderr, "redis_server: %s\n", error.what());
  return 1;
}
