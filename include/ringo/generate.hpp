// generate: the first stage of a pipeline, from a range.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

#include <ringo/detail/library.hpp>
#include <ringo/detail/stage.hpp>
#include <ringo/detail/started.hpp>
#include <ringo/task.hpp>

namespace ringo {

namespace detail {

template <class Range>
class generate_stage final : public stage {
  using element = std::ranges::range_value_t<Range>;
  static_assert(fit_into_frames<element>());

 public:
  generate_stage(auto&& range, std::size_t buffer)
      : stage("generate"), range_(std::in_place, std::forward<decltype(range)>(range)), out_(*this), buffer_(buffer) {}
  receiver<element> open() { return out_.open(buffer_); }

 private:
  task<> work(std::size_t) override {
    for (auto&& each : *range_) {
      using reference = decltype(each);
      if constexpr (std::constructible_from<element, reference>) {
        element value(std::forward<reference>(each));
        co_await by_maker(out_.send(value));
      } else {
        element value(std::move(each));
        co_await by_maker(out_.send(value));
      }
    }
  }
  void finish(const std::exception_ptr& error) noexcept override {
    range_.reset();
    out_.finish(error);
  }

  std::optional<Range> range_;
  stage_output<element> out_;
  const std::size_t buffer_;
};

}  // namespace detail

/// The values of a range, in order: of a container, a view, or a coroutine that is an input range. They are taken one
/// by one as they are sent: one, and as many as the buffer holds, are made ahead. They are copied, or moved if they
/// cannot be copied. Closes at the range's end, or with the range's exception. Ends as map does with its context and
/// with the last receiver of the output. The range is destroyed soon after that, so it must own or share the objects
/// that it uses. Throws: std::bad_alloc. Thread: workers; one at a time advances the range.
///
///   receiver<int> numbers = generate(std::views::iota(1, 100));
template <class R>
auto generate(R&& range, std::size_t buffer = 0, std::source_location where = std::source_location::current()) {
  using kept = std::decay_t<R>;
  constexpr bool is_range = std::ranges::input_range<kept>;
  constexpr bool is_copied_or_moved = !is_range || detail::can_be_kept<R>;
  static_assert(is_range, "generate takes a range: a container, a view, or a coroutine that is one");
  static_assert(is_copied_or_moved, "the range is copied, and cannot be: give it away, write std::move(range)");
  if constexpr (is_range && is_copied_or_moved) {
    return detail::start_stage(new detail::generate_stage<kept>(std::forward<R>(range), buffer), 1, where);
  } else {
    return receiver<int>();
  }
}

}  // namespace ringo
