// map: a stage of a pipeline that applies a function to each value, in several routines.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>
#include <vector>

#include <ringo/detail/library.hpp>
#include <ringo/detail/stage.hpp>

namespace ringo {

struct map_options {
  std::size_t buffer = 0;  ///< the output's capacity
  bool ordered = false;    ///< the results come in the order of their values
};
static_assert(std::is_trivially_destructible_v<map_options>);

namespace detail {

// If ordered, the workers take turns: worker 0 receives, then worker 1, and so on round and round; and they send in the
// same order. Taking turns costs nothing: a value that a worker would receive ahead of its turn could not be sent
// sooner.
template <class T, class F, class Result>
class map_stage final : public stage {
  static_assert(fit_into_frames<T, Result>());
  static constexpr bool awaited = awaited_result<std::invoke_result_t<F&, T>>::awaited;

 public:
  map_stage(receiver<T> in, std::size_t workers, F f, const map_options& o)
      : stage("map"), in_(std::move(in)), f_(std::move(f)), out_(*this), buffer_(o.buffer) {
    if (!o.ordered) return;
    for (std::size_t i = 0; i != workers; ++i) turns_.emplace_back();
    turns_.front().to_receive.try_send();
    turns_.front().to_send.try_send();
  }
  receiver<Result> open() { return out_.open(buffer_); }

 private:
  struct turns {
    turns() : to_receive(1), to_send(1) {}
    channel<> to_receive, to_send;
  };

  task<> work(std::size_t index) override {
    const turns* const mine = turns_.empty() ? nullptr : &turns_[index];
    const turns* const next = turns_.empty() ? nullptr : &turns_[(index + 1) % turns_.size()];
    bool receiving = true;
    try {
      for (;; receiving = true) {
        if (mine) co_await by_maker(mine->to_receive.recv());
        auto value = co_await by_maker(in_.recv());
        receiving = false;
        if (next) next->to_receive.try_send();
        if (!value) co_return;
        std::optional<carried<Result>> made;
        if constexpr (std::is_void_v<Result>) {
          if constexpr (awaited) {
            co_await by_maker(f_(std::move(*value)));
          } else {
            f_(std::move(*value));
          }
          made.emplace();
        } else if constexpr (awaited) {
          made.emplace(co_await by_maker(f_(std::move(*value))));
        } else {
          made.emplace(f_(std::move(*value)));
        }
        if (mine) co_await by_maker(mine->to_send.recv());
        co_await by_maker(out_.send(*made));
        if (next) next->to_send.try_send();
      }
    } catch (...) {
      if (!receiving) throw;
      note(std::current_exception());  // the input's error: the others go on with the values that they have
    }
    if (next) next->to_receive.try_send();
  }
  void finish(const std::exception_ptr& error) noexcept override {
    in_ = {};
    out_.finish(error);
  }

  receiver<T> in_;
  F f_;
  stage_output<Result> out_;
  const std::size_t buffer_;
  std::vector<turns> turns_;
};

template <class T, class F>
concept maps = can_be_kept<F> && std::invocable<std::decay_t<F>&, T>;

[[noreturn]] void throw_map_without_workers();

}  // namespace detail

/// What f makes of each value, by at most `workers` calls at a time; in no order or, with `ordered`, in the order of
/// the values. f may return a value, a task or an operation, which are awaited, or nothing: then each finished call
/// sends a signal. All calls share one f. At most `workers` values and `buffer` results are in flight.
///
///   receiver<page> pages = map(urls, 8, [](std::string url) -> task<page> { co_return co_await fetch(url); });
///
/// Closes when the input is drained and all calls have ended. An exception of f cancels the other calls, and closes the
/// output after the results before it; an error that closes the input is passed on after the results of the values
/// before it. The calls run under a child of the current context, and are cancelled with it, which closes the output
/// with `cancelled`; and when the last receiver of the output goes: no routine waits for their end then, so f must own
/// or share the objects that it uses. Throws: std::invalid_argument for no workers; std::bad_alloc. Thread: workers.
template <class In, class F>
auto map(In&& in, std::size_t workers, F&& f, map_options o = {},
         std::source_location where = std::source_location::current()) {
  using T = detail::received_from<In>;
  constexpr bool input_is_a_channel = detail::stage_input<In>;
  constexpr bool function_is_moved = !input_is_a_channel || detail::can_be_kept<F>;
  constexpr bool function_takes_a_value = !input_is_a_channel || !function_is_moved || detail::maps<T, F>;
  static_assert(input_is_a_channel, RINGO_SAY_INPUT);
  static_assert(function_is_moved, "map's function is copied, and cannot be: write std::move(f)");
  static_assert(function_takes_a_value, "map's function is called with a value of the input's type");
  if constexpr (!detail::maps<T, F>) {
    return receiver<int>();
  } else if constexpr (std::is_member_pointer_v<std::decay_t<F>>) {
    return map(std::forward<In>(in), workers, [f](T value) { return detail::invoke(f, std::move(value)); }, o, where);
  } else {
    using function = std::decay_t<F>;
    using result = std::decay_t<typename detail::awaited_result<std::invoke_result_t<function&, T>>::type>;
    if (workers == 0) detail::throw_map_without_workers();
    return detail::start_stage(
        new detail::map_stage<T, function, result>(std::forward<In>(in), workers, std::forward<F>(f), o), workers,
        where);
  }
}

}  // namespace ringo
