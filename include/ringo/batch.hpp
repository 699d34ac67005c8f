// batch: a stage of a pipeline that gathers values.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>
#include <exception>
#include <source_location>
#include <utility>
#include <variant>
#include <vector>

#include <ringo/detail/stage.hpp>
#include <ringo/select.hpp>
#include <ringo/time.hpp>

namespace ringo {

namespace detail {

template <class T>
class batch_stage final : public stage {
  static_assert(fit_into_frames<T>());

 public:
  batch_stage(receiver<T> in, std::size_t n, delay max_wait)
      : stage("batch"), in_(std::move(in)), most_(n), max_wait_(max_wait), out_(*this) {}
  receiver<std::vector<T>> open() { return out_.open(0); }

 private:
  task<> work(std::size_t) override {
    std::vector<T> values;
    bool gathering = true;
    try {
      for (;; gathering = true) {
        auto first = co_await by_maker(in_.recv());
        if (!first) co_return;
        values.push_back(std::move(*first));
        bool drained = false;
        timer limit(max_wait_);
        while (!drained && values.size() < most_) {
          auto next = co_await by_maker(select(prefer_first, in_.recv(), limit.wait()));
          if (next.index() == 1) break;
          auto& value = std::get<0>(next);
          drained = !value;
          if (value) values.push_back(std::move(*value));
        }
        gathering = false;
        const std::size_t size = values.size();
        co_await by_maker(out_.send(values));
        if (drained) co_return;
        values = std::vector<T>();
        values.reserve(size);
      }
    } catch (...) {
      if (!gathering) throw;
      note(std::current_exception());  // the input's error comes after the values before it
    }
    if (!values.empty()) co_await by_maker(out_.send(values));
  }
  void finish(const std::exception_ptr& error) noexcept override {
    in_ = {};
    out_.finish(error);
  }

  receiver<T> in_;
  const std::size_t most_;
  const delay max_wait_;
  stage_output<std::vector<T>> out_;
};

[[noreturn]] void throw_empty_batches();

}  // namespace detail

/// The values in batches of n, or of as many as have come when max_wait has passed since the first of them, or when the
/// input has ended. Values that are there at once are gathered even if max_wait is 0. No batch is empty. Closes when
/// the input is drained, or with its error. Ends as map does with its context and with the last receiver of the output.
/// Throws: std::invalid_argument if n is 0; std::bad_alloc. Thread: workers.
///
///   for (auto rows = batch(events, 100, 1s); auto some = co_await rows.recv();) co_await insert(*some);
template <class In>
auto batch(In&& in, std::size_t n, delay max_wait, std::source_location where = std::source_location::current()) {
  using T = detail::received_from<In>;
  constexpr bool input_is_a_channel = detail::stage_input<In>;
  static_assert(input_is_a_channel, RINGO_SAY_INPUT);
  if constexpr (input_is_a_channel) {
    if (n == 0) detail::throw_empty_batches();
    return detail::start_stage(new detail::batch_stage<T>(std::forward<In>(in), n, max_wait), 1, where);
  } else {
    return receiver<std::vector<int>>();
  }
}

}  // namespace ringo
