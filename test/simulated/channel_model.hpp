// A sequential model of Go's channels, which shares nothing with the library. It computes all histories that a small
// program over channels may have, under every schedule and every choice of a select.
//
// In one step a routine acts, or returns from the operation on which it was parked. Between two instructions any other
// routine may go on. A history lists the invocations and their results, in order: "0.1(" is an invocation by routine 0
// of its instruction 1, "0.1=r " its return with the result r:
//
//   s  sent          7  received that value    -  closed and drained    n  nothing there    f  no room
//   k  closed        X  channel_closed         C  cancelled             o  otherwise        j  that routine has ended
//   c1r  case 1 of a select, with the result r
//
// After a bar come the channels, when no routine can go on and the owned coroutines have been destroyed: the size of
// each, whether it is open, which values can be received from it, and whether a value can be sent.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace model {

enum class verb { send, emplace, recv, try_send, try_recv, close, join, cancel, destroy, select };

struct arm {
  verb what;       // send, recv or join
  std::size_t of;  // the channel, or the routine
};

struct instruction {
  verb what;
  std::size_t of = 0;
  std::vector<arm> arms = {};
  bool otherwise = false;
  bool prefer_first = false;
};

inline instruction send(std::size_t channel) { return {verb::send, channel}; }
inline instruction emplace(std::size_t channel) { return {verb::emplace, channel}; }
inline instruction recv(std::size_t channel) { return {verb::recv, channel}; }
inline instruction try_send(std::size_t channel) { return {verb::try_send, channel}; }
inline instruction try_recv(std::size_t channel) { return {verb::try_recv, channel}; }
inline instruction close(std::size_t channel) { return {verb::close, channel}; }
inline instruction join(std::size_t routine) { return {verb::join, routine}; }
inline instruction cancel(std::size_t routine) { return {verb::cancel, routine}; }
inline instruction destroy(std::size_t routine) { return {verb::destroy, routine}; }
inline instruction select(std::initializer_list<arm> arms) { return {verb::select, 0, arms}; }
inline instruction select_otherwise(std::initializer_list<arm> arms) { return {verb::select, 0, arms, true}; }
inline instruction select_first(std::initializer_list<arm> arms) { return {verb::select, 0, arms, false, true}; }
inline instruction select_first_otherwise(std::initializer_list<arm> arms) {
  return {verb::select, 0, arms, true, true};
}

struct program {
  std::vector<std::size_t> capacities;
  std::vector<std::vector<instruction>> routines;
  std::set<std::size_t> owned = {};  // which of the routines are coroutines that an owner may destroy
};

// Each value tells who sent it.
inline int value_of(std::size_t routine, std::size_t instruction, std::size_t arm = 0) {
  return static_cast<int>(100 * (routine + 1) + 10 * instruction + arm);
}
constexpr int value_of_probe = 99;

inline std::string tell(const program& p) {
  static const char* const names[] = {"send",  "emplace", "recv",   "try_send", "try_recv",
                                      "close", "join",    "cancel", "destroy",  "select"};
  std::string text = "capacities";
  for (std::size_t capacity : p.capacities) text += " " + std::to_string(capacity);
  for (std::size_t i = 0; i != p.routines.size(); ++i) {
    text += (p.owned.count(i) ? "; owned " : "; ") + std::to_string(i) + ":";
    for (const instruction& each : p.routines[i]) {
      text += " ";
      text += names[static_cast<int>(each.what)];
      if (each.what != verb::select) {
        text += "(" + std::to_string(each.of) + ")";
        continue;
      }
      text += each.prefer_first ? "_first{" : "{";
      for (const arm& a : each.arms) {
        text += std::string(" ") + names[static_cast<int>(a.what)] + "(" + std::to_string(a.of) + ")";
      }
      text += each.otherwise ? " otherwise }" : " }";
    }
  }
  return text;
}

// One run of a program; whatever is open is decided by choose(n), a number below n.
class machine {
 public:
  machine(const program& p, std::function<std::size_t(std::size_t)> choose)
      : program_(p), choose_(std::move(choose)), routines_(p.routines.size()) {
    for (std::size_t capacity : p.capacities) channels_.push_back({capacity, {}, false, {}, {}});
    for (std::size_t i = 0; i != routines_.size(); ++i) {
      if (p.routines[i].empty()) routines_[i].now = standing::ended;
    }
  }

