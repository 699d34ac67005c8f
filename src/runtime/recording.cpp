// Reads an image of a recorder: from memory, or from a file.
#include <ringo/recording.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "driver/kernel_call.hpp"
#include "platform/escaped.hpp"
#include "runtime/recorder.hpp"
#include "runtime/report.hpp"

namespace ringo {
namespace detail {
namespace {

class image_reader {
 public:
  explicit image_reader(std::string_view image) : rest_(image) {}
  std::string_view take(std::uint64_t size) {
    if (size > rest_.size()) throw std::invalid_argument("ringo: a recording is cut short");
    const std::string_view part = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return part;
  }
  template <class T>
  T take() {
    T value;
    const std::string_view bytes = take(sizeof(T));
    std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }
  bool is_empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

constexpr const char* call_names[] = {"nothing", "pause",        "poll",          "receive",    "receive message",
                                      "send",    "send message", "accept",        "connect",    "read",
                                      "write",   "sync",         "open",          "close",      "stat",
                                      "rename",  "remove",       "remove folder", "make folder"};
static_assert(std::size(call_names) == static_cast<std::size_t>(kernel_call::kind::make_folder) + 1);

class image_parser {
  using kind = recording::kind;

 public:
  explicit image_parser(std::string_view image) : whole_(image), image_(image) {}

  recording parse(std::chrono::nanoseconds last) {
    if (whole_.starts_with('{') || whole_.starts_with('[')) {
      throw std::invalid_argument("ringo: this is a trace already: open it in ui.perfetto.dev or chrome://tracing");
    }
    header_ = image_.take<image_header>();
    if (std::string_view(header_.magic, 8) != std::string_view(image_header().magic, 8)) {
      throw std::invalid_argument("ringo: this is no recording");
    }
    if (header_.version != image_header::current_version) {
      throw std::invalid_argument("ringo: this recording has version " + std::to_string(header_.version) +
                                  ", and this ringo reads version " + std::to_string(image_header::current_version));
    }
    if (header_.steady[0] < 0 || header_.steady[0] > header_.steady[1] || header_.steady[1] > latest.count()) {
      refuse();
    }
    made_.is_on = true;
    made_.workers = header_.workers;
    made_.process = header_.process;
    made_.from = time_of(header_.ticks[0]);
    made_.until = time_of(header_.ticks[1]);
    made_.until_unix_ns = header_.unix_ns;
    while (read_section()) {
    }
    if (rings_ != header_.workers) refuse();  // before anything is made for each worker
    finish(std::min(last, last_));
    return std::move(made_);
  }

 private:
  struct cell {
    std::uint64_t what, when;
  };
  // What a worker has done, and which routine it runs, or ran last.
  struct running {
    std::uint32_t routine = 0;
    bool was_resumed = false;                 // in this recording: else it may have left already
    std::size_t parked_at = recording::none;  // its event, after which it has not been resumed
    std::vector<recording::event> events;
    std::vector<std::uint64_t> ticks;  // of each event
  };

  [[noreturn]] static void refuse() { throw std::invalid_argument("ringo: a recording is damaged"); }

  bool read_section() {
    const auto section = image_.take<image_section>();
    const std::string_view content = image_.take(section.size);
    switch (section.what) {
      case image_section::ring_part:
        if (section.number != rings_++) refuse();
        read_ring(section.number, content);
        return true;
      case image_section::place_part:
        read_place(content);
        return true;
      case image_section::wait_part:
        waits_[section.number] = made_.waits.size();
        made_.waits.emplace_back(content);
        return true;
      case image_section::name_part:
        names_[section.number] = content;
        return true;
      case image_section::last_part:
        last_ = std::chrono::seconds(section.number);
        return true;
      case image_section::end_part:
        return false;
      default:
        throw std::invalid_argument("ringo: a recording has a part of an unknown kind");
    }
  }

  void read_place(std::string_view content) {
    image_reader in(content);
    const auto of = in.take<image_place>();
    const std::string file(in.take(of.file_length)), function(in.take(of.function_length));
    places_[of.address] = made_.places.size();
    made_.places.push_back({file, short_name(function), of.line});
  }

  time_point time_of(std::uint64_t ticks) const {
    if ((header_.flags & image_header::in_nanoseconds) != 0 || header_.ticks[1] <= header_.ticks[0]) {
      return std::min(time_point(duration(static_cast<std::int64_t>(ticks >> event_cell::time_shift))), latest_time);
    }
    const auto since = static_cast<long double>(static_cast<std::int64_t>(ticks - header_.ticks[0]));
    const long double speed = static_cast<long double>(header_.steady[1] - header_.steady[0]) /
                              static_cast<long double>(header_.ticks[1] - header_.ticks[0]);
    const long double at = static_cast<long double>(header_.steady[0]) + since * speed;
    return time_point(duration(static_cast<std::int64_t>(std::clamp<long double>(at, 0, latest.count()))));
  }

