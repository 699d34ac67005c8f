#include <ringo/detail/frame_cache.hpp>

#if __has_include(<malloc.h>)
#include <malloc.h>
#endif

#include <algorithm>
#include <atomic>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include <ringo/detail/current_worker.hpp>
#include <ringo/detail/frame.hpp>

#include "platform/never_destroyed.hpp"
#include "runtime/kept_blocks.hpp"
#include "runtime/live_counts.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {
namespace {

constexpr std::size_t many = 1 << 16;  // blocks released at a time: megabytes, which go back to the system

// Batches of blocks, which pass from workers that free more than they allocate to workers that allocate more.
class exchange {
 public:
  void put(std::size_t size_class, void* batch) noexcept {
    const std::lock_guard guard(mutex_);
    try {
      batches_[size_class].push_back(batch);
      count_.fetch_add(1, std::memory_order_relaxed);
      return;
    } catch (const std::bad_alloc&) {  // then to the system, below
    }
    give_back(batch);
  }
  void* take(std::size_t size_class) noexcept {
    const std::lock_guard guard(mutex_);
    auto& of_class = batches_[size_class];
    if (of_class.empty()) return nullptr;
    void* batch = of_class.back();
    of_class.pop_back();
    fewest_[size_class] = std::min(fewest_[size_class], of_class.size());
    count_.fetch_sub(1, std::memory_order_relaxed);
    return batch;
  }
  bool empty() const noexcept { return count_.load(std::memory_order_relaxed) == 0; }
  std::size_t release_all() noexcept {  // returns the number of batches
    const std::lock_guard guard(mutex_);
    for (auto& of_class : batches_) {
      for (void* batch : of_class) give_back(batch);
      of_class = {};  // its own memory, too
    }
    fewest_ = {};
    return count_.exchange(0, std::memory_order_relaxed);
  }
  void each(void (*f)(void*, const void*), void* to) {
    const std::lock_guard guard(mutex_);
    for (auto& of_class : batches_) {
      for (const void* batch : of_class) {
        for (; batch != nullptr; batch = *static_cast<void* const*>(batch)) f(to, batch);
      }
    }
  }
  // As frame_cache::give_back_unneeded().
  std::size_t release_unneeded() noexcept {
    std::size_t released = 0;
    const std::lock_guard guard(mutex_);
    for (std::size_t c = 0; c < batches_.size(); ++c) {
      for (std::size_t n = std::min((fewest_[c] + 1) / 2, most_at_once); n != 0; --n, ++released) {
        give_back(batches_[c].back());
        batches_[c].pop_back();
      }
      fewest_[c] = batches_[c].size();
    }
    count_.fetch_sub(released, std::memory_order_relaxed);
    return released;
  }

 private:
  static void give_back(void* batch) noexcept {
    while (batch != nullptr) {
      void* next = *static_cast<void**>(batch);
      ::operator delete(batch);
      batch = next;
    }
  }

  ranked<std::mutex, lock_rank::leaf> mutex_;
  // A bound for how long the mutex is held: so many batches of 256 blocks take some milliseconds.
  static constexpr std::size_t most_at_once = 256;
  std::array<std::vector<void*>, frame_cache::classes> batches_;
  std::array<std::size_t, frame_cache::classes> fewest_{};  // since the last release_unneeded()
  std::atomic<std::size_t> count_ = 0;                      // of batches; changed under the mutex
};

// Never destroyed: workers may run while the process exits.
exchange& shared_frames() {
  static never_destroyed<exchange> all;
  return *all;
}

}  // namespace

kept_blocks::~kept_blocks() {
  while (!blocks_.empty()) free_oldest();
}

void kept_blocks::add(void* block, std::size_t size) noexcept {
  try {
    blocks_.push_back({block, size});
  } catch (const std::bad_alloc&) {
    return ::operator delete(block);
  }
  poison_but_marks(block, size);
  bytes_ += size;
  while (bytes_ > most_bytes) free_oldest();
}

void kept_blocks::free_oldest() noexcept {
  const kept oldest = blocks_.front();
  blocks_.pop_front();
  bytes_ -= oldest.size;
  unpoison(oldest.block, oldest.size);
  ::operator delete(oldest.block);
}

void* frame_cache::allocate(std::size_t size) {
  const std::size_t of_class = size_class(size);
  if (of_class >= classes) return ::operator new(size);
  if (free_[of_class].top == nullptr && !refill(of_class)) return ::operator new(block_size(size));
  return try_allocate(size);
}

void frame_cache::free(void* frame, std::size_t size) noexcept {
  if (keeps_) return keep_block(frame, size);
  const std::size_t of_class = size_class(size);
  if (of_class >= classes) return ::operator delete(frame);
  if (free_[of_class].count >= most_free_) share(of_class);
  (void)try_free(frame, size);
}

