// A file as a source of bytes, as a sink, and as lines.
#include <cerrno>
#include <utility>

#include <ringo/detail/stage.hpp>
#include <ringo/errors.hpp>
#include <ringo/file.hpp>

#include "driver/buffer_pool.hpp"
#include "runtime/runtime_core.hpp"
#include "system/file_call.hpp"

namespace ringo {
namespace detail {
namespace {

// A pipe's capacity, so one read takes all of it; a larger read of a file gains little more.
constexpr std::size_t most_in_a_chunk = 64 * 1024;

class chunk_call final : public file_call<std::optional<chunk>> {
 public:
  chunk_call(file_handle f, std::uint64_t offset) noexcept : file_call(std::move(f), "reading "), offset_(offset) {}
  ~chunk_call() override {
    if (into_ != nullptr) give_back(*into_);
  }

 private:
  void ask(kernel_call& call) noexcept override {
    if (into_ == nullptr) into_ = buffer_pool::allocate(most_in_a_chunk);
    if (into_ == nullptr) return call.set_nothing();
    call.set_read(descriptor(), into_->bytes(), most_in_a_chunk, offset_);
  }
  std::optional<chunk> result() override {
    const int count = answered();
    if (count == 0) return std::nullopt;
    into_->begin = 0;
    into_->end = static_cast<std::uint32_t>(count);
    return chunk(std::exchange(into_, nullptr));
  }

  next judge(int& result) noexcept override {
    if (into_ == nullptr) result = -ENOMEM;
    return file_call::judge(result);
  }

  const std::uint64_t offset_;
  buffer* into_ = nullptr;
};

}  // namespace

// A reader's state. A chunk that has been read and not been taken is in `asked`, and from when a recv() has waited for
// it in `there`.
class file_reading {
 public:
  file_reading(file_handle f, std::uint64_t from) noexcept : of(std::move(f)), position(from) {}

  const file_handle of;
  std::uint64_t position;
  std::optional<one_shot_operation<std::optional<chunk>>> asked;
  std::optional<chunk> there;
  bool is_fetched = false;  // `there` is the answer: without a chunk the end
  sole_use use;
};

task<> fetch(file_reading& from, std::source_location where) {
  throw_if_cancelled("recv");
  const sole_use::guard guard(from.use, "recv");
  if (from.is_fetched) co_return;
  if (!from.asked) from.asked.emplace(new chunk_call(from.of.another(), from.position));
  try {
    from.there = co_await awaited_at<one_shot_operation<std::optional<chunk>>&>{*from.asked, where};
  } catch (const cancelled&) {
    throw;
  } catch (...) {
    from.asked.reset();
    throw;
  }
  from.asked.reset();
  from.is_fetched = true;
}

std::optional<chunk> take_fetched(file_reading& from) noexcept {
  from.is_fetched = false;
  if (from.there) from.position += from.there->size();
  return std::exchange(from.there, std::nullopt);
}

namespace {

class lines_stage final : public stage {
 public:
  lines_stage(std::string_view path, std::size_t limit) : stage("lines"), path_(path), limit_(limit), out_(*this) {}
  receiver<std::string> open() { return out_.open(64); }

 private:
  task<> work(std::size_t) override {
    const file f = co_await by_maker(file::open(path_));
    buffered_reader in(f.reader());
    for (;;) {
      std::optional<std::string> line = co_await by_maker(in.read_line(limit_, made_at()));
      if (!line) co_return;
      co_await by_maker(out_.send(*line));
    }
  }
  void finish(const std::exception_ptr& error) noexcept override { out_.finish(error); }

  const std::string path_;
  const std::size_t limit_;
  stage_output<std::string> out_;
};

}  // namespace
}  // namespace detail

file_reader::file_reader(const file& of, std::uint64_t from) {
  detail::file_handle f = detail::opened(of.core_, "reader");
  detail::check_range(from, 0, "reader");
  state_ = std::make_unique<detail::file_reading>(std::move(f), from);
}
file_reader::file_reader(file_reader&&) noexcept = default;
file_reader& file_reader::operator=(file_reader&&) noexcept = default;
file_reader::~file_reader() = default;

detail::file_recv file_reader::recv(std::source_location where) const {
  if (state_ == nullptr) throw std::logic_error("ringo: recv: the file_reader has been moved from");
  return {*state_, where};
}
std::uint64_t file_reader::position() const noexcept { return state_ != nullptr ? state_->position : 0; }

file_writer::file_writer(const file& of) : file_writer(of.writer()) {}

detail::deferred_task<void> file_writer::send(std::span<const std::byte> bytes, std::source_location where) {
  (void)detail::opened(file_, "send");
  if (next_) {
    detail::check_range(*next_, bytes.size(), "send");
    detail::check_writes_at_offsets(file_, "send");
  }
  return send_all(*this, bytes, where);
}

task<> file_writer::send_all(file_writer& to, std::span<const std::byte> bytes, std::source_location where) {
  detail::throw_if_cancelled("send");
  const detail::sole_use::guard guard(to.use_, "send");
  if (to.is_cut_) {
    throw disconnected(std::make_error_code(std::errc::connection_aborted),
                       "ringo: writing " + detail::in_quotes(to.file_.get()->path()) +
                           ": an earlier send was cut short: how much of it is in the file is not known");
  }
  to.is_cut_ = true;
  auto writing = detail::write_all(to.file_.another(), to.next_, bytes);
  co_await detail::in_name_of(where, writing);
  to.is_cut_ = false;
  if (to.next_) *to.next_ += bytes.size();
}

receiver<std::string> lines(std::string_view path, std::size_t limit, std::source_location where) {
  return detail::start_stage(new detail::lines_stage(detail::checked(path), limit), 1, where);
}

}  // namespace ringo
