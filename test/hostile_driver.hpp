// The most awkward kernel that is still correct. It stands between the workers and real drivers, and decides by a seed.
// It delays answers and reorders them; transfers less than the call asks for; ends an operation without a request to do
// so, or refuses to begin it (ECANCELED, EINTR, EAGAIN, ENOBUFS, ECONNABORTED); and it serves a request to end an
// operation early at once, or late: when the operation has succeeded, or when its successor has begun. It lends no
// buffers, or a few, or runs out of them, or takes them back at any time. Its answers are true: the bytes that it
// reports as transferred were transferred.
#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <memory>
#include <ringo/ringo.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "dice.hpp"
#include "driver/driver.hpp"
#include "real_drivers.hpp"
#include "runtime/runtime_core.hpp"

// Counts of all drivers of one program.
struct hostile_deeds {
  std::atomic<int> closed = 0;         // descriptors
  std::atomic<int> closed_wrong = 0;   // numbers that were not open
  std::atomic<int> asked_in_vain = 0;  // to end an operation that was not in flight
  std::atomic<int> shortened = 0, refused = 0, ended_unasked = 0, ended_late = 0;
  std::atomic<int> warnings = 0;
  std::atomic<int> accept_error = 0;  // of every accept, while there is one
  std::atomic<int> accepts_failed = 0;
};

class hostile_driver final : public ringo::detail::driver {
 public:
  hostile_driver(std::unique_ptr<ringo::detail::driver> before, std::uint64_t seed, hostile_deeds& deeds)
      : deeds_(deeds), random_(seed), real_(std::move(before)) {
    lends_ = below(4) != 0;
    longest_hold_ = 1 + below(6);
  }

  void attach() override { real_->attach(); }
  ringo::time_point now() const noexcept override { return real_->now(); }
  void wake() noexcept override { real_->wake(); }
  std::size_t in_flight() const noexcept override { return in_flight_.load(std::memory_order_acquire); }

  bool poll(ringo::time_point until) override {
    end_what_was_asked_for();
    if (lends_ && below(20) == 0) below(3) == 0 ? void(real_->lends_buffers(true)) : real_->give_back_unneeded();
    const bool is_idle = held_.empty() && to_end_.empty();
    const bool has_answers = real_->poll(is_idle ? until : ringo::time_point::min());
    answer(false);
    return has_answers;
  }
  bool may_have_answers() const noexcept override { return real_->may_have_answers(); }

  void submit(ringo::detail::kernel_request& r) noexcept override {
    in_flight_.store(in_flight() + 1, std::memory_order_relaxed);
    auto one = std::make_unique<request>(*this, r);
    r.fill(one->call);
    const ringo::detail::kernel_call& call = one->call;
    int refusal = below(6) == 0 ? reason_to_refuse(call) : 0;
    if (const int error = deeds_.accept_error; error != 0 && call.what == kind::accept) {
      refusal = -error;
      ++deeds_.accepts_failed;
    }
    request& each = *requests_.emplace_back(std::move(one));
    if (refusal != 0) {
      ++deeds_.refused;
      return hold(each, {.result = refusal});
    }
    real_->submit(each);
    each.is_given = true;
    if (below(12) == 0) {
      ++deeds_.ended_unasked;
      end_later(r);
    }
  }

  void end_early(ringo::detail::kernel_request& r) noexcept override {
    // Another worker may use a request that is not in flight here.
    const auto is_it = [&r](const auto& each) { return each->asked == &r; };
    if (std::none_of(requests_.begin(), requests_.end(), is_it)) ++deeds_.asked_in_vain;
    if (below(2) == 0) return end_now(r, [](const request&) { return true; });
    ++deeds_.ended_late;
    end_later(r);
  }

  void drain() noexcept override {
    to_end_.clear();
    do {
      real_->drain();  // also if nothing is in flight here: it may be taking buffers back
      answer(true);
    } while (in_flight() != 0);
  }

  bool lends_buffers(bool more) noexcept override {
    return lends_ && (!more || below(3) != 0) && real_->lends_buffers(more);
  }
  void add_waiting_threads(int more) noexcept override { real_->add_waiting_threads(more); }
  void give_back_unneeded() noexcept override {
    buffers.free_unneeded();
    real_->give_back_unneeded();
  }
  bool has_plenty() const noexcept override { return buffers.held() != 0 || real_->has_plenty(); }

 private:
  using kind = ringo::detail::kernel_call::kind;

  class request final : public ringo::detail::kernel_request {
   public:
    request(hostile_driver& in, ringo::detail::kernel_request& of) noexcept : asked(&of), in_(in) {}
    void fill(ringo::detail::kernel_call& into) noexcept override {
      into = call;
      in_.shorten(into);
    }
    void complete(const ringo::detail::kernel_answer& a) noexcept override { in_.hold(*this, a); }

