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
      if (left_ == 1) in_ = {};  // what feeds it need not wait for who receives the last value
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

// The first n values. Closes after them, or when the input is drained; with the n-th it lets go of the input. An error
// that the input was closed with before that is passed on. Ends as map does with its context and with the last receiver
// of the output. Throws: std::bad_alloc. Thread: workers.
template <class T>
receiver<T> take(receiver<T> in, std::size_t n, std::source_location where = std::source_location::current()) {
  return detail::start_stage(new detail::take_stage<T>(std::move(in), n), n == 0 ? 0 : 1, where);
}
template <class T>
receiver<T> take(const channel<T>& in, std::size_t n, std::source_location where = std::source_location::current()) {
  return take(receiver<T>(in), n, where);
}
template <detail::no_input In, class... More>
receiver<int> take(In&&, const More&...) {
  constexpr bool input_is_a_channel = !detail::no_input<In>;
  static_assert(input_is_a_channel, RINGO_SAY_INPUT);
  return {};
}

}  // namespace ringo
