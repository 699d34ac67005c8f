#include <ringo/detail/destroyed.hpp>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "runtime/kept_blocks.hpp"
#include "runtime/runtime_core.hpp"

#if RINGO_ADDRESS_SANITIZER
#include <map>
#include <mutex>

#include <sanitizer/asan_interface.h>
#endif

namespace ringo::detail {

std::string the_caller() {
  const worker* w = current_worker();
  if (w == nullptr || w->current == nullptr) return "by a thread that runs no routine";
  if (w->current == w->runtime.main) return "by the main routine";
  std::string text = "by the routine ";
  tell_start(text, *w->current);
  return text;
}

void throw_used_after_end(const char* call) {
  throw std::logic_error(std::string("ringo: ") + call + ": used after it was destroyed, " + the_caller());
}

void throw_empty_or_ended(const char* call, const char* what) {
  throw std::logic_error(std::string("ringo: ") + call + ": the " + what +
                         " is empty: default-made, moved from, or used after it was destroyed, " + the_caller());
}

#if !RINGO_ADDRESS_SANITIZER

void note_mark(void*, std::size_t) noexcept {}
void poison_but_marks(void*, std::size_t) noexcept {}
void unpoison(void*, std::size_t) noexcept {}

#else

namespace {

// The addresses of marks. Marks of objects outside of frames stay for ever, so their number is limited; beyond it the
// sanitizer itself reports a use.
constexpr std::size_t most_marks = 100'000;
struct mark_list {
  ranked<std::mutex, lock_rank::leaf> mutex;
  std::map<std::uintptr_t, std::size_t> marks;
};
mark_list& all_marks() noexcept {
  static auto& one = *new mark_list;
  return one;
}

}  // namespace

void note_mark(void* at, std::size_t size) noexcept {
  mark_list& all = all_marks();
  const std::lock_guard guard(all.mutex);
  if (all.marks.size() >= most_marks) all.marks.clear();
  try {
    all.marks[reinterpret_cast<std::uintptr_t>(at)] = size;
  } catch (const std::bad_alloc&) {  // then the sanitizer reports a use, too
  }
}

void poison_but_marks(void* block, std::size_t size) noexcept {
  __asan_poison_memory_region(block, size);
  mark_list& all = all_marks();
  const std::lock_guard guard(all.mutex);
  const auto begin = reinterpret_cast<std::uintptr_t>(block);
  auto each = all.marks.lower_bound(begin);
  while (each != all.marks.end() && each->first + each->second <= begin + size) {
    __asan_unpoison_memory_region(reinterpret_cast<void*>(each->first), each->second);
    each = all.marks.erase(each);
  }
}

void unpoison(void* block, std::size_t size) noexcept { __asan_unpoison_memory_region(block, size); }

#endif

}  // namespace ringo::detail
