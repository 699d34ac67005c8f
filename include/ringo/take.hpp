// take: a stage of a pipeline that passes on the first values only.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>
#include <exception>
#include <source_location>
#include <utility>

#include <ringo/detail/stage.hpp>

namespace ringo {

namespace detail {

template <class T>
class take_stage final : public stage {
  static_assert(fit_into_frames<T>());

 public:
  take_stage(receiver<T> in, std::size_t n) : stage("take"), in_(std::move(in)), left_(n), out_(*this) {}
  receiver<T> open() { return out_.open(0); }

 private:
  task<> work(std::size_t) override {
    for (; left_ > 0; --left_) {
      auto value = co_await by_maker(in_.recv());
      if (!value) co_return;
      if (left_ == 1) in_ = {};  // its senders need not wait until the last value is received
      co_await by_maker(out_.send(to_send(value)));
    }
  }
  void finish(const std::exception_ptr& error) noexcept override {
    in_ = {};
    out_.finish(error);
  }

  receiver<T> in_;
  std::size_t left_;
  stage_output<T> out_;
};

}  // namespace detail

/// The first n values. Closes after them, or when the input is drained; with the n-th value it lets go of the input. An
/// error that closes the input before that is passed on. Ends as map does with its context and with the last receiver
/// of the output. Throws: std::bad_alloc. Thread: workers.
///
///   receiver<int> ten = take(primes, 10);
template <class In>
auto take(In&& in, std::size_t n, std::source_location where = std::source_location::current()) {
  using T = detail::received_from<In>;
  constexpr bool input_is_a_channel = detail::stage_input<In>;
  static_assert(input_is_a_channel, RINGO_SAY_INPUT);
  if constexpr (input_is_a_channel) {
    return detail::start_stage(new detail::take_stage<T>(std::forward<In>(in), n), n == 0 ? 0 : 1, where);
  } else {
    return receiver<int>();
  }
}

}  // namespace ringo
