// tee: a stage of a pipeline that passes each value on to several (fan-out of copies).
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <source_location>
#include <utility>
#include <vector>

#include <ringo/detail/stage.hpp>
#include <ringo/go.hpp>
#include <ringo/select_any.hpp>

namespace ringo {

namespace detail {

template <class T>
class tee_stage final : public stage {
  static_assert(fit_into_frames<T>());

 public:
  tee_stage(receiver<T> in, std::size_t n) : stage("tee"), in_(std::move(in)) {
    for (std::size_t i = 0; i != n; ++i) outputs_.emplace_back(*this);
  }
  std::vector<receiver<T>> open() {
    std::vector<receiver<T>> ends;
    ends.reserve(outputs_.size());
    for (auto& out : outputs_) ends.push_back(out.open(0));
    return ends;
  }

 private:
  // A value is offered to all outputs at once, so that they may be read in any order.
  task<> work(std::size_t) override {
    std::vector<send_value_operation<carried<T>>> offers;
    std::vector<const stage_output<T>*> offered;
    offers.reserve(outputs_.size());
    offered.reserve(outputs_.size());
    while (auto value = co_await by_maker(in_.recv())) {
      for (const auto& out : outputs_) {
        if (!out.abandoned()) offered.push_back(&out);
      }
      for (const auto* out : offered) {
        carried<T>& original = to_send(value);
        offers.push_back(out == offered.back() ? out->offer(std::move(original)) : out->offer(std::as_const(original)));
      }
      give_to_waiting(offers, offered);
      while (!offers.empty()) {
        try {
          const auto taken = co_await by_maker(select_any(offers));
          remove(offers, offered, taken.index);
          if (offers.size() > 2) {  // the first reader has woken this stage; it lets the others come
            co_await by_maker(yield());
            give_to_waiting(offers, offered);
          }
        } catch (const channel_closed&) {
          for (std::size_t i = offers.size(); i-- > 0;) {
            if (offered[i]->abandoned()) remove(offers, offered, i);
          }
        }
      }
    }
  }
  // A select links all offers, and takes the others out when one is taken. With many readers, which mostly wait, that
  // would take the square of their number.
  template <class Offers, class Offered>
  static void give_to_waiting(Offers& offers, Offered& offered) {
    worker& w = *current_worker();
    for (std::size_t i = offers.size(); i-- > 0;) {
      if (offers[i].try_now(w) == progress::idle) continue;
      offers[i].discard();  // taken, or its readers have gone
      remove(offers, offered, i);
    }
  }
  template <class Offers, class Offered>
  static void remove(Offers& offers, Offered& offered, std::size_t i) {
    offers.erase(offers.begin() + static_cast<std::ptrdiff_t>(i));
    offered.erase(offered.begin() + static_cast<std::ptrdiff_t>(i));
  }
  void finish(const std::exception_ptr& error) noexcept override {
    in_ = {};
    for (auto& out : outputs_) out.finish(error);
  }

  receiver<T> in_;
  std::vector<stage_output<T>> outputs_;
};

}  // namespace detail

/// n outputs, each of which gets a copy of every value; the last output gets the value itself. The next value is
/// received when all outputs have taken theirs, so the slowest reader sets the pace. An output whose last receiver has
/// gone counts no more. They close when the input is drained, or with its error. Ends as map does with its context, and
/// when the last receiver of the last output goes; at once if n is 0. Throws: std::bad_alloc. Thread: workers.
///
///   auto outputs = tee(lines, 2);
template <class In>
auto tee(In&& in, std::size_t n, std::source_location where = std::source_location::current()) {
  using T = detail::received_from<In>;
  constexpr bool input_is_a_channel = detail::stage_input<In>;
  static_assert(input_is_a_channel, RINGO_SAY_INPUT);
  if constexpr (input_is_a_channel) {
    static_assert(std::copy_constructible<detail::carried<T>>, "tee copies each value: send a std::shared_ptr of it");
    return detail::start_stage(new detail::tee_stage<T>(std::forward<In>(in), n), n == 0 ? 0 : 1, where);
  } else {
    return std::vector<receiver<int>>();
  }
}

}  // namespace ringo