  void read_ring(std::uint32_t worker, std::string_view content) {
    image_reader in(content);
    const auto ring = in.take<image_ring>();
    if (ring.last < ring.first || ring.last - ring.first > content.size() / 16) {
      throw std::invalid_argument("ringo: a recording is cut short");
    }
    const std::string_view cells = in.take((ring.last - ring.first) * 16);
    const auto claimed = in.take<std::uint64_t>();
    std::uint64_t first = ring.first;
    if (claimed > ring.size) first = std::max(first, claimed - ring.size);
    // A block's base comes first.
    const std::uint64_t skipped = std::min(first - ring.first, ring.last - ring.first) + -first % event_ring::block;
    running state;
    std::uint64_t base = 0;
    for (std::uint64_t i = skipped; i < ring.last - ring.first; ++i) {
      cell one{};
      std::memcpy(&one, cells.data() + i * 16, sizeof one);
      if (event_cell::kind_of(one.what) == event_cell::clock) {
        base = one.when;
        state.routine = static_cast<std::uint32_t>(one.what >> event_cell::place_shift);
      } else {
        add_cell(one, base + ((one.when >> 32) << event_cell::time_shift), worker, state);
      }
    }
    std::vector<recording::event>& events = state.events;
    if (first != 0) made_.from = std::max(made_.from, events.empty() ? made_.until : events.front().at);
    if ((header_.flags & image_header::exact) == 0) spread(state.ticks, events);
    // A wait that was not opened, since the routine was cancelled, is no wait.
    std::erase_if(events, [](const recording::event& e) { return e.what == kind::yielded && e.routine == nobody; });
    made_.events.insert(made_.events.end(), std::make_move_iterator(events.begin()),
                        std::make_move_iterator(events.end()));
  }

  // The cells of one worker come in their order, and so do the events of a cell.
  void add_cell(const cell& one, std::uint64_t ticks, std::uint32_t worker, running& of) const {
    const auto number = static_cast<std::uint32_t>(one.when);
    const std::uint64_t code = event_cell::kind_of(one.what);
    const auto put = [&](kind what, std::uint32_t routine) { add({what, routine, one.what}, ticks, worker, of); };
    switch (code) {
      case event_cell::woke_and_parked:
      case event_cell::handed_over:
        add({kind::ready, number, 0}, ticks, worker, of);  // `more` is the wait's
        [[fallthrough]];
      case event_cell::switched:
        put(kind::parked, of.routine);
        if (code != event_cell::woke_and_parked) add({kind::resumed, number, 0}, ticks, worker, of);
        return;
      case event_cell::passed:
        put(kind::yielded, of.routine);
        return put(kind::resumed, number);
      case event_cell::ran:
        put(kind::resumed, number);
        return add({kind::ended, number, 0}, ticks, worker, of);
      default:
        if (code <= static_cast<std::uint64_t>(kind::answered)) put(static_cast<kind>(code), number);
    }
  }

  struct item {
    kind what;
    std::uint32_t number;
    std::uint64_t rest;  // the cell's `what`
  };

  // `where` and `wait` are set in finish(); until then `call` is the place's address, and `wait` the number of a kind.
  void add(const item& one, std::uint64_t ticks, std::uint32_t worker, running& of) const {
    const auto [what, number, rest] = one;
    const auto more = static_cast<std::uint32_t>(rest >> event_cell::kind_bits) & ((1U << event_cell::more_bits) - 1);
    std::vector<recording::event>& to = of.events;
    of.ticks.push_back(ticks);
    recording::event& e = to.emplace_back();
    e.at = time_of(ticks);
    e.worker = worker;
    e.what = what;
    e.call = rest >> event_cell::place_shift;
    switch (e.what) {
      case kind::started:
      case kind::ready:
        e.routine = number;
        e.by = static_cast<recording::cause>(more & 3);
        if (e.by == recording::cause::routine) e.waker = of.routine;
        if (e.what == kind::ready) e.value = static_cast<std::int64_t>(std::exchange(e.call, 0));
        break;
      case kind::resumed:
        e.routine = of.routine = number;
        of.was_resumed = true;
        of.parked_at = recording::none;
        break;
      case kind::parked:
      case kind::yielded:
      case kind::ended:
        e.routine = number;
        e.wait = more;
        if (of.parked_at != recording::none) to[of.parked_at].what = kind::yielded, to[of.parked_at].routine = nobody;
        of.parked_at = e.what == kind::parked ? to.size() - 1 : recording::none;
        break;
      case kind::stole:
        e.value = number;
        e.other = more;
        break;
      case kind::submitted:
        e.routine = of.was_resumed && of.parked_at == recording::none ? of.routine : 0;
        e.call_name = more < std::size(call_names) ? call_names[more] : "";
        e.value = static_cast<std::int32_t>(number);
        break;
      case kind::answered:
        e.value = static_cast<std::int32_t>(number);
        break;
      case kind::slept:
      case kind::woke:
        of.routine = 0;
        of.was_resumed = false;
        break;
    }
  }

  // Whether the worker runs a routine, or sleeps, after the event.
  static bool is_busy_after(const recording::event& e, bool before) {
    if (e.what == kind::resumed || e.what == kind::slept) return true;
    const bool leaves = e.what == kind::parked || e.what == kind::yielded || e.what == kind::ended;
    return before && (leaves ? e.routine == nobody : e.what != kind::woke);
  }

