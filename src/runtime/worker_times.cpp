#include "runtime/worker_times.hpp"

#include <algorithm>
#include <map>
#include <new>
#include <string_view>

namespace ringo {

duration histogram::quantile(double share) const noexcept {
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < buckets; ++i) {
    seen += counts[i];
    if (static_cast<double>(seen) >= share * static_cast<double>(count)) return bound(i);
  }
  return bound(buckets - 1);
}

namespace detail {
namespace {

constexpr auto bounds = [] {
  std::array<std::int64_t, histogram::buckets - 1> all{};
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = histogram::bound(i).count();
  return all;
}();

constexpr unsigned kind_bits = 16;

constexpr std::uint64_t key_of(std::uint32_t number, std::size_t kind_and_1) noexcept {
  return std::uint64_t{number} << kind_bits | kind_and_1;
}

// "receive on a channel": without numbers and addresses, which differ between the objects of a kind.
std::string name_of_wait(std::string text) {
  constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_' ";
  if (text.starts_with("select")) return "select";
  if (text.find_first_not_of(letters) == 0)
    text.erase(0, text.rfind(" of ") + 4);  // "1 of the 2 permits of a semaphore"
  text.resize(std::min(text.find_first_not_of(letters), text.size()));
  while (text.ends_with(' ')) text.pop_back();
  return text.empty() ? "other" : text;
}

}  // namespace

void counted_times::add(std::int64_t nanoseconds) noexcept {
  const auto bucket = std::ranges::lower_bound(bounds, nanoseconds) - bounds.begin();
  counts_[static_cast<std::size_t>(bucket)].add();
  sum_.add(std::max<std::int64_t>(nanoseconds, 0));
}

void counted_times::add_to(histogram& all) const noexcept {
  for (std::size_t i = 0; i < histogram::buckets; ++i) {
    const auto count = static_cast<std::uint64_t>(counts_[i].value());
    all.counts[i] += count;
    all.count += count;
  }
  all.sum += duration(sum_.value());
}

times_of_worker::~times_of_worker() {
  for (const auto& each : waits_) delete each.load(std::memory_order_relaxed);
}

counted_times* times_of_worker::waits_of(std::size_t kind) noexcept {
  counted_times* known = waits_[kind].load(std::memory_order_relaxed);
  if (known != nullptr) return known;
  known = new (std::nothrow) counted_times;
  waits_[kind].store(known, std::memory_order_release);  // pairs with read()
  return known;
}

void times_of_worker::resumes(std::uint32_t number, std::int64_t now) noexcept {
  const routine_times::entry& e = all_.of(number);
  if (e.key.load(std::memory_order_relaxed) == key_of(number, 0)) {
    ready_.add(now - e.since.load(std::memory_order_relaxed));
  }
  resumed_at_ = now;
}

// The entries are relaxed: between the start of a wait, its end and the resume there are the claim and the run queue.
void times_of_worker::parks(std::uint32_t number, std::size_t wait_kind, std::int64_t now) noexcept {
  routine_times::entry& e = all_.of(number);
  e.since.store(now, std::memory_order_relaxed);
  e.key.store(key_of(number, wait_kind + 1), std::memory_order_relaxed);
}

void times_of_worker::ready(std::uint32_t number, std::int64_t now) noexcept {
  routine_times::entry& e = all_.of(number);
  const std::uint64_t key = e.key.load(std::memory_order_relaxed);
  const std::size_t kind_and_1 = key & ((1U << kind_bits) - 1);
  if (key >> kind_bits == number && kind_and_1 != 0) {
    if (counted_times* waits = waits_of(kind_and_1 - 1)) waits->add(now - e.since.load(std::memory_order_relaxed));
  }
  e.since.store(now, std::memory_order_relaxed);
  e.key.store(key_of(number, 0), std::memory_order_relaxed);
}

worker_times times_of_worker::read(const std::function<std::string(std::size_t)>& text_of_wait) const {
  worker_times times;
  resume_.add_to(times.resume);
  ready_.add_to(times.ready);
  late_.add_to(times.timer_late);
  std::map<std::string, histogram> waits;  // several kinds may have one name, such as sends of different types
  for (std::size_t kind = 0; kind < waits_.size(); ++kind) {
    if (const counted_times* each = waits_[kind].load(std::memory_order_acquire)) {
      each->add_to(waits[name_of_wait(text_of_wait(kind))]);
    }
  }
  for (const auto& [wait, lasted] : waits) times.waits.push_back({wait, lasted});
  return times;
}

}  // namespace detail
}  // namespace ringo
