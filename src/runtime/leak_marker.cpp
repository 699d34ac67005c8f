#include "runtime/leak_marker.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace ringo::detail {
namespace {

// Links of a record that lead to routines which this one cannot wake.
bool is_link(std::uintptr_t record, std::uintptr_t at, bool leaves_out_cancellation) noexcept {
  const auto* r = reinterpret_cast<const routine*>(record);  // NOLINT(performance-no-int-to-ptr)
  const auto is = [at](const auto& member) { return at == reinterpret_cast<std::uintptr_t>(&member); };
  return is(r->next) || is(r->roster_next) || is(r->roster_previous) || is(r->listed_in) || is(r->member_previous) ||
         (leaves_out_cancellation && is(r->member_next));
}

}  // namespace

void marker::see(std::uintptr_t begin, std::span<const std::uint64_t> words) {
  const bool in_record = records_.contains(hide(begin));
  const auto found_context = contexts_.find(hide(begin));
  const auto* in_context = found_context == contexts_.end()
                               ? nullptr
                               : reinterpret_cast<const context_core*>(  // NOLINT(performance-no-int-to-ptr)
                                     address_of(found_context->second));
  const std::uintptr_t end = begin + words.size() * 8;
  auto blind = std::ranges::upper_bound(blind_, begin, {}, &memory_range::end);
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::uintptr_t at = begin + i * 8;
    if (in_record && is_link(begin, at, leaves_out_cancellation_)) continue;
    if (in_context != nullptr && in_context->leads_down(at)) continue;
    if (blind != blind_.end() && blind->begin < end) {
      while (blind != blind_.end() && blind->end <= at) ++blind;
      if (blind != blind_.end() && blind->contains(at)) continue;
    }
    if (counted_ != nullptr) {
      if (const auto found = counted_->find(~words[i]); found != counted_->end()) ++found->second;
    }
    mark(words[i] & address_bits);
  }
}

void marker::read(std::span<const memory_range> ranges) {
  std::size_t size = 0;
  for (const memory_range& each : ranges) size += each.end - each.begin;
  if (!copy_own_memory(ranges, words_.data(), size)) {
    if (ranges.size() == 1) return;  // it is gone
    for (std::size_t i = 0; i < ranges.size(); ++i) read(ranges.subspan(i, 1));
    return;
  }
  std::size_t first = 0;
  for (const memory_range& each : ranges) {
    const std::size_t count = (each.end - each.begin) / 8;
    see(each.begin, std::span(words_).subspan(first, count));
    first += count;
  }
}

void marker::follow(std::unordered_map<std::uint64_t, std::size_t>* counted) {
  counted_ = counted;
  std::array<memory_range, 256> batch;
  std::size_t count = 0, words = 0;
  const auto flush = [&] {
    read(std::span(batch).first(count));
    count = words = 0;
  };
  while (!pending_.empty() || count != 0) {
    if (pending_.empty()) {
      flush();
      continue;
    }
    const auto block = map_.block_at(address_of(pending_.back()));
    pending_.pop_back();
    for (std::uintptr_t at = block->begin; at < block->end;) {
      const std::uintptr_t end = std::min(block->end, at + words_at_once * 8);
      if (count == batch.size() || words + (end - at) / 8 > words_at_once) flush();
      batch[count++] = {at, end};
      words += (end - at) / 8;
      at = end;
    }
  }
}

// Pages that the kernel has given no memory hold nothing; to read them would give them some.
void marker::mark_elsewhere() {
  const int pages = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  for (const memory_range& each : map_.elsewhere()) mark_range(each, pages);
  if (pages >= 0) ::close(pages);
}

void marker::mark_range(memory_range r, int pages) {
  std::array<std::uint64_t, 512> entries;
  for (std::uintptr_t at = r.begin; at < r.end;) {
    const std::uintptr_t first_page = at / page;
    const std::size_t wanted = std::min<std::size_t>((r.end - 1) / page - first_page + 1, entries.size());
    const auto got =
        pages < 0 ? ssize_t{-1} : ::pread(pages, entries.data(), wanted * 8, static_cast<off_t>(first_page * 8));
    if (got != static_cast<ssize_t>(wanted * 8)) entries.fill(~std::uint64_t{0});
    for (std::size_t i = 0; i < wanted; ++i) {
      const std::uintptr_t next = std::min(r.end, (first_page + i + 1) * page);
      // Present, or swapped out.
      if (entries[i] >> 62 != 0) {
        const memory_range one{at, next};
        read(std::span(&one, 1));
      }
      at = next;
    }
  }
}

}  // namespace ringo::detail