    ringo::detail::kernel_request* const asked;
    ringo::detail::kernel_call call;
    bool is_given = false;  // to the real driver
    ringo::detail::kernel_answer answer;
    std::uint64_t turns = 0;  // until the answer is given

   private:
    hostile_driver& in_;
  };
  struct ending {
    ringo::detail::kernel_request* of;
    std::uint64_t turns;
  };

  std::uint64_t below(std::uint64_t n) noexcept { return random_.below(n); }

  int reason_to_refuse(const ringo::detail::kernel_call& call) noexcept {
    if (call.what == kind::close) return -ECANCELED;  // it has not begun: the number is still taken
    if (call.lends && below(2) == 0) return -ENOBUFS;
    if (call.what == kind::accept && below(2) == 0) return below(10) == 0 ? -EMFILE : -ECONNABORTED;
    constexpr int any[] = {-ECANCELED, -EINTR, -EAGAIN};
    return any[below(std::size(any))];
  }
  void shorten(ringo::detail::kernel_call& call) noexcept {
    switch (call.what) {
      case kind::send:
      case kind::receive:
      case kind::read:
      case kind::write:
        // An eventfd's number is read whole, or not at all.
        if (call.size <= sizeof(std::uint64_t) || below(2) == 0) return;
        ++deeds_.shortened;
        call.size = 1 + below(below(2) == 0 ? std::min<std::uint64_t>(call.size, 7) : call.size);
        break;
      default:
        break;
    }
  }

  void hold(request& r, const ringo::detail::kernel_answer& answer) noexcept {
    if (r.call.what == kind::close && answer.result != -ECANCELED)
      ++(answer.result == 0 ? deeds_.closed : deeds_.closed_wrong);
    r.is_given = false;
    r.answer = answer;
    r.turns = below(longest_hold_);
    held_.push_back(&r);
  }

  // Gives the answers whose time has come, or all, in any order. Requests that follow from them may be answered, too.
  void answer(bool all) noexcept {
    std::vector<request*> due;
    std::vector<request*> later;
    for (request* each : std::exchange(held_, {})) (all || each->turns-- == 0 ? due : later).push_back(each);
    held_ = std::move(later);
    while (!due.empty()) {
      std::swap(due[below(due.size())], due.back());
      request* const r = due.back();
      due.pop_back();
      r->asked->complete(r->answer);
      std::erase_if(requests_, [r](const auto& each) { return each.get() == r; });
      in_flight_.store(in_flight() - 1, std::memory_order_release);
    }
  }

  // Does not find an answered request, but its successor of the same name.
  template <class Predicate>
  void end_now(const ringo::detail::kernel_request& r, Predicate may_be_ended) noexcept {
    for (const auto& each : requests_) {
      if (each->asked == &r && each->is_given && may_be_ended(*each)) real_->end_early(*each);
    }
  }
  // Not by mistake: a close is not interrupted, and a connection that is being made goes on being made.
  static bool may_be_mistaken(const request& r) noexcept {
    return r.call.what != kind::close && r.call.what != kind::connect;
  }
  void end_later(ringo::detail::kernel_request& r) noexcept { to_end_.push_back({&r, below(4)}); }
  void end_what_was_asked_for() noexcept {
    for (const ending& each : std::exchange(to_end_, {})) {
      if (each.turns != 0) {
        to_end_.push_back({each.of, each.turns - 1});
      } else {
        end_now(*each.of, may_be_mistaken);
      }
    }
  }

  hostile_deeds& deeds_;
  dice random_;
  bool lends_;
  std::uint64_t longest_hold_;
  std::vector<std::unique_ptr<request>> requests_;
  std::vector<request*> held_;
  std::vector<ending> to_end_;
  std::atomic<std::size_t> in_flight_ = 0;       // written by the owner alone
  std::unique_ptr<ringo::detail::driver> real_;  // goes before the requests do
};

// As ringo::run, on such a kernel, in front of drivers of the kind that RINGO_DRIVER names.
template <class F>
void run_on_a_hostile_kernel(unsigned workers, std::uint64_t seed, hostile_deeds& deeds, F make_main) {
  using namespace ringo::detail;
  std::vector<std::unique_ptr<driver>> drivers;
  for (unsigned i = 0; i < workers; ++i)
    drivers.push_back(std::make_unique<hostile_driver>(make_chosen_driver(), seed * 64 + i + 1, deeds));
  ringo::runtime_options how;
  how.on_warning = [&deeds](std::string_view) { ++deeds.warnings; };
  auto* main = make_routine([&make_main]() -> ringo::task<> { return make_main(); });
  ringo::handle<void> ended = handle_access::make(main);
  {
    runtime_core runtime(std::move(how), std::move(drivers), nullptr);
    runtime.run(*main);
  }
  ended.join().take();
}
