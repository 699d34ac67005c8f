#include "platform/heap_map.hpp"

#include <malloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>

#include <ringo/detail/compilers.hpp>

#include "platform/own_memory.hpp"
#include "platform/text_file.hpp"

namespace ringo::detail {
namespace {

// glibc's malloc on 64-bit machines. A chunk begins with the size of the chunk before it, which is there only while
// that one is free, and its own size with three flags. Its block begins behind these, and ends 8 bytes into the next
// chunk.
constexpr std::uintptr_t chunk_header = 16, chunk_step = 16, smallest_chunk = 32;
constexpr std::uint64_t previous_is_used = 1, is_mapped_alone = 2, is_of_thread = 4, all_flags = 7;
// Threads beside the first have arenas of their own, in heaps at multiples of this size. A heap begins with the
// addresses of its arena and of the arena's previous heap, and its size; in the arena's first heap the arena follows.
constexpr std::uintptr_t thread_heap_size = std::uintptr_t{64} << 20;
constexpr std::uintptr_t largest_searched = std::uintptr_t{1} << 40;  // a mapping that is larger is no heap of malloc's
constexpr std::uintptr_t arena_size = 2200, top_in_arena = 96, bins_in_arena = 112;
constexpr std::size_t bins = 127;

// A freed block that a thread's cache keeps looks used. Its second word is a random number, which this frees a block
// to learn; 0 if malloc has no such caches.
std::uint64_t mark_of_cached() {
  auto* block = static_cast<volatile std::uint64_t*>(std::malloc(24));
  if (block == nullptr) throw std::bad_alloc();
  block[0] = 0;
  block[1] = 0;
  const auto address = reinterpret_cast<std::uintptr_t>(block);
  std::free(const_cast<std::uint64_t*>(block));
  return read_own<std::uint64_t>(address + 8).value_or(0);
}

std::size_t words_for(std::size_t bits) { return (bits + 63) / 64; }
void set(std::span<std::uint64_t> bits, std::size_t i) { bits[i / 64] |= std::uint64_t{1} << i % 64; }
bool is_set(std::span<const std::uint64_t> bits, std::size_t i) { return (bits[i / 64] >> i % 64 & 1) != 0; }

// Reads memory through a copy of 64 KiB, which moves with the reader.
class memory_window {
 public:
  // The word at an address that is a multiple of 8; none if it cannot be read. Nothing behind `end` is read.
  std::optional<std::uint64_t> word(std::uintptr_t at, std::uintptr_t end) noexcept {
    if (at < copied_.begin || at + 8 > copied_.end) {
      const std::span<std::uint64_t> all = copy_.words();
      const std::size_t size = at < end ? std::min(all.size_bytes(), end - at) & ~std::size_t{7} : 0;
      copied_ = {};
      if (size == 0 || !copy_own_memory(at, all.data(), size)) return std::nullopt;
      copied_ = {at, at + size};
    }
    return copy_.words()[(at - copied_.begin) / 8];
  }
  memory_range range() const noexcept { return copy_.range(); }

 private:
  own_pages copy_{8192};
  memory_range copied_;
};

}  // namespace

own_pages::own_pages(std::size_t words) {
  void* at = ::mmap(nullptr, words * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) throw std::bad_alloc();
  words_ = {static_cast<std::uint64_t*>(at), words};
}

own_pages::~own_pages() {
  if (!words_.empty()) ::munmap(words_.data(), words_.size_bytes());
}

memory_range own_pages::range() const noexcept {
  const auto begin = reinterpret_cast<std::uintptr_t>(words_.data());
  return {begin, begin + words_.size_bytes()};
}

class heap_map::walker {
 public:
  const std::uint64_t cached = mark_of_cached();
  memory_window window;
  std::uintptr_t top_of_main = 0;    // the last chunk of the main heap, from which malloc takes new ones
  std::uintptr_t thread_header = 0;  // the size of a heap's header; 0: not known yet
};

heap_map::heap_map() {
  if (sizeof(void*) != 8 || RINGO_ADDRESS_SANITIZER || RINGO_THREAD_SANITIZER) return;
  // Blocks to find again. Zeroed, since what an earlier block has left there may be the mark of a cached one.
  const struct probes {
    probes() : all{std::calloc(1, 40), std::calloc(1, 1000)} {}
    ~probes() {
      for (void* each : all) std::free(each);
    }
    void* all[2];
  } known;
  walker walks;
  // To read the mappings allocates, and so may make a heap longer than they say. The next time there is room.
  for (int tries = 0; tries < 8 && !is_known_ && (tries == 0 || !heaps_.empty()); ++tries) {
    walk(walks);
    leave_out(walks.window.range());
    is_known_ = std::ranges::all_of(known.all, [this](void* each) {
      const auto at = reinterpret_cast<std::uintptr_t>(each);
      const std::optional<block> found = block_at(at);
      return each != nullptr && found && found->begin == at && found->end == at + ::malloc_usable_size(each);
    });
  }
}

void heap_map::walk(walker& walks) {
  const std::vector<mapping> all = mappings();
  std::size_t size = 0;
  for (const mapping& each : all) size += each.is == mapping::kind::file ? 0 : each.end - each.begin;
  const std::size_t most = size / chunk_step / 64 + 2 * all.size();
  bits_ = own_pages(2 * most);
  starts_ = bits_.words().first(most);
  used_ = bits_.words().last(most);
  words_ = 0;
  heaps_.clear();
  heaps_.reserve(all.size() * 2);
  elsewhere_.assign(all.begin(), all.end());
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].is != mapping::kind::heap) continue;
    memory_range whole = all[i];
    while (i + 1 < all.size() && all[i + 1].is == mapping::kind::heap && all[i + 1].begin == whole.end) {
      whole.end = all[++i].end;
    }
    if (add_heap(whole, false, walks)) leave_out_main_arena(all, walks.top_of_main);
  }
  for (const bool first : {true, false}) {
    for (const mapping& each : all) {
      if (each.is == mapping::kind::anonymous) add_thread_heaps(each, first, walks);
    }
  }
}