  // Events without a reading of their own have the time of the one before. They are spread evenly up to the next
  // reading; but if only one routine has run meanwhile, or the worker has slept once, all the time is that one's.
  void spread(const std::vector<std::uint64_t>& ticks, std::vector<recording::event>& events) const {
    bool is_busy = true;  // not known of the first
    for (std::size_t i = 0; i < ticks.size();) {
      std::size_t next = i + 1;
      while (next < ticks.size() && ticks[next] == ticks[i]) ++next;
      std::size_t begin = i, end = next, busy = 0;
      for (std::size_t each = i; each < next; ++each) {
        const bool was_busy = std::exchange(is_busy, is_busy_after(events[each], is_busy));
        const bool is_next = events[each].what == kind::resumed || events[each].what == kind::slept;
        if ((is_next || (is_busy && each == i)) && ++busy == 1) begin = each;
        if (!is_busy && was_busy && each > i && busy == 1) end = each;
      }
      if (busy != 1) begin = i, end = next;
      if (next > i + 1) {
        const bool is_last = next == ticks.size();
        const duration gap = (is_last ? made_.until : time_of(ticks[next])) - events[i].at;
        for (std::size_t each = i + 1; each < next; ++each) {
          events[each].blur = std::max(gap, duration::zero());
          if (is_last || each <= begin) continue;
          const auto part =
              static_cast<long double>(gap.count()) * static_cast<long double>(std::min(each, end) - begin);
          events[each].at += duration(static_cast<std::int64_t>(part / static_cast<long double>(end - begin)));
        }
      }
      i = next;
    }
  }

  // Those of one time in their order.
  void sort_by_time() {
    std::vector<std::pair<time_point, std::size_t>> order;
    order.reserve(made_.events.size());
    for (const recording::event& e : made_.events) order.emplace_back(e.at, order.size());
    std::sort(order.begin(), order.end());
    std::vector<recording::event> sorted;
    sorted.reserve(order.size());
    for (const auto& each : order) sorted.push_back(made_.events[each.second]);
    made_.events = std::move(sorted);
  }

  void finish(std::chrono::nanoseconds last) {
    if (last < made_.until - made_.from) {
      made_.from = made_.until - last;
      std::erase_if(made_.events, [this](const recording::event& e) { return e.at < made_.from; });
    }
    sort_by_time();
    std::map<std::uint32_t, std::size_t> started;
    for (recording::event& e : made_.events) {
      const bool has_place = e.what == kind::started || e.what == kind::resumed || e.what == kind::parked;
      if (const auto found = places_.find(e.call); has_place && found != places_.end()) e.where = found->second;
      if (has_place) e.call = 0;
      const auto wait = e.what == kind::parked ? waits_.find(e.wait) : waits_.end();
      e.wait = wait != waits_.end() ? wait->second : recording::none;
      if (e.routine == 0) continue;
      std::size_t& place = started.try_emplace(e.routine, recording::none).first->second;
      if (e.where != recording::none && e.what != kind::parked) place = e.where;
      if (e.waker != 0) started.try_emplace(e.waker, recording::none);
    }
    for (recording::event& e : made_.events) {  // that share a cell with others (event_ring::has_place)
      if (e.what == kind::resumed && e.where == recording::none && e.routine != 0) e.where = started[e.routine];
    }
    for (const auto& [number, place] : started) {
      const auto name = names_.find(number);
      made_.routines.push_back({number, name != names_.end() ? name->second : std::string(), place});
    }
  }

  static constexpr std::uint32_t nobody = ~std::uint32_t{0};
  // Differences of times in a damaged image must not overflow.
  static constexpr duration latest{std::int64_t{1} << 60};
  static constexpr time_point latest_time{latest};

  const std::string_view whole_;
  image_reader image_;
  image_header header_;
  recording made_;
  std::chrono::nanoseconds last_ = std::chrono::nanoseconds::max();
  std::uint32_t rings_ = 0;
  std::unordered_map<std::uint64_t, std::size_t> places_, waits_;
  std::unordered_map<std::uint32_t, std::string> names_;
};

}  // namespace

recording parse_image(std::string_view image, std::chrono::nanoseconds last) { return image_parser(image).parse(last); }

}  // namespace detail

recording read_recording(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string image((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file)
    throw std::system_error(errno, std::generic_category(), "ringo: the recording " + path + " cannot be read");
  return detail::parse_image(image);
}

std::string recording::name_of(std::uint32_t number) const {
  std::string text = number != 0 ? "routine " + std::to_string(number) : "a coroutine of another library";
  const auto found = std::lower_bound(routines.begin(), routines.end(), number,
                                      [](const routine& r, std::uint32_t n) { return r.number < n; });
  if (found == routines.end() || found->number != number) return text;
  if (!found->name.empty()) return text + " \"" + detail::printable(found->name) + '"';
  if (found->where == none) return text;
  const place& at = places[found->where];
  return text + " (" + at.file.substr(at.file.rfind('/') + 1) + ':' + std::to_string(at.line) + ')';
}

}  // namespace ringo