  std::string run() {
    for (;;) {
      std::vector<std::size_t> ready;
      for (std::size_t i = 0; i != routines_.size(); ++i) {
        if (routines_[i].now == standing::ready || routines_[i].now == standing::woken) ready.push_back(i);
      }
      if (ready.empty()) break;
      go_on(ready[choose(ready.size())]);
    }
    probe();
    return history_;
  }

 private:
  enum class standing { ready, parked, woken, ended };
  struct routine {
    standing now = standing::ready;
    std::size_t at = 0;
    bool cancelled = false;
    std::string result = {};  // when woken
  };
  struct waiter {
    std::size_t routine, arm;
    int value;
  };
  struct channel {
    std::size_t capacity;
    std::deque<int> values;
    bool closed;
    std::deque<waiter> receivers, senders;
  };

  std::size_t choose(std::size_t n) { return n > 1 ? choose_(n) : 0; }
  const instruction& current(std::size_t i) const { return program_.routines[i][routines_[i].at]; }
  void note(std::size_t i, char what) { history_ += std::to_string(i) + "." + std::to_string(routines_[i].at) + what; }

  void go_on(std::size_t i) {
    if (routines_[i].now == standing::woken) return returned(i, routines_[i].result);
    note(i, '(');
    const instruction& todo = current(i);
    const bool waits = todo.what == verb::send || todo.what == verb::emplace || todo.what == verb::recv ||
                       todo.what == verb::join || todo.what == verb::select;
    if (waits && routines_[i].cancelled) return returned(i, "C");
    switch (todo.what) {
      case verb::send:
      case verb::emplace:
      case verb::recv:
      case verb::join: {
        const arm only{todo.what == verb::emplace ? verb::send : todo.what, todo.of};
        if (auto result = attempt(only, value_of(i, routines_[i].at))) return returned(i, *result);
        return park(i, only, 0);
      }
      case verb::try_send: {
        auto result = attempt({verb::send, todo.of}, value_of(i, routines_[i].at));
        return returned(i, result ? *result : "f");
      }
      case verb::try_recv: {
        auto result = attempt({verb::recv, todo.of}, 0);
        return returned(i, result && *result != "-" ? *result : "n");
      }
      case verb::close:
        return returned(i, close_channel(channels_[todo.of]));
      case verb::cancel:
        cancel_routine(todo.of);
        return returned(i, "k");
      case verb::destroy:
        forget(todo.of);
        routines_[todo.of].now = standing::ended;
        return returned(i, "k");
      case verb::select:
        return select(i, todo);
    }
  }

  void select(std::size_t i, const instruction& todo) {
    std::vector<std::size_t> ready;
    for (std::size_t a = 0; a != todo.arms.size(); ++a) {
      if (can(todo.arms[a])) ready.push_back(a);
    }
    if (!ready.empty()) {
      const std::size_t a = todo.prefer_first ? ready.front() : ready[choose(ready.size())];
      return returned(i, of_arm(i, a, *attempt(todo.arms[a], value_of(i, routines_[i].at, a))));
    }
    if (todo.otherwise) return returned(i, "o");
    // Two arms of one channel may stand in its queue in either order.
    const std::size_t first = todo.prefer_first ? 0 : choose(todo.arms.size());
    for (std::size_t n = 0; n != todo.arms.size(); ++n) {
      const std::size_t a = (first + n) % todo.arms.size();
      park(i, todo.arms[a], a);
    }
  }

  void returned(std::size_t i, const std::string& result) {
    note(i, '=');
    history_ += result + " ";
    routine& r = routines_[i];
    ++r.at;
    if (result == "C" || r.at == program_.routines[i].size()) return ended(i);
    if (r.cancelled) {
      note(i, '=');
      history_ += "C ";
      return ended(i);
    }
    r.now = standing::ready;
  }

  void ended(std::size_t i) {
    routines_[i].now = standing::ended;
    while (!joiners_.empty()) {
      std::size_t n = 0;
      while (n != joiners_.size() && joiners_[n].second != i) ++n;
      if (n == joiners_.size()) return;
      wake(joiners_[n].first, "j");
    }
  }

