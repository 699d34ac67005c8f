// A snapshot as text for people.
#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "platform/escaped.hpp"
#include "runtime/report.hpp"
#include "runtime/snapshot.hpp"

namespace ringo {
namespace {

// The part before the last parameter list, which may hold lists itself. Empty if there is none.
std::string_view before_parameters(std::string_view name) {
  int depth = 0;
  for (std::size_t i = name.size(); i-- > 0;) {
    depth += name[i] == ')' ? 1 : name[i] == '(' ? -1 : 0;
    if (depth == 0) return name[i] == '(' ? name.substr(0, i) : std::string_view();
  }
  return {};
}

// Behind the last space outside of brackets, which ends the type that the function returns.
std::string_view behind_type(std::string_view name) {
  int depth = 0;
  for (std::size_t i = name.size(); i-- > 0;) {
    const char c = name[i];
    depth += c == ')' || c == '>' || c == '}' ? 1 : c == '(' || c == '<' || c == '{' ? -1 : 0;
    if (c == ' ' && depth == 0) return name.substr(i + 1);
  }
  return name;
}

std::string place_text(const std::source_location& at) {
  const std::string function = function_of(at);
  return detail::place_of(at) + (function.empty() ? "" : " in " + function);
}

std::string label_of(const snapshot::routine& r) {
  std::string label = "routine " + std::to_string(r.number);
  if (!r.name.empty()) label += " \"" + detail::printable(r.name) + '"';
  return r.is_main ? label + " (main)" : label;
}

// What is the same for all routines of a group, with `starter`, which may be empty.
std::string situation_of(const snapshot::routine& r, bool of_many, const std::string& waits_for,
                         const std::string& starter) {
  std::string text;
  if (r.state == snapshot::state::active) {
    text = of_many ? "run, or are ready to" : "runs, or is ready to";
  } else {
    text = of_many ? "wait" : "waits";
    if (!r.chain.empty()) text += " for " + waits_for + ", at " + place_text(r.chain.front());
  }
  if (r.is_cancelled) text += " (cancelled)";
  if (!r.is_main) {
    text += "; started at " + detail::place_of(r.started) + starter;
  }
  if (r.ended_awaits > 0) {
    text += r.ended_awaits == detail::routine::most_ended ? "; at least " : "; ";
    text += std::to_string(r.ended_awaits);
    text += r.ended_awaits == 1 ? " await has ended with `cancelled`" : " awaits have ended with `cancelled`";
  }
  return text;
}

std::string starter_of(std::span<const snapshot::routine* const> group) {
  const std::uint32_t first = group.front()->started_by;
  if (!std::ranges::all_of(group, [=](const snapshot::routine* r) { return r->started_by == first; })) {
    return " by different routines";
  }
  return first == 0 ? "" : " by routine " + std::to_string(first);
}

// How long they have waited, and their contexts: what differs between the routines of a group.
std::string wait_of(std::span<const snapshot::routine* const> group, time_point taken) {
  constexpr duration worth_telling = std::chrono::milliseconds(100);
  const snapshot::routine& first = *group.front();
  std::string text;
  const duration longest = std::ranges::max(group, {}, &snapshot::routine::waited)->waited;
  if (longest >= worth_telling) {
    text += group.size() == 1 ? "; has waited " : "; the oldest has waited ";
    text += detail::length_of(longest);
  }
  const bool one_context =
      std::ranges::all_of(group, [&](const snapshot::routine* r) { return r->context == first.context; });
  if (one_context && first.context == 0) return text;
  text += one_context ? "; under " + detail::object_label("context", first.context_name, first.context)
                      : "; under several contexts";
  const snapshot::routine& earliest =
      *std::ranges::min(group, {}, [](const snapshot::routine* r) { return r->deadline.value_or(time_point::max()); });
  if (!earliest.deadline) return text;
  const duration left = *earliest.deadline - taken;
  text += one_context ? ", deadline " : ", the first deadline ";
  return text + (left < duration::zero() ? detail::length_of(-left) + " ago" : "in " + detail::length_of(left));
}

// Of a group whose routines do not all wait for the same object: for how many. Nothing if some object is not known.
std::string objects_of(std::span<const snapshot::routine* const> group) {
  std::set<std::vector<std::size_t>> different;
  for (const snapshot::routine* r : group) {
    if (r->objects.empty()) return {};
    different.insert(r->objects);
  }
  if (different.size() == group.size()) return "; each waits for an object of its own";
  return "; for " + std::to_string(different.size()) + " different objects";
}

// Routines with the same key are one group.
std::string key_of(const snapshot::routine& r) {
  std::string key = r.name + '\n' + situation_of(r, true, r.operation, {});
  for (const auto& each : r.chain) key += '\n' + place_text(each);
  return r.is_main ? "main" : key;
}

void append_group(std::string& text, const snapshot& s, const std::vector<const snapshot::routine*>& group) {
  constexpr std::size_t most_numbers = 8;
  const snapshot::routine& first = *group.front();
  if (group.size() == 1) {
    text += "  " + detail::line_of(first, s.taken) + '\n';
  } else {
    const bool same_object = std::ranges::all_of(group, [&](const snapshot::routine* r) {
      return r->waits_for == first.waits_for && r->objects == first.objects;
    });
    text += "  " + std::to_string(group.size()) + " routines";
    if (!first.name.empty()) text += " \"" + detail::printable(first.name) + '"';
    for (std::size_t i = 0; i < std::min(group.size(), most_numbers); ++i) {
      text += (i == 0 ? " (" : ", ") + std::to_string(group[i]->number);
    }
    text += group.size() > most_numbers ? ", ...): " : "): ";
    text += situation_of(first, true, same_object ? first.waits_for : first.operation, starter_of(group));
    if (!same_object) text += objects_of(group);
    text += wait_of(group, s.taken) + '\n';
  }
  for (std::size_t i = 1; i < first.chain.size(); ++i) text += "      awaited at " + place_text(first.chain[i]) + '\n';
  for (const snapshot::routine* r : group) {
    for (const std::size_t held : r->holds) text += "      " + label_of(*r) + " holds " + s.objects[held].text + '\n';
  }
}

void append_cycle(std::string& text, const snapshot& s, const std::vector<std::uint32_t>& cycle) {
  text += "  These wait for each other:\n";
  for (std::size_t i = 0; i < cycle.size(); ++i) {
    const snapshot::routine& r = *detail::routine_with(s, cycle[i]);
    const snapshot::routine& next = *detail::routine_with(s, cycle[(i + 1) % cycle.size()]);
    const snapshot::object& o = s.objects[r.objects.front()];
    text += "    " + label_of(r) + " waits for " + r.waits_for;
    const bool is_held = std::ranges::find(next.holds, r.objects.front()) != next.holds.end();
    if (o.kind != "routine") text += (is_held ? ", held by " : ", which needs the end of ") + label_of(next);
    text += '\n';
  }
}

}  // namespace

std::string detail::line_of(const snapshot::routine& r, time_point taken) {
  const snapshot::routine* const alone = &r;
  return label_of(r) + ": " + situation_of(r, false, r.waits_for, starter_of({&alone, 1})) +
         wait_of({&alone, 1}, taken);
}

std::string detail::line_of(routine& r, bool is_main) {
  snapshot_taker one;
  one.add(r, is_main);
  const ringo::snapshot taken = one.finish();
  return line_of(taken.routines.front(), taken.taken);
}

// clang: "task<> app::f(int) [T = int]", "auto main()::(anonymous class)::operator()() const". g++ in a coroutine:
// "void app::f(app::f(int)::_ZN3app1fEi.Frame*)". Calls of closures are left out: "main()::<lambda()>".
std::string detail::short_name(std::string name) {
  if (name.ends_with(']')) name.erase(std::min(name.rfind(" ["), name.size()));
  bool is_of_closure = false;
  constexpr std::string_view call = "::operator()";
  for (std::size_t begin; (begin = name.find(std::string(call) + '(')) != std::string::npos;) {
    std::size_t end = begin + call.size();
    for (int depth = 0; end < name.size(); ++end) {
      depth += name[end] == '(' ? 1 : name[end] == ')' ? -1 : 0;
      if (depth == 0) break;
    }
    is_of_closure = name.find("::", end) == std::string::npos;
    name.erase(begin, is_of_closure ? std::string::npos : end + 1 - begin);
  }
  std::string_view plain = name;
  const std::size_t end = plain.rfind(')');
  if (!is_of_closure && end != std::string_view::npos && plain.find('>', end) == std::string_view::npos) {
    if (const std::string_view before = before_parameters(plain.substr(0, end + 1)); !before.empty()) plain = before;
  }
  return std::string(behind_type(plain));
}
std::string function_of(const std::source_location& at) { return detail::short_name(at.function_name()); }

std::string to_text(const leaks& l) {
  if (!l.not_searched.empty()) return "no search for leaks: " + l.not_searched + '\n';
  const std::string searched = " of " + std::to_string(l.searched) + (l.searched == 1 ? " routine" : " routines");
  std::string text;
  const auto add = [&](const char* what, const snapshot& s) {
    if (!s.routines.empty()) text += "leaks" + searched + ": " + what + ": " + to_text(s);
  };
  add("nothing can wake these any more", l.found);
  add("only the cancellation of their context can end these", l.until_cancelled);
  return text.empty() ? "no leaks among" + searched.substr(3) + '\n' : text;
}

std::string to_text(const snapshot& s) {
  std::string text = std::to_string(s.routines.size()) + (s.routines.size() == 1 ? " routine" : " routines") + " on " +
                     std::to_string(s.workers) + (s.workers == 1 ? " worker\n" : " workers\n");
  for (const auto& cycle : s.cycles) append_cycle(text, s, cycle);
  std::map<std::string, std::size_t> indices;
  std::vector<std::vector<const snapshot::routine*>> groups;  // in the order of their first routines
  for (const snapshot::routine& r : s.routines) {
    const auto [found, is_new] = indices.try_emplace(key_of(r), groups.size());
    if (is_new) groups.emplace_back();
    groups[found->second].push_back(&r);
  }
  for (const auto& group : groups) append_group(text, s, group);
  return text;
}

}  // namespace ringo