// What may hold a pointer: writable memory that is private or shared memory, and anonymous memory of any kind. The
// search reads no devices, which may act when they are read, and no rings of io_uring: ringo's old entries stay there.
std::vector<heap_map::mapping> heap_map::mappings() {
  std::vector<mapping> all;
  const std::string text = read_text("/proc/self/maps").value_or("");
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    mapping m;
    const char* const first = line.data();
    const char* const last = first + line.size();
    auto parsed = std::from_chars(first, last, m.begin, 16);
    if (parsed.ptr == last) continue;
    parsed = std::from_chars(parsed.ptr + 1, last, m.end, 16);
    line.remove_prefix(static_cast<std::size_t>(parsed.ptr - first));
    if (line.size() < 6) continue;
    const std::string_view rights = line.substr(1, 4);
    const std::size_t slash = line.find('/'), bracket = line.find('[');
    const std::string_view path = line.substr(std::min({slash, bracket, line.size()}));
    const bool is_writable = rights[1] == 'w', is_private = rights[3] == 'p';
    if (rights[0] != 'r' || line.find("anon_inode:") != std::string_view::npos) continue;
    if (path == "[heap]") {
      m.is = mapping::kind::heap;
    } else if (path.empty() || path.starts_with("[anon:")) {
      m.is = mapping::kind::anonymous;
    } else if (path.starts_with('/') && is_writable && is_private) {
      m.is = mapping::kind::file;
    } else if (!is_writable ||
               !(path.starts_with("[stack") || path.starts_with("/dev/shm/") || path.starts_with("/dev/zero") ||
                 path.starts_with("/memfd:") || path.starts_with("/SYSV") || !path.starts_with("/dev/"))) {
      continue;
    }
    all.push_back(m);
  }
  return all;
}

bool heap_map::add_heap(memory_range of, bool of_thread, walker& walks) {
  const std::size_t first_index = indices();
  const std::size_t count = words_for((of.end - of.begin) / chunk_step);
  if (count > starts_.size() - words_) return false;
  const auto index = [&](std::uintptr_t chunk) { return first_index + (chunk - of.begin) / chunk_step; };
  bool is_whole = false;
  std::uintptr_t before = 0, chunk = of.begin;  // whether a chunk is used, the next one says
  std::uint64_t head_before = 0;
  while (chunk + chunk_header <= of.end) {
    const auto size_of_free = walks.window.word(chunk, of.end), head = walks.window.word(chunk + 8, of.end);
    if (!size_of_free || !head) break;
    if (before != 0 && (*head & previous_is_used) == 0) {
      if (*size_of_free != (head_before & ~all_flags)) break;
    } else if (before != 0) {
      if (((head_before & is_of_thread) != 0) != of_thread) break;
      const auto second = walks.window.word(before + chunk_header + 8, of.end);
      if (walks.cached == 0 || second != walks.cached) set(used_, index(before));
    }
    const std::uint64_t size = *head & ~all_flags;
    set(starts_, index(chunk));
    // The last heap of an arena ends with its top chunk, others with two headers and no blocks.
    const bool is_fence =
        of_thread && before != 0 && (size == chunk_header || size == 0) && of.end - chunk <= 2 * smallest_chunk;
    if (is_fence || chunk + size == of.end) {
      is_whole = true;
      if (!of_thread) walks.top_of_main = chunk;
      break;
    }
    if ((*head & is_mapped_alone) != 0 || size < smallest_chunk || size % chunk_step != 0 || size > of.end - chunk)
      break;
    before = chunk;
    head_before = *head;
    chunk += size;
  }
  if (!is_whole) {
    std::ranges::fill(starts_.subspan(words_, count), 0);
    std::ranges::fill(used_.subspan(words_, count), 0);
    return false;
  }
  words_ += count;
  heap added;
  added.begin = of.begin;
  added.end = of.end;
  added.first_index = first_index;
  heaps_.insert(std::ranges::upper_bound(heaps_, of.begin, {}, &heap::begin), added);
  leave_out(of);
  return true;
}

