// merge: a stage of a pipeline that makes one of several (fan-in).
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <ranges>
#include <source_location>
#include <utility>
#include <vector>

#include <ringo/detail/overloads.hpp>
#include <ringo/detail/stage.hpp>

namespace ringo {

namespace detail {

template <class T>
class merge_stage final : public stage {
  static_assert(fit_into_frames<T>());

 public:
  explicit merge_stage(std::vector<receiver<T>> in) : stage("merge"), in_(std::move(in)), out_(*this) {}
  receiver<T> open() { return out_.open(0); }

 private:
  task<> work(std::size_t index) override {
    receiver<T> in = std::exchange(in_[index], {});
    while (auto value = co_await by_maker(in.recv())) co_await by_maker(out_.send(to_send(value)));
  }
  void finish(const std::exception_ptr& error) noexcept override {
    in_.clear();
    out_.finish(error);
  }

  std::vector<receiver<T>> in_;
  stage_output<T> out_;
};

template <class T, class... In>
concept alike_inputs = (std::convertible_to<In, receiver<T>> && ...);
template <class First, class... More>
concept mergeable = !no_input<First> && alike_inputs<received_from<First>, First, More...>;

template <class First, class... More>
receiver<received_from<First>> merge_at(std::source_location where, First&& first, More&&... more) {
  using input = receiver<received_from<First>>;
  std::vector<input> inputs;
  inputs.reserve(1 + sizeof...(more));
  inputs.push_back(std::forward<First>(first));
  (inputs.push_back(std::forward<More>(more)), ...);
  const std::size_t count = inputs.size();
  return start_stage(new merge_stage<received_from<First>>(std::move(inputs)), count, where);
}

}  // namespace detail

// The values of all inputs, each input's in its order; closes when all are drained, at once if there is none. The first
// error that an input was closed with closes the output with it, and lets go of the others. Ends as map does with its
// context and with the last receiver of the output. Throws: std::bad_alloc. Fairness: an input that has sent waits
// behind those that are waiting to. Thread: workers.
template <class T>
receiver<T> merge(std::vector<receiver<T>> inputs, std::source_location where = std::source_location::current()) {
  const std::size_t count = inputs.size();
  return detail::start_stage(new detail::merge_stage<T>(std::move(inputs)), count, where);
}
#define RINGO_OVERLOAD(N)                                                                          \
  template <RINGO_CLASSES_##N>                                                                     \
  requires detail::mergeable<RINGO_TYPES_##N>                                                      \
  auto merge(RINGO_PARAMETERS_##N, std::source_location where = std::source_location::current()) { \
    return detail::merge_at(where, RINGO_FORWARDED_##N);                                           \
  }
RINGO_OVERLOADS(RINGO_OVERLOAD)
#undef RINGO_OVERLOAD
template <RINGO_CLASSES_6, class A7, class... More>
requires detail::mergeable<RINGO_TYPES_6, A7, More...>
auto merge(RINGO_PARAMETERS_6, A7&& a7, More&&... more) {
  return detail::merge_at({}, RINGO_FORWARDED_6, std::forward<A7>(a7), std::forward<More>(more)...);
}
template <class First, class... More>
requires(!std::ranges::range<First> && !detail::alike_inputs<detail::received_from<First>, First, More...>)
receiver<int> merge(const First&, const More&...) {
  constexpr bool inputs_are_alike = std::ranges::range<First>;
  static_assert(inputs_are_alike, "merge takes channels and receivers of one type of values");
  return {};
}

}  // namespace ringo
