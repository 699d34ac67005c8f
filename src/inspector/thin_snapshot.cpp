#include "inspector/thin_snapshot.hpp"

#include <string>
#include <unordered_map>
#include <unordered_set>

namespace ringo::detail {
namespace {

constexpr std::size_t few_owners = 8;  // more are members of a group, each of which says little

// The same for routines that are alike. Places of one text are one object in the program.
std::string likeness_of(const snapshot::routine& r) {
  std::string key = r.operation;
  const auto add = [&key](const auto& value) { key.append(reinterpret_cast<const char*>(&value), sizeof value); };
  add(r.state);
  add(r.is_cancelled);
  for (const auto& at : r.chain) {
    add(at.file_name());
    add(at.line());
  }
  add(r.started.file_name());
  add(r.started.line());
  return key;
}

}  // namespace

thin_snapshot thin_out(const snapshot& s, std::size_t most_alike) {
  std::unordered_set<std::uint32_t> wanted;
  for (const auto& cycle : s.cycles) wanted.insert(cycle.begin(), cycle.end());
  for (const auto& o : s.objects) {
    if (o.owners.size() <= few_owners) wanted.insert(o.owners.begin(), o.owners.end());
  }
  struct alike {
    std::uint32_t first;
    std::size_t kept = 0, left_out = 0;
  };
  std::unordered_map<std::string, alike> all;
  thin_snapshot thin{{.workers = s.workers, .taken = s.taken, .routines = {}, .objects = {}, .cycles = s.cycles}, {}};
  std::unordered_map<std::size_t, std::size_t> indices;  // of objects: before, and now
  const auto move_to_new = [&](std::vector<std::size_t>& objects) {
    for (std::size_t& each : objects) {
      const auto [found, is_new] = indices.try_emplace(each, thin.left.objects.size());
      if (is_new) thin.left.objects.push_back(s.objects[each]);
      each = found->second;
    }
  };
  for (const auto& r : s.routines) {
    alike& like = all.try_emplace(likeness_of(r), alike{r.number}).first->second;
    if (like.kept >= most_alike && !r.is_main && r.holds.empty() && !wanted.contains(r.number)) {
      ++like.left_out;
      continue;
    }
    ++like.kept;
    auto& kept = thin.left.routines.emplace_back(r);
    move_to_new(kept.objects);
    move_to_new(kept.holds);
  }
  for (const auto& [key, like] : all) {
    if (like.left_out != 0) thin.more.push_back({like.first, like.left_out});
  }
  return thin;
}

}  // namespace ringo::detail