void heap_map::add_thread_heaps(const mapping& in, bool first_of_arena, walker& walks) {
  if (in.end - in.begin > largest_searched) return;
  for (std::uintptr_t at = (in.begin + thread_heap_size - 1) & ~(thread_heap_size - 1); at < in.end;
       at += thread_heap_size) {
    struct {
      std::uintptr_t arena, previous;
      std::size_t size;
    } head;
    if (!copy_own_memory(at, &head, sizeof head)) continue;
    if (head.size < 4096 || head.size % 4096 != 0 || head.size > in.end - at) continue;
    const bool is_first = head.arena > at && head.arena - at <= 64 && head.arena % 16 == 0;
    if (is_first != first_of_arena) continue;
    if (is_first) walks.thread_header = head.arena - at;
    if (!is_first && (walks.thread_header == 0 || head.arena % thread_heap_size != walks.thread_header ||
                      head.previous % thread_heap_size != 0)) {
      continue;
    }
    const std::uintptr_t first =
        is_first ? (head.arena + arena_size + chunk_step - 1) & ~(chunk_step - 1) : at + walks.thread_header;
    // What is before the first chunk are malloc's lists of free chunks.
    if (add_heap({first, at + head.size}, true, walks)) leave_out({at, first});
  }
}

std::optional<heap_map::block> heap_map::block_at(std::uintptr_t address) const noexcept {
  auto of = std::ranges::upper_bound(heaps_, address, {}, &heap::begin);
  if (of == heaps_.begin()) return std::nullopt;
  --of;
  if (address >= of->end || address < of->begin + chunk_header) return std::nullopt;
  std::size_t i = of->first_index + (address - 8 - of->begin) / chunk_step;
  std::uint64_t bits = starts_[i / 64] << (63 - i % 64);
  if (bits != 0) {
    i -= static_cast<std::size_t>(std::countl_zero(bits));
  } else {
    const std::size_t first_word = of->first_index / 64;
    std::size_t word = i / 64;
    if (word > first_word) --word;
    while (word > first_word && starts_[word] == 0) --word;
    if (starts_[word] == 0) return std::nullopt;
    i = word * 64 + 63 - static_cast<std::size_t>(std::countl_zero(starts_[word]));
  }
  if (!is_set(used_, i)) return std::nullopt;
  std::size_t next = i + 1;  // a used chunk has one behind it
  while (next % 64 != 0 && !is_set(starts_, next)) ++next;
  if (next % 64 == 0) {
    while (starts_[next / 64] == 0) next += 64;
    next += static_cast<std::size_t>(std::countr_zero(starts_[next / 64]));
  }
  block found;
  found.begin = of->begin + (i - of->first_index) * chunk_step + chunk_header;
  found.end = of->begin + (next - of->first_index) * chunk_step + 8;
  found.index = i;
  if (!found.contains(address)) return std::nullopt;
  return found;
}

void heap_map::leave_out_block(std::uintptr_t begin) noexcept {
  if (const auto of = block_at(begin); of && of->begin == begin) {
    used_[of->index / 64] &= ~(std::uint64_t{1} << of->index % 64);
  }
}

void heap_map::leave_out(memory_range taken) {
  std::vector<memory_range> left;
  left.reserve(elsewhere_.size() + 1);
  for (const memory_range& each : elsewhere_) {
    if (each.begin < std::min(each.end, taken.begin)) left.push_back({each.begin, std::min(each.end, taken.begin)});
    if (std::max(each.begin, taken.end) < each.end) left.push_back({std::max(each.begin, taken.end), each.end});
  }
  elsewhere_ = std::move(left);
}

// The main arena is a static object of the C library. It lists free chunks by the addresses of their headers, each of
// which is the end of the used block before it: its lists would refer to blocks that nothing refers to. The arena is
// known by its top chunk, and by its lists: an empty one refers to itself.
void heap_map::leave_out_main_arena(const std::vector<mapping>& all, std::uintptr_t top) {
  memory_window window;
  for (const mapping& in : all) {
    if (in.is != mapping::kind::file) continue;
    for (std::uintptr_t at = in.begin + top_in_arena; at + arena_size - top_in_arena <= in.end; at += 8) {
      const auto found = window.word(at, in.end);
      if (!found) break;
      if (*found != top) continue;
      const std::uintptr_t arena = at - top_in_arena;
      std::uint64_t lists[2 * bins];
      if (!copy_own_memory(arena + bins_in_arena, lists, sizeof lists)) continue;
      std::size_t fitting = 0, empty = 0;
      for (std::size_t i = 0; i < bins; ++i) {
        const std::uintptr_t itself = arena + bins_in_arena + i * 16 - 16;
        const bool is_empty = lists[2 * i] == itself && lists[2 * i + 1] == itself;
        empty += is_empty ? 1 : 0;
        fitting += is_empty || (lists[2 * i] != itself && lists[2 * i + 1] != itself && lists[2 * i] != 0) ? 1 : 0;
      }
      if (fitting == bins && empty >= 16) return leave_out({arena, arena + arena_size});
    }
  }
}

}  // namespace ringo::detail