bool frame_cache::refill(std::size_t of_class) noexcept {
  if (stack& aside = aside_[of_class]; aside.top != nullptr) {
    const std::uint32_t n = std::min(aside.count, batch);
    block* last = aside.top;
    for (std::uint32_t i = 1; i < n; ++i) last = last->next;
    free_[of_class] = {aside.top, n, {}};
    aside.top = std::exchange(last->next, nullptr);
    aside.count -= n;
    return true;
  }
  auto* top = static_cast<block*>(shared_frames().take(of_class));
  if (top == nullptr) return false;
  free_[of_class] = {top, batch, {}};
  return true;
}

void frame_cache::share(std::size_t of_class) noexcept {
  stack& s = free_[of_class];
  block* first = s.top;
  block* last = first;
  for (std::uint32_t i = 1; i < batch; ++i) last = last->next;
  s.top = std::exchange(last->next, nullptr);
  s.count -= batch;
  shared_frames().put(of_class, first);
}

bool frame_cache::has_plenty() const noexcept {
  return !shared_frames().empty() || std::any_of(free_.begin(), free_.end(), [this](const stack& s) {
    return s.count > kept_when_idle(static_cast<std::size_t>(&s - free_.data()));
  }) || std::any_of(aside_.begin(), aside_.end(), [](const stack& s) { return s.count != 0; });
}

void frame_cache::trim() noexcept {
  std::size_t released = shared_frames().release_all() * batch + release_aside();
  for (std::size_t c = 0; c < classes; ++c) {
    stack& s = free_[c];
    for (; s.count > kept_when_idle(c); --s.count, ++released) ::operator delete(std::exchange(s.top, s.top->next));
  }
#if defined(__GLIBC__)
  // malloc keeps free memory between used blocks until it is told to give it back.
  if (released >= many) ::malloc_trim(0);
#endif
}

void frame_cache::keep_block(void* freed, std::size_t size) noexcept {
  try {
    if (kept_ == nullptr) kept_ = new kept_blocks;
    kept_->add(freed, size);
  } catch (const std::bad_alloc&) {
    ::operator delete(freed);
  }
}

void frame_cache::give_back_unneeded() noexcept {
  std::size_t released = shared_frames().empty() ? 0 : shared_frames().release_unneeded() * batch;
  for (std::size_t c = 0; c < classes; ++c) {
    stack& aside = aside_[c];
    std::uint32_t n = std::min((aside.count + 1) / 2, most_at_once);
    released += n;
    for (; n != 0; --n, --aside.count) ::operator delete(std::exchange(aside.top, aside.top->next));
    // With other workers, further blocks are in the exchange.
    if (aside.count == 0 && free_[c].count > 2 * batch) aside = std::exchange(free_[c], {});
  }
  released_ += released;
#if defined(__GLIBC__)
  if (released_ >= many) {
    ::malloc_trim(0);
    released_ = 0;
  }
#endif
}

std::size_t frame_cache::held() const noexcept {
  std::size_t all = 0;
  for (std::size_t c = 0; c < classes; ++c) all += free_[c].count + aside_[c].count;
  return all;
}

void frame_cache::each_free(void (*f)(void*, const void*), void* to) const {
  for (const auto* all : {&free_, &aside_}) {
    for (const stack& s : *all) {
      for (const block* b = s.top; b != nullptr; b = b->next) f(to, b);
    }
  }
  if (kept_ != nullptr) kept_->each([&](const void* kept) { f(to, kept); });
}

void frame_cache::each_exchanged(void (*f)(void*, const void*), void* to) { shared_frames().each(f, to); }

std::size_t frame_cache::release_aside() noexcept {
  std::size_t released = 0;
  for (stack& s : aside_) {
    for (; s.count != 0; --s.count, ++released) ::operator delete(std::exchange(s.top, s.top->next));
  }
  return released;
}

void frame_cache::release_all() noexcept {
  delete std::exchange(kept_, nullptr);
  release_aside();
  for (stack& s : free_) {
    while (block* b = s.top) {
      s.top = b->next;
      ::operator delete(b);
    }
    s.count = 0;
  }
  shared_frames().release_all();
}

void* allocate_frame_slowly(std::size_t size) {
  worker* w = current_worker();
  if (w != nullptr && w->simulated) [[unlikely]] {
    if (w->runtime.simulation->fails_allocation()) throw std::bad_alloc();
  }
  void* frame = allocate_block_slowly(size);
  w == nullptr ? void(outside_counts().frames.fetch_add(1, std::memory_order_relaxed)) : w->counts.frames.add();
  return frame;
}

void free_frame_slowly(void* frame, std::size_t size) noexcept {
  worker* w = current_worker();
  w == nullptr ? void(outside_counts().frames.fetch_sub(1, std::memory_order_relaxed)) : w->counts.frames.add(-1);
  free_block_slowly(frame, size);
}

void* allocate_block_slowly(std::size_t size) {
  worker* w = current_worker();
  if (frame_cache::recycles && w != nullptr) return w->frames.allocate(size);
  return ::operator new(frame_cache::block_size(size));
}

void free_block_slowly(void* block, std::size_t size) noexcept {
  worker* w = current_worker();
  if (w != nullptr && (frame_cache::recycles || w->frames.keeps())) return w->frames.free(block, size);
  ::operator delete(block);
}

}  // namespace ringo::detail