  void park(std::size_t i, const arm& a, std::size_t index) {
    const waiter w{i, index, value_of(i, routines_[i].at, index)};
    routines_[i].now = standing::parked;
    if (a.what == verb::send) channels_[a.of].senders.push_back(w);
    if (a.what == verb::recv) channels_[a.of].receivers.push_back(w);
    if (a.what == verb::join) joiners_.push_back({w, a.of});
  }

  // Its result, or nothing if it would have to wait.
  std::optional<std::string> attempt(const arm& a, int value) {
    if (!can(a)) return std::nullopt;
    if (a.what == verb::join) return "j";
    channel& c = channels_[a.of];
    if (a.what == verb::send) {
      if (c.closed) return "X";
      if (!c.receivers.empty()) {
        wake(c.receivers.front(), std::to_string(value));
      } else {
        c.values.push_back(value);
      }
      return "s";
    }
    if (c.values.empty() && c.senders.empty()) return "-";
    if (!c.senders.empty()) {
      const waiter sender = c.senders.front();
      c.values.push_back(sender.value);
      wake(sender, "s");
    }
    const int oldest = c.values.front();
    c.values.pop_front();
    return std::to_string(oldest);
  }

  bool can(const arm& a) const {
    if (a.what == verb::join) return routines_[a.of].now == standing::ended;
    const channel& c = channels_[a.of];
    if (a.what == verb::send) return c.closed || !c.receivers.empty() || c.values.size() < c.capacity;
    return c.closed || !c.values.empty() || !c.senders.empty();
  }

  std::string close_channel(channel& c) {
    if (c.closed) return "X";
    c.closed = true;
    while (!c.receivers.empty()) wake(c.receivers.front(), "-");
    while (!c.senders.empty()) wake(c.senders.front(), "X");
    return "k";
  }

  void cancel_routine(std::size_t i) {
    routine& r = routines_[i];
    if (r.now == standing::ended) return;
    r.cancelled = true;
    if (r.now != standing::parked) return;
    forget(i);
    r.now = standing::woken;
    r.result = "C";
  }

  std::string of_arm(std::size_t i, std::size_t a, const std::string& result) const {
    return current(i).what != verb::select || result == "X" ? result : "c" + std::to_string(a) + result;
  }

  void wake(waiter w, const std::string& result) {
    forget(w.routine);
    routines_[w.routine].result = of_arm(w.routine, w.arm, result);
    routines_[w.routine].now = standing::woken;
  }

  void forget(std::size_t i) {
    const auto leave = [i](std::deque<waiter>& queue) {
      std::erase_if(queue, [i](const waiter& w) { return w.routine == i; });
    };
    for (channel& c : channels_) {
      leave(c.receivers);
      leave(c.senders);
    }
    std::erase_if(joiners_, [i](const auto& each) { return each.first.routine == i; });
  }

  void probe() {
    history_ += "|";
    for (std::size_t i : program_.owned) forget(i);
    for (std::size_t of = 0; of != channels_.size(); ++of) {
      channel& c = channels_[of];
      history_ += " " + std::to_string(c.values.size()) + (c.closed ? "closed:" : "open:");
      while (can({verb::recv, of}) && !(c.values.empty() && c.senders.empty())) {
        history_ += *attempt({verb::recv, of}, 0) + ",";
      }
      if (!c.closed) {
        const auto sent = attempt({verb::send, of}, value_of_probe);
        history_ += sent ? *sent : "f";
      }
    }
  }

  const program& program_;
  std::function<std::size_t(std::size_t)> choose_;
  std::vector<channel> channels_;
  std::vector<routine> routines_;
  std::vector<std::pair<waiter, std::size_t>> joiners_;
  std::string history_;
};

inline std::set<std::string> histories(const program& p) {
  struct choice {
    std::size_t made, of;
  };
  std::set<std::string> all;
  std::vector<choice> path;
  do {
    std::size_t depth = 0;
    machine one(p, [&](std::size_t n) {
      if (depth == path.size()) path.push_back({0, n});
      return path[depth++].made;
    });
    all.insert(one.run());
    while (!path.empty() && path.back().made + 1 == path.back().of) path.pop_back();
    if (!path.empty()) ++path.back().made;
  } while (!path.empty());
  return all;
}

}  // namespace model
