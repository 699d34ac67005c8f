// merge: a stage of a pipeline that makes one of several (fan-in).
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <source_location>
#include <utility>
#include <vector>

#include <ringo/detail/stage.hpp>
#include <ringo/detail/starting.hpp>
#include <ringo/task.hpp>

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

template <class First, class... More>
concept mergeable = stage_input<First> && (std::convertible_to<More, receiver<received_from<First>>> && ...);

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

/// The values of all inputs; each input's keep their order. Closes when all inputs are drained, at once if there is
/// none. The first error that closes an input closes the output, and lets go of the other inputs. Ends as map does with
/// its context and with the last receiver of the output.
///
///   receiver<event> all = merge(keys, mouse, network);
///
/// Throws: std::bad_alloc. Fairness: an input that has sent waits behind those that are waiting to. Thread: workers.
template <class T>
receiver<T> merge(std::vector<receiver<T>> inputs, std::source_location where = std::source_location::current()) {
  const std::size_t count = inputs.size();
  return detail::start_stage(new detail::merge_stage<T>(std::move(inputs)), count, where);
}
RINGO_STARTS(detail::mergeable, merge, , detail::merge_at)
template <class First, class... More>
requires(!requires(const First& f) { f.begin(); } && (!detail::mergeable<First, More...> || sizeof...(More) > 8))
receiver<int> merge(const First&, const More&...) {
  constexpr bool inputs_are_alike = requires(const First& f) { f.begin(); };
  static_assert(inputs_are_alike,
                "merge takes up to nine channels and receivers of one type of values, or a vector of receivers");
  return {};
}

}  // namespace ringo
